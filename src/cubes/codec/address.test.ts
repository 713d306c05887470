// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { addressBytes, getAddress, isMappedV4, putAddress } from './address.ts';

const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
/** Many zero groups, so that '::' is exercised. */
const sparse = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255])));

/** ipaddr.js's opinion; it writes mapped addresses with colons. */
function reference(bytes: Uint8Array): string {
  const address = new ipaddr.IPv6([...bytes]);
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toRFC5952String();
}

/** ipaddr.js reads `::1.2.3.4` as a mapped address; RFC 4291 2.2 and inet_pton do not, nor do we. */
const isCompatible = (text: string) => /^::\d+\./.test(text);

test('prints as RFC 5952 says', () => {
  fc.assert(
    fc.property(fc.oneof(sixteen, sparse), (bytes) => {
      expect(getAddress(bytes)).toBe(reference(bytes));
    }),
  );
});

test('reads back what it prints, and every spelling of IPv6', () => {
  fc.assert(
    fc.property(fc.oneof(sixteen, sparse), (bytes) => {
      const address = new ipaddr.IPv6([...bytes]);
      for (const text of [getAddress(bytes), address.toString(), address.toNormalizedString()]) {
        expect([text, addressBytes(text)]).toEqual([text, bytes]);
      }
      expect(addressBytes(address.toNormalizedString().toUpperCase())).toEqual(bytes);
    }),
  );
});

test('reads what ipaddr.js takes for IPv4 and IPv6 as the same bytes', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      fc.pre(!isCompatible(text));
      const parsed = ipaddr.parse(text);
      const wanted = parsed.kind() === 'ipv4' ? (parsed as ipaddr.IPv4).toIPv4MappedAddress() : parsed;
      expect([text, [...addressBytes(text)]]).toEqual([text, wanted.toByteArray()]);
    }),
  );
});

test('takes nothing that ipaddr.js does not take', () => {
  const character = fc.constantFrom('0', '1', '9', 'f', 'g', ':', ':', '.', '%', ' ', '2', '5');
  fc.assert(
    fc.property(fc.string({ unit: character, maxLength: 24 }), (text) => {
      fc.pre(!isCompatible(text));
      let bytes: Uint8Array;
      try {
        bytes = addressBytes(text);
      } catch {
        return;
      }
      expect([text, ipaddr.isValid(text)]).toEqual([text, true]);
      const parsed = ipaddr.parse(text);
      const wanted = parsed.kind() === 'ipv4' ? (parsed as ipaddr.IPv4).toIPv4MappedAddress() : parsed;
      expect([text, [...bytes]]).toEqual([text, wanted.toByteArray()]);
    }),
    { numRuns: 5000 },
  );
});

test.each([
  '',
  ':',
  ':::',
  '1:',
  ':1',
  '1:2',
  '12345::',
  '1::2::3',
  '1.2.3',
  '1.2.3.4.5',
  '1..2.3',
  '01.2.3.4',
  '256.1.1.1',
  '1.2.3.4 ',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  '::1.2.3',
  '1:2:3:4:5:6:7:1.2.3.4',
  'g::',
  'fe80::1%eth0',
])('refuses %j with the field', (text) => {
  expect(() => addressBytes(text, 'pod.address')).toThrow(
    new TypeError(`pod.address: ${JSON.stringify(text)} is no IP address`),
  );
});

test('IPv4 is mapped, and its mapped spelling is the same address', () => {
  expect(getAddress(addressBytes('::ffff:10.0.0.1'))).toBe('10.0.0.1');
  expect(isMappedV4(addressBytes('10.0.0.1'))).toBe(true);
  expect(isMappedV4(addressBytes('fd00::1'))).toBe(false);
  expect(isMappedV4(addressBytes('::10.0.0.1'))).toBe(false);
  expect(getAddress(addressBytes('::13.1.68.3'))).toBe('::d01:4403'); // RFC 4291 2.2
});

test('16 bytes are taken as they are, other lengths refused', () => {
  const bytes = new Uint8Array(20);
  putAddress(bytes, 2, addressBytes('fd00::2'), 'x');
  expect(getAddress(bytes, 2)).toBe('fd00::2');
  expect(() => putAddress(bytes, 0, new Uint8Array(4), 'x')).toThrow('x: an address has 16 bytes, not 4');
});

test('overwrites whatever was there', () => {
  fc.assert(
    fc.property(sixteen, fc.oneof(fc.ipV4(), fc.ipV6()), (before, text) => {
      const bytes = Uint8Array.from(before);
      putAddress(bytes, 0, text, 'x');
      expect(bytes).toEqual(addressBytes(text));
    }),
  );
});
