// SPDX-License-Identifier: Apache-2.0
/** cube_rewrite(): addresses and ports change, every checksum follows, the work area says the same as the packet. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mappedBytes } from './support/bytes.ts';
import { Chain, type ChainCube, u32 } from './support/chain.ts';
import { dissectPacket, verifyChecksums } from './support/dissect.ts';
import {
  echo,
  ethernet,
  extension,
  fragments,
  icmpError,
  ip,
  ipv4,
  ipv6,
  type Layer4,
  sctp,
  tcp,
  udp,
} from './support/packet.ts';

const CASES = [
  {
    family: 'IPv4',
    v6: false,
    src: '10.244.1.5',
    dst: '10.96.0.10',
    to: '10.244.200.77',
    router: '192.168.7.1',
  },
  {
    family: 'IPv6',
    v6: true,
    src: 'fd00:244:1::5',
    dst: 'fd00:96::10',
    to: 'fd00:244:c8::77:1',
    router: 'fd00:7::1',
  },
];

let chain: Chain;
let cube: ChainCube;

beforeAll(async () => {
  chain = await Chain.open();
  cube = await chain.add({
    object: 'rewriter',
    slot: 1,
    schema: { dropReasons: [], counters: [] } as never,
  });
  chain.watch(1, 1);
  chain.attach({ kind: 'interface' }, cube, 0);
});
afterAll(() => chain.close());

function rewrite(frame: Uint8Array, side: 'src' | 'dst', address: string, port: number) {
  const config = Buffer.alloc(24);
  config.writeUInt32LE(side === 'src' ? 0 : 1, 0);
  config.writeUInt16BE(port, 4);
  config.set(mappedBytes(address), 8);
  cube.map('rewriter_config').update(u32(0), config);
  const result = chain.run(frame);
  expect(verifyChecksums(result.frame)).toEqual([]);
  expect(result.drops).toEqual([]);
  return { result, packet: dissectPacket(result.frame), work: result.seen?.work };
}

describe.each(CASES)('$family', ({ v6, src, dst, to, router }) => {
  const contents: [string, Layer4, 'tcp' | 'udp'][] = [
    ['TCP', tcp({ sport: 1111, dport: 80, seq: 9, flags: 'S', payload: 33 }), 'tcp'],
    ['TCP with options', tcp({ sport: 1111, dport: 80, options: Buffer.alloc(12, 1), payload: 8 }), 'tcp'],
    ['UDP', udp({ sport: 1111, dport: 80, payload: 31 }), 'udp'],
  ];

  test.each(contents)('%s, either side', (_, content, name) => {
    const frame = ethernet({}, ip({ src, dst }, content));
    const before = dissectPacket(frame);
    const forward = rewrite(frame, 'dst', to, 8080);
    expect(forward.packet).toMatchObject({ src, dst: to, [name]: { sport: 1111, dport: 8080 } });
    expect(forward.work).toMatchObject({ src, dst: to, sport: 1111, dport: 8080 });
    expect(forward.packet[name]?.payload).toEqual(before[name]?.payload);
    const back = rewrite(frame, 'src', to, 54321);
    expect(back.packet).toMatchObject({ src: to, dst, [name]: { sport: 54321, dport: 80 } });
    expect(back.work).toMatchObject({ src: to, dst, sport: 54321, dport: 80 });
    const same = rewrite(frame, 'dst', to, 80);
    expect(same.packet).toMatchObject({ dst: to, [name]: { dport: 80 } });
  });

  test('and back again is the packet it was', () => {
    for (const [, content] of contents) {
      const frame = ethernet({}, ip({ src, dst }, content));
      const there = rewrite(frame, 'dst', to, 8080).result.frame;
      expect(rewrite(there, 'dst', dst, 80).result.frame).toEqual(frame);
    }
  });

  test('any port and payload: sums with every carry', () => {
    for (let port = 1; port < 65536; port += 1499) {
      const frame = ethernet(
        {},
        ip({ src, dst }, udp({ sport: port, dport: 65535 - port, payload: port % 61 })),
      );
      expect(rewrite(frame, 'dst', to, (port * 7) & 0xffff).packet.udp?.checksum).not.toBe(0);
    }
  });

  test('SCTP: addresses are not in its CRC', () => {
    const frame = ethernet(
      {},
      ip({ src, dst }, sctp({ sport: 7, dport: 8, tag: 5, chunks: [Buffer.alloc(16, 3)] })),
    );
    expect(rewrite(frame, 'dst', to, 8).packet).toMatchObject({
      dst: to,
      sctp: { sport: 7, dport: 8, tag: 5 },
    });
  });

  test('an echo identifier', () => {
    const request = ethernet({}, ip({ src, dst }, echo({ v6, id: 100, sequence: 3 })));
    const changed = rewrite(request, 'src', to, 777);
    expect(changed.packet).toMatchObject({ src: to, icmp: { rest: 777 * 65536 + 3 } });
    expect(changed.work).toMatchObject({ sport: 777, dport: 0 });
    const reply = ethernet({}, ip({ src, dst }, echo({ v6, id: 777, sequence: 3, reply: true })));
    expect(rewrite(reply, 'dst', to, 100).packet).toMatchObject({ dst: to, icmp: { rest: 100 * 65536 + 3 } });
  });

  test('fragments: only the first one holds ports', () => {
    const frames = fragments({ src, dst }, udp({ sport: 1111, dport: 80, payload: 400 }), 160, 0x2222);
    const done = frames.map((frame) => rewrite(frame, 'dst', to, 8080));
    expect(done.map(({ packet }) => packet.dst)).toEqual([to, to, to]);
    // put together again, the datagram is whole and its checksum right
    const body = Buffer.concat(done.map(({ packet }) => packet.body));
    const whole = ethernet(
      {},
      v6 ? ipv6({ src, dst: to, protocol: 17 }, body) : ipv4({ src, dst: to, protocol: 17 }, body),
    );
    expect(verifyChecksums(whole)).toEqual([]);
    expect(dissectPacket(whole).udp).toMatchObject({ sport: 1111, dport: 8080 });
  });

  test('a later fragment without its first is refused', () => {
    const [, later] = fragments({ src, dst }, udp({ sport: 1111, dport: 80, payload: 400 }), 160, 0x3333);
    expect(chain.run(later ?? Buffer.alloc(0)).drops).toEqual(['rewriter FragmentWithoutFirst']);
  });

  test('behind options or extension headers', () => {
    const content = tcp({ sport: 1111, dport: 80, payload: 10 });
    const frame = ethernet(
      {},
      v6
        ? ipv6({ src, dst, extensions: [extension(0), extension(60, 2)] }, content)
        : ipv4({ src, dst, options: Buffer.alloc(24, 1) }, content),
    );
    expect(rewrite(frame, 'dst', to, 8080).packet).toMatchObject({
      dst: to,
      options: 24,
      tcp: { dport: 8080 },
    });
  });

  describe('ICMP errors', () => {
    const type = v6 ? 1 : 3;
    const header = v6 ? 40 : 20;
    /** The client got an answer from `to`; somebody says that it could not be delivered. */
    const quotation = (content: Layer4) => ip({ src: to, dst: src }, content).bytes;
    const errorFrom = (from: string, quoted: Uint8Array) =>
      ethernet({}, ip({ src: from, dst: to }, icmpError(type, 1, quoted)));

    test.each([
      ['TCP', tcp({ sport: 8080, dport: 1111, payload: 40 })],
      ['UDP', udp({ sport: 8080, dport: 1111, payload: 40 })],
    ])('from a router on the way: %s', (_, content) => {
      // the tuple is src:1111 → to:8080; its destination is the quoted packet's source
      const { packet, work } = rewrite(errorFrom(router, quotation(content)), 'dst', dst, 80);
      expect(packet).toMatchObject({ src: router, dst, quoted: { src: dst, dst: src } });
      const quoted = packet.quoted?.tcp ?? packet.quoted?.udp;
      expect(quoted).toMatchObject({ sport: 80, dport: 1111 });
      expect(work).toMatchObject({ src, dst, sport: 1111, dport: 80, outerSrc: router, outerDst: dst });
    });

    test('from the client itself, its own address changed', () => {
      const frame = errorFrom(src, quotation(udp({ sport: 8080, dport: 1111, payload: 4 })));
      const { packet } = rewrite(frame, 'src', router, 2222);
      expect(packet).toMatchObject({
        src: router,
        dst: to,
        quoted: { src: to, dst: router, udp: { sport: 8080, dport: 2222 } },
      });
    });

    test('from a router, the client changed: the router keeps its address', () => {
      const frame = errorFrom(router, quotation(udp({ sport: 8080, dport: 1111, payload: 4 })));
      const { packet } = rewrite(frame, 'src', dst, 2222);
      expect(packet).toMatchObject({ src: router, dst: to, quoted: { src: to, dst, udp: { dport: 2222 } } });
    });

    test('with a quotation of eight bytes, or too short for ports', () => {
      const quoted = quotation(tcp({ sport: 8080, dport: 1111, payload: 40 }));
      const eight = rewrite(errorFrom(router, quoted.subarray(0, header + 8)), 'dst', dst, 80);
      expect(eight.packet.quoted).toMatchObject({ src: dst, dst: src });
      expect(eight.packet.quoted?.body.readUInt16BE(0)).toBe(80);
      const none = rewrite(errorFrom(router, quoted.subarray(0, header + 6)), 'dst', dst, 80);
      expect(none.packet.quoted).toMatchObject({ src: dst, dst: src });
      expect(none.packet.quoted?.body.readUInt16BE(0)).toBe(8080);
    });
  });
});

test('an IPv4 UDP packet without a checksum stays without', () => {
  const frame = ethernet(
    {},
    ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }, udp({ sport: 1, dport: 2, checksum: 0, payload: 9 })),
  );
  expect(rewrite(frame, 'dst', '10.0.0.77', 99).packet.udp).toMatchObject({ dport: 99, checksum: 0 });
});
