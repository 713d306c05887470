// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { filterOf } from './live-filter.ts';

const interfaces = new Map([['eth0', { ifindex: 3 }]]);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test.each([
  ['10.244.1.5', '00000000000000000000ffff0af40105', 'f'.repeat(32)],
  ['10.244.0.0/20', '00000000000000000000ffff0af40000', `${'f'.repeat(24)}fffff000`],
  ['fd00:1::7/32', `fd000001${'0'.repeat(24)}`, `${'f'.repeat(8)}${'0'.repeat(24)}`],
  [undefined, '0'.repeat(32), '0'.repeat(32)],
])('host %s', (host, address, mask) => {
  const filter = filterOf({ rate: 100, ...(host === undefined ? {} : { host }) }, interfaces);
  expect([hex(filter.host), hex(filter.hostMask)]).toEqual([address, mask]);
});

test('port, protocol, interface and rate', () => {
  expect(filterOf({ port: 80, protocol: 'TCP', interface: 'eth0', rate: 10 }, interfaces)).toMatchObject({
    port: 80,
    proto: 6,
    ifindex: 3,
    interval: 100_000_000n,
    tolerance: 900_000_000n,
  });
});

test.each([
  [{ host: '10.0.0' }, /host 10.0.0/],
  [{ host: '10.0.0.0/40' }, /host 10.0.0.0\/40/],
  [{ port: 70_000 }, /port 70000/],
  [{ protocol: 'gre' }, /protocol gre/],
  [{ rate: 0 }, /rate 0/],
  [{ interface: 'eth9' }, /no interface eth9/],
])('%j is refused', (request, message) => {
  expect(() => filterOf({ rate: 1, ...request }, interfaces)).toThrow(message);
});
