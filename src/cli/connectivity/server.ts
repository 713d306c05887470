// SPDX-License-Identifier: Apache-2.0
/** A server that says who it is: each line, and each datagram, is answered with its name and the client's address. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

const plain = (address = ''): string => address.replace(/^::ffff:/, '');

/** Runs until SIGTERM. Throws where no socket can be had. */
export async function serve(name: string, port: number, addresses: readonly string[]): Promise<void> {
  if (addresses.length > 0) for (const address of addresses) await listen(name, port, address);
  // a kernel without IPv6 has no such address
  else await listen(name, port, '::').catch(() => listen(name, port, '0.0.0.0'));
  process.stdout.write(`${name} answers on port ${port}\n`);
  await new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  process.exit(0);
}

async function listen(name: string, port: number, address: string): Promise<void> {
  const tcp = createServer((socket) => {
    socket.setNoDelay(true).on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      const lines = chunk.toString().split('\n').length - 1;
      socket.write(`${name} ${plain(socket.remoteAddress)}\n`.repeat(lines));
    });
  });
  tcp.listen(port, address);
  await once(tcp, 'listening');
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (_, peer) => udp.send(`${name} ${plain(peer.address)}\n`, peer.port, peer.address));
  udp.bind(port, address);
  await once(udp, 'listening');
  udp.on('error', () => undefined);
}
