// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  masked,
  parseAddress,
  parsePrefix,
} from './ip.ts';
import { RULE_LIBRARY } from './rule-library.ts';

const address = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => ({ family: 4 as Family, value })),
  fc
    .bigInt({ min: 0n, max: 2n ** 128n - 1n })
    .filter((value) => value >> 32n !== 0xffffn)
    .map((value) => ({ family: 6 as Family, value })),
);
const prefix = fc
  .tuple(address, fc.nat(128))
  .map(([of, length]) => ({ ...of, length: of.family === 4 ? length % 33 : length }));

describe('addresses and prefixes', () => {
  test('are the same after writing and reading', () => {
    fc.assert(
      fc.property(prefix, (of) => {
        expect(parsePrefix(formatPrefix(of))).toEqual(of);
        expect(parseAddress(formatAddress(of))).toEqual({ family: of.family, value: of.value });
      }),
    );
  });

  test('contain their own addresses, and lose host bits once', () => {
    fc.assert(
      fc.property(prefix, (of) => {
        expect(contains(of, of)).toBe(true);
        expect(masked(masked(of))).toEqual(masked(of));
        expect(RULE_LIBRARY.isMasked(formatPrefix(masked(of)))).toBe(true);
        expect(RULE_LIBRARY.isMasked(formatPrefix(of))).toBe(of.value === masked(of).value);
      }),
    );
  });

  test('are written as RFC 5952 says', () => {
    expect(formatAddress({ family: 6, value: 0n })).toBe('::');
    expect(formatPrefix({ family: 6, value: 0xfdn << 120n, length: 8 })).toBe('fd00::/8');
  });

  test.each([
    '',
    '10.0.0',
    '10.0.0.01',
    '10.0.0.256',
    '::ffff:10.0.0.1',
    'fe80::1%eth0',
    '1::2::3',
    ' 10.0.0.1',
    '10.0.0.1/8',
  ])('%p is no address', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test.each([
    '10.0.0.1',
    '10.0.0.1/33',
    '10.0.0.1/08',
    '10.0.0.1/-1',
    '::/129',
    '::ffff:10.0.0.1/96',
    '10.0.0.1/24/8',
    '/8',
  ])('%p is no prefix', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  test('of one family contain none of the other', () => {
    const all = parsePrefix('0.0.0.0/0');
    const other = parseAddress('::1');
    expect(all && other && contains(all, other)).toBe(false);
  });
});
