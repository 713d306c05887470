// SPDX-License-Identifier: Apache-2.0
import type { Server } from 'node:http';
import { AgentError } from '../errors.ts';

/**
 * Has a server listen on `HOST:PORT`; `[::]:PORT` is both families. It keeps no process alive. `flag` is what the user gave the
 * address by. Throws AgentError InvalidRequest.
 */
export async function listenOn(
  server: Server,
  address: string,
  flag: string,
  example: string,
): Promise<void> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  const remedy = `give ${flag} HOST:PORT, for example ${example}`;
  if (colon < 0 || address.endsWith(':') || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new AgentError('InvalidRequest', `${flag} ${address} is not HOST:PORT`, remedy);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new AgentError('InvalidRequest', `cannot listen on ${address}: ${cause.message}`, remedy, cause),
      ),
    );
    server.listen({ port, ...(host === '' ? {} : { host }) }, resolve);
  });
  server.unref();
}
