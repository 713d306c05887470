// SPDX-License-Identifier: Apache-2.0

/**
 * Joins two interfaces of this network namespace by the smallest redirecting program, until it is ended:
 *   wire.ts wire|wire_peer DEVICE DEVICE
 */
import { readFileSync } from 'node:fs';
import { loadObject, TcxLink } from '../../../src/dataplane/kernel/addon/index.ts';

const [program = 'wire', one = '', other = ''] = process.argv.slice(2);
const OBJECT = new URL('../../../build/bpf/wire.o', import.meta.url).pathname;

/** From /proc, which follows the namespace of the process; /sys does not. */
function ifindexOf(device: string): number {
  const line = readFileSync(`/proc/self/net/dev_snmp6/${device}`, 'utf8').split('\n')[0] ?? '';
  return Number(line.split(/\s+/)[1]);
}

const links: TcxLink[] = [];
for (const [from, to] of [
  [one, other],
  [other, one],
] as const) {
  const target = Buffer.alloc(4);
  target.writeUInt32LE(ifindexOf(to));
  const object = await loadObject({ path: OBJECT, variables: { target } });
  links.push(TcxLink.create(object.program(program), ifindexOf(from), 'ingress'));
}
process.stdout.write(`ready ${links.length}\n`);
setInterval(() => undefined, 1 << 30);
