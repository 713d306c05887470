// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { address, attribute, attributesIn, message, messagesIn, nested, text, u32 } from './encoding.ts';
import { addClsact, clsactsIn, filtersIn, setFilter } from './filter.ts';
import { addDefaultRoute, addHostRoute, setNeighbour } from './inside.ts';
import { deleteLinkAt, linksIn, newVeth, setAside } from './link.ts';
import { getNetnsId, netnsIdIn } from './namespace.ts';

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

test('an interface is taken out of use, and deleted, by its number', () => {
  const [aside] = messagesIn(setAside(7, 'cx0123456789abc').bytes);
  expect(aside?.body.readInt32LE(4)).toBe(7);
  expect([aside?.body.readUInt32LE(8), aside?.body.readUInt32LE(12)]).toEqual([0, 1]); // IFF_UP, cleared
  const [deletion] = messagesIn(deleteLinkAt(7).bytes);
  expect([deletion?.type, deletion?.body.readInt32LE(4)]).toEqual([17, 7]);
});

test('a filter: the program’s descriptor, by which it decides itself, at the ingress of a clsact', () => {
  const [queue, filter] = [addClsact(7), setFilter(7, 'cubeplane', 9)].map(
    ({ bytes }) => messagesIn(bytes)[0],
  );
  expect([queue?.type, queue?.body.readUInt32LE(8), queue?.body.readUInt32LE(12)]).toEqual([
    36, 0xffff0000, 0xfffffff1,
  ]);
  // tcmsg: interface, handle, parent, and priority with the protocol in network order
  expect([4, 8, 12, 16].map((at) => filter?.body.readUInt32LE(at))).toEqual([7, 1, 0xfffffff2, 0x10300]);
  const found = attributesIn(filter?.body.subarray(20) ?? Buffer.alloc(0));
  expect(found.get(1)?.toString()).toBe('bpf\0');
  const options = attributesIn(found.get(2) ?? Buffer.alloc(0));
  expect([options.get(6), options.get(7)?.toString(), options.get(8)]).toEqual([
    u32(9),
    'cubeplane\0',
    u32(1),
  ]);
});

test('filters in an answer, without the head of their chain', () => {
  const fixed = (handle: number) => Buffer.concat([u32(0), u32(7), u32(handle), u32(0), u32(0)]);
  const options = nested(2, [attribute(7, text('one')), attribute(11, u32(5))]);
  const answer = Buffer.concat([
    message(44, 0, fixed(0), [attribute(1, text('bpf'))]),
    message(44, 0, fixed(1), [attribute(1, text('bpf')), options]),
    message(44, 0, fixed(2), [attribute(1, text('flower'))]),
    message(36, 0, fixed(0xffff0000), [attribute(1, text('clsact'))]),
    message(36, 0, fixed(0xffff0000), [attribute(1, text('noqueue'))]),
  ]);
  expect(filtersIn(answer)).toEqual([
    { name: 'one', programId: 5 },
    { name: '', programId: 0 },
  ]);
  expect(clsactsIn(answer)).toEqual([7]);
});

test('the number of a namespace', () => {
  const [asked] = messagesIn(getNetnsId(9).bytes);
  expect(asked?.type).toBe(90);
  expect(attributesIn(asked?.body.subarray(4) ?? Buffer.alloc(0)).get(3)).toEqual(u32(9));
  expect(netnsIdIn(message(88, 0, u32(0), [attribute(1, u32(3))]))).toBe(3);
  expect(netnsIdIn(message(88, 0, u32(0), [attribute(1, u32(0xffffffff))]))).toBe(-1);
  expect(netnsIdIn(Buffer.alloc(0))).toBeUndefined();
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
