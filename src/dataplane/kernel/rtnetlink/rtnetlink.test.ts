// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { address, attribute, attributesIn, message, messagesIn, text, u32 } from './encoding.ts';
import { addDefaultRoute, addHostRoute, setNeighbour } from './inside.ts';
import { linksIn, newVeth } from './link.ts';

test('a message: header with its own length, the fixed part, attributes padded to four bytes', () => {
  const bytes = message(16, 0x400, Buffer.from([7]), [attribute(3, text('eth0'))]);
  expect(bytes.toString('hex')).toBe(
    [
      '20000000',
      '1000',
      '0504',
      '00000000',
      '00000000',
      '07000000',
      '0900',
      '0300',
      '6574683000',
      '000000',
    ].join(''),
  );
  const [only, none] = messagesIn(bytes);
  expect(none).toBeUndefined();
  expect(only?.type).toBe(16);
  expect(
    attributesIn(only?.body.subarray(4) ?? Buffer.alloc(0))
      .get(3)
      ?.toString(),
  ).toBe('eth0\0');
});

test('attributes are read without their flags, and up to what is broken', () => {
  const whole = Buffer.concat([attribute(0x8000 | 5, u32(7)), Buffer.from([0xff, 0, 1, 0])]);
  expect([...attributesIn(whole)]).toEqual([[5, u32(7)]]);
  expect(messagesIn(Buffer.alloc(20))).toEqual([]);
});

test('addresses are 4 or 16 bytes in network order', () => {
  expect(address('10.244.1.2').toString('hex')).toBe('0af40102');
  expect(address('fd00::1').toString('hex')).toBe(`fd${'0'.repeat(28)}01`);
});

test('a pair: the other end’s name, MAC, MTU and namespace stand inside', () => {
  const { what, bytes } = newVeth(
    { name: 'cp0123456789abc', mac: '02:00:00:00:00:01', mtu: 1500 },
    { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400 },
    9,
  );
  expect(what).toBe('pair of cp0123456789abc and eth0');
  const [made] = messagesIn(bytes);
  const info = attributesIn(attributesIn(made?.body.subarray(16) ?? bytes).get(18) ?? bytes);
  expect(info.get(1)?.toString()).toBe('veth\0');
  const peer = attributesIn(
    attributesIn(info.get(2) ?? bytes)
      .get(1)
      ?.subarray(16) ?? bytes,
  );
  expect(peer.get(3)?.toString()).toBe('eth0\0');
  expect(peer.get(4)).toEqual(u32(1400));
  expect(peer.get(1)?.toString('hex')).toBe('020000000002');
  expect(peer.get(28)).toEqual(u32(9));
  // Its own answer has the same layout.
  expect(linksIn(bytes)).toMatchObject([{ name: 'cp0123456789abc', mac: '02:00:00:00:00:01', mtu: 1500 }]);
});

test.each([
  ['10.244.1.1', 2, 32, 253],
  ['fd00::1', 10, 128, 0],
])('routes by way of %s: family, length, scope', (gateway, family, bits, scope) => {
  const fixedOf = (bytes: Buffer) => [...(messagesIn(bytes)[0]?.body.subarray(0, 8) ?? [])];
  expect(fixedOf(addHostRoute(4, gateway).bytes)).toEqual([family, bits, 0, 0, 254, 3, scope, 1]);
  expect(fixedOf(addDefaultRoute(4, gateway, 1430).bytes)).toEqual([family, 0, 0, 0, 254, 3, 0, 1]);
  const [neighbour] = messagesIn(setNeighbour(4, gateway, '02:c0:be:00:00:01').bytes);
  expect(neighbour?.body.readUInt16LE(8)).toBe(0x80);
});
