// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http';
import { textOf } from '../errors.ts';
import { listenOn } from './listen.ts';

/**
 * Serves `/metrics`, `/healthz` (the process runs) and `/readyz` (503 until `isReady`) on an address such as `127.0.0.1:9465`. Throws
 * AgentError InvalidRequest.
 */
export async function serveMetrics(
  address: string,
  metrics: () => Promise<string>,
  isReady: () => boolean,
): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url === '/healthz') {
      response.end('ok\n');
      return;
    }
    if (request.url === '/readyz') {
      const ready = isReady();
      response.statusCode = ready ? 200 : 503;
      response.end(
        ready ? 'ok\n' : 'the chain is not in the kernel, or not by the programs of this release\n',
      );
      return;
    }
    if (request.url !== '/metrics') {
      response.statusCode = 404;
      response.end('there are /metrics, /healthz and /readyz\n');
      return;
    }
    metrics().then(
      (text) => {
        response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
        response.end(text);
      },
      (error) => {
        response.statusCode = 500;
        response.end(`${textOf(error)}\n`);
      },
    );
  });
  await listenOn(server, address, '--metrics-address', '127.0.0.1:9465');
  return server;
}
