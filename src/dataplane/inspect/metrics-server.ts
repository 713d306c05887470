// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http';
import { AgentError, textOf } from '../errors.ts';

/** Serves `/metrics` and `/healthz` on an address such as `127.0.0.1:9465`. Throws AgentError InvalidRequest. */
export async function serveMetrics(address: string, metrics: () => Promise<string>): Promise<Server> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  const remedy = 'give --metrics-address HOST:PORT, for example 127.0.0.1:9465';
  if (colon < 0 || address.endsWith(':') || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new AgentError('InvalidRequest', `--metrics-address ${address} is not HOST:PORT`, remedy);
  const server = createServer((request, response) => {
    if (request.url === '/healthz') {
      response.end('ok\n');
      return;
    }
    if (request.url !== '/metrics') {
      response.statusCode = 404;
      response.end('there are /metrics and /healthz\n');
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
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new AgentError('InvalidRequest', `cannot listen on ${address}: ${cause.message}`, remedy, cause),
      ),
    );
    server.listen({ port, ...(host === '' ? {} : { host }) }, resolve);
  });
  server.unref();
  return server;
}
