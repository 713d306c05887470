// SPDX-License-Identifier: Apache-2.0

/**
 * A backend that says who it is: server.ts NAME PORT [ADDRESS]
 * TCP: answers each line with `NAME CLIENT-ADDRESS`, until the client ends. UDP: answers each datagram so.
 * On SIGTERM it refuses new connections and serves those it has, as a well-behaved pod does while it terminates.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [name = 'server', port = '8080', address = '::'] = process.argv.slice(2);
const plain = (text = ''): string => text.replace(/^::ffff:/, '');

const tcp = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  let rest = '';
  socket.on('data', (chunk) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const _ of lines) socket.write(`${name} ${plain(socket.remoteAddress)}\n`);
  });
});

const udp = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' });
udp.on('message', (_, peer) => udp.send(`${name} ${plain(peer.address)}\n`, peer.port, peer.address));
udp.on('error', () => undefined);

tcp.listen(Number(port), address, 1024, () =>
  udp.bind(Number(port), address, () => process.stdout.write('ready\n')),
);
process.on('SIGTERM', () => {
  udp.close();
  tcp.close(() => process.exit(0));
});
