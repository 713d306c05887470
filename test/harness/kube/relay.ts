// SPDX-License-Identifier: Apache-2.0
/**
 * relay.ts LISTEN CONNECT: passes bytes on. Each is `unix:PATH` or `HOST:PORT`; two of them lead from one network namespace into
 * another, by a socket in the file system that both see. Prints `listening PORT`.
 */
import { type AddressInfo, connect, createServer, type NetConnectOpts } from 'node:net';

function place(text = ''): NetConnectOpts {
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

const [listen, target] = process.argv.slice(2);
const server = createServer((socket) => {
  const other = connect(place(target));
  socket.on('error', () => other.destroy()).on('close', () => other.destroy());
  other.on('error', () => socket.destroy()).on('close', () => socket.destroy());
  socket.pipe(other).pipe(socket);
});
server.listen(place(listen), () => {
  const address = server.address() as AddressInfo | string;
  process.stdout.write(`listening ${typeof address === 'string' ? address : address.port}\n`);
});
