// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { getAddress } from './address.ts';
import { eachPrefix, putPrefix } from './prefix.ts';

const read = (text: string): string => {
  const bytes = new Uint8Array(24);
  const wrong = putPrefix(text, bytes, 4);
  return wrong ?? `${getAddress(bytes, 8)} ${new DataView(bytes.buffer).getUint32(4, true)}`;
};

test.each([
  ['198.51.100.0/24', '198.51.100.0 120'],
  ['198.51.100.7', '198.51.100.7 128'],
  ['198.51.100.7/32', '198.51.100.7 128'],
  ['0.0.0.0/0', '0.0.0.0 96'],
  ['2001:db8::/32', '2001:db8:: 32'],
  ['2001:db8::1', '2001:db8::1 128'],
  ['::/0', ':: 0'],
  ['2001:db8:0:20::/59', '2001:db8:0:20:: 59'],
])('%s', (text, expected) => {
  expect(read(text)).toBe(expected);
});

test.each([
  ['198.51.100.7/24', 'has bits set'],
  ['2001:db8:0:20::/58', 'has bits set'],
  ['198.51.100.0/33', 'has no prefix length from 0 to 32'],
  ['2001:db8::/129', 'has no prefix length from 0 to 128'],
  ['198.51.100.0/', 'has no prefix length'],
  ['198.51.100.0/024', 'has no prefix length'],
  ['198.51.100.0/-1', 'has no prefix length'],
  ['198.51.100/24', 'is no prefix'],
  ['198.051.100.0/24', 'is no prefix'],
  ['fe80::1%eth0', 'is no prefix'],
  ['::ffff:198.51.100.7', 'is an IPv4 address in IPv6 form'],
  ['example.org', 'is no prefix'],
  ['', 'is no prefix'],
])('%s is refused', (text, expected) => {
  expect(read(text)).toContain(expected);
  expect(read(text)).toContain(': write ');
});

test('a list has one prefix a line, comments, empty lines and either line end', () => {
  const seen: [string, number][] = [];
  eachPrefix('# head\r\n10.0.0.1\r\n\n  10.0.0.2  # two\n#10.0.0.3\n10.0.0.4', (prefix, line) =>
    seen.push([prefix, line]),
  );
  expect(seen).toEqual([
    ['10.0.0.1', 2],
    ['10.0.0.2', 4],
    ['10.0.0.4', 6],
  ]);
});
