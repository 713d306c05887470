// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { hostAddress, withoutLength } from './addresses.ts';

test.each([
  ['10.244.1.0/24', 2, '10.244.1.2/24'],
  ['10.96.0.0/16', 257, '10.96.1.1/16'],
  ['fd00:244:0:1::/64', 1, 'fd00:244:0:1::1/64'],
  ['fd00:96::/112', 0xffff, 'fd00:96::ffff/112'],
])('address of %s number %d', (cidr, number, expected) => {
  expect(hostAddress(cidr, number)).toBe(expected);
});

test('an address outside of the prefix is refused', () => {
  expect(() => hostAddress('10.244.1.0/24', 256)).toThrow('10.244.1.0/24 has no address number 256');
  expect(() => hostAddress('10.244.1.0', 1)).toThrow();
});

test('the length is cut off', () => {
  expect(withoutLength('fd00::1/64')).toBe('fd00::1');
  expect(withoutLength('10.0.0.1')).toBe('10.0.0.1');
});
