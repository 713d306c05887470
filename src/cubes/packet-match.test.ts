// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { matchRows } from './packet-match.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('nothing asked: everything matches', () => {
  const [row, ...rest] = matchRows({}, 5n);
  expect(rest).toEqual([]);
  expect(row).toMatchObject({ ports: 5n, needs: 0, protoMask: 0, dscpMask: 0, markMask: 0 });
  expect([hex(row?.srcMask ?? new Uint8Array()), hex(row?.dstMask ?? new Uint8Array())]).toEqual([
    '0'.repeat(32),
    '0'.repeat(32),
  ]);
});

test.each([
  ['0.0.0.0/0', `${'0'.repeat(20)}ffff00000000`, `${'f'.repeat(24)}00000000`, 3],
  ['10.1.0.0/20', `${'0'.repeat(20)}ffff0a010000`, `${'f'.repeat(24)}fffff000`, 3],
  ['10.1.2.3/32', `${'0'.repeat(20)}ffff0a010203`, 'f'.repeat(32), 3],
  ['::/0', '0'.repeat(32), '0'.repeat(32), 5],
  ['fd00:1::/33', `fd000001${'0'.repeat(24)}`, `ffffffff8${'0'.repeat(23)}`, 5],
])('the prefix %s', (prefix, addr, mask, needs) => {
  const [row] = matchRows({ destinations: [prefix] }, 1n);
  expect([hex(row?.dst ?? new Uint8Array()), hex(row?.dstMask ?? new Uint8Array()), row?.needs]).toEqual([
    addr,
    mask,
    needs,
  ]);
});

describe('combinations', () => {
  test('of prefixes: those of one family', () => {
    const rows = matchRows(
      { sources: ['10.0.0.0/8', 'fd00::/8'], destinations: ['192.0.2.0/24', '2001:db8::/32', '::/0'] },
      1n,
    );
    expect(rows).toHaveLength(3);
  });

  test('of protocols and ports: one of them is enough; source ports are of the same protocol', () => {
    const rows = matchRows(
      {
        protocols: ['ICMP', '47'],
        ports: [
          { protocol: 'TCP', port: 80 },
          { protocol: 'UDP', port: 53, endPort: 54 },
          { protocol: 'SCTP' },
        ],
      },
      1n,
    );
    expect(
      rows.map(({ proto, dportFirst, dportLast, needs }) => [proto, dportFirst, dportLast, needs]),
    ).toEqual([
      [1, 0, 65535, 3],
      [47, 0, 65535, 1],
      [6, 80, 80, 9],
      [17, 53, 54, 9],
      [132, 0, 65535, 1],
    ]);
    const both = matchRows(
      {
        ports: [
          { protocol: 'TCP', port: 80 },
          { protocol: 'UDP', port: 80 },
        ],
        sourcePorts: [{ protocol: 'TCP', port: 9 }],
      },
      1n,
    );
    expect(both).toMatchObject([{ proto: 6, sportFirst: 9, sportLast: 9, dportFirst: 80 }]);
  });

  test('that no packet fulfils are none', () => {
    expect(matchRows({ sources: ['10.0.0.0/8'], destinations: ['fd00::/8'] }, 1n)).toEqual([]);
    expect(matchRows({ sources: ['10.0.0.0/8'], protocols: ['ICMPv6'] }, 1n)).toEqual([]);
    expect(
      matchRows({ ports: [{ protocol: 'TCP', port: 1 }], sourcePorts: [{ protocol: 'UDP', port: 1 }] }, 1n),
    ).toEqual([]);
  });
});

test('bits of the mark that are not looked at are zero', () => {
  expect(matchRows({ mark: { value: 0xffffffff, mask: 0xf0000000 } }, 1n)).toMatchObject([
    { mark: 0xf0000000, markMask: 0xf0000000 },
  ]);
});
