// SPDX-License-Identifier: Apache-2.0

/**
 * When the first datagram to a place is answered: first-answer.ts ADDRESS PORT
 * Sends one a millisecond from one socket, says `ready` before, and CLOCK_MONOTONIC in milliseconds of the first answer.
 */
import { createSocket } from 'node:dgram';

const [address = '', port = ''] = process.argv.slice(2);
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
// refused, unreachable, no network yet: the next one may be answered
socket.on('error', () => undefined);
socket.once('message', () => {
  process.stdout.write(`answered ${Number(process.hrtime.bigint() / 1000n) / 1000}\n`, () => process.exit(0));
});
socket.bind(0, () => {
  process.stdout.write('ready\n');
  setInterval(() => socket.send('?\n', Number(port), address, () => undefined), 1);
});
setTimeout(() => process.exit(1), 60_000);
