// SPDX-License-Identifier: Apache-2.0
/** The parser: what the work area says of every kind of packet, and what is malformed. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Chain, Flag, type SeenWork, Verdict } from './support/chain.ts';
import {
  arp,
  authentication,
  echo,
  ethernet,
  extension,
  fragmentHeader,
  fragments,
  icmp,
  icmpError,
  ip,
  ipv4,
  ipv6,
  type Layer3,
  type Layer4,
  raw,
  sctp,
  solicitation,
  tcp,
  udp,
} from './support/packet.ts';

const V4 = { src: '10.244.1.5', dst: '10.244.2.7' };
const V6 = { src: 'fd00:244:1::5', dst: 'fd00:244:2::7' };
const FAMILIES = [
  ['IPv4', V4, 20, Flag.ipv4],
  ['IPv6', V6, 40, Flag.ipv6],
] as const;

let chain: Chain;
beforeAll(async () => {
  chain = await Chain.open(); // everything goes from the entry straight to the probe
});
afterAll(() => chain.close());

function parse(frame: Uint8Array): SeenWork {
  const { seen, drops } = chain.run(frame);
  if (!seen) throw new Error(`dropped: ${drops.join()}`);
  return seen.work;
}
const drops = (frame: Uint8Array) => chain.run(frame).drops;
const framed = (l3: Layer3) => ethernet({}, l3);

describe.each(FAMILIES)('%s', (_, addresses, header, family) => {
  const v6 = family === Flag.ipv6;
  const content: [string, Layer4, Partial<SeenWork>][] = [
    [
      'TCP',
      tcp({ sport: 1111, dport: 2222, flags: 'SAF', payload: 5 }),
      { sport: 1111, dport: 2222, proto: 6, tcpFlags: 0x13, flags: family | Flag.ports },
    ],
    [
      'TCP with options',
      tcp({ sport: 1, dport: 2, flags: 'R', options: Buffer.alloc(40, 1) }),
      { tcpFlags: 4, flags: family | Flag.ports },
    ],
    [
      'UDP',
      udp({ sport: 53, dport: 5353 }),
      { sport: 53, dport: 5353, proto: 17, flags: family | Flag.ports },
    ],
    [
      'SCTP',
      sctp({ sport: 7, dport: 8, chunks: [Buffer.alloc(8)] }),
      { sport: 7, dport: 8, proto: 132, flags: family | Flag.ports },
    ],
    [
      'an echo request',
      echo({ v6, id: 0xabcd }),
      { sport: 0xabcd, dport: 0, flags: family | Flag.echo, icmpType: v6 ? 128 : 8 },
    ],
    [
      'an echo reply',
      echo({ v6, id: 0xabcd, reply: true }),
      { sport: 0, dport: 0xabcd, flags: family | Flag.echo, icmpType: v6 ? 129 : 0 },
    ],
    [
      'another ICMP',
      icmp({ type: v6 ? 143 : 13, code: 3, ...(v6 ? { v6 } : {}) }),
      { flags: family, icmpType: v6 ? 143 : 13, icmpCode: 3 },
    ],
    [
      'ICMP of the other family',
      icmp({ type: v6 ? 3 : 1, v6: !v6, payload: 40 }),
      { flags: family, sport: 0 },
    ],
    ['another protocol', raw(47, 30), { proto: 47, sport: 0, dport: 0, flags: family }],
  ];

  test.each(content)('%s', (_name, l4, expected) => {
    const l3 = ip({ ...addresses, ttl: 17 }, l4);
    expect(parse(framed(l3))).toMatchObject({
      ...addresses,
      ttl: 17,
      l3: 14,
      l4: 14 + header,
      length: l3.bytes.length,
      l4Proto: l4.protocol,
      vlan: 0,
      ...expected,
    });
  });

  test('behind a VLAN tag, in the frame or beside it', () => {
    const l3 = ip(addresses, udp({ sport: 1, dport: 2 }));
    expect(parse(ethernet({ vlan: 0x6123 }, l3))).toMatchObject({
      vlan: 0x123,
      l3: 18,
      l4: 18 + header,
      dport: 2,
    });
    const beside = chain.run(framed(l3), { vlan: 0x6123 });
    expect(beside.seen?.work).toMatchObject({ vlan: 0x123, l3: 14, l4: 14 + header, dport: 2 });
  });

  test('with padding behind the packet', () => {
    const frame = Buffer.concat([framed(ip(addresses, udp({ sport: 1, dport: 2 }))), Buffer.alloc(9)]);
    expect(parse(frame)).toMatchObject({ length: header + 8, dport: 2 });
  });

  test('cut short at any byte: malformed, never beyond its end', () => {
    for (const l4 of [tcp({ sport: 1, dport: 2 }), udp({ sport: 1, dport: 2 }), echo({ v6, payload: 0 })]) {
      // behind a tag, because BPF_PROG_TEST_RUN itself refuses an IP frame without a whole IP header
      const whole = ethernet({ vlan: 3 }, ip(addresses, l4));
      for (let length = 18; length < whole.length; length++) {
        const result = chain.run(whole.subarray(0, length));
        expect([length, result.verdict, result.drops]).toEqual([length, Verdict.drop, ['entry Malformed']]);
      }
      expect(drops(whole)).toEqual([]);
    }
  });

  test('an L4 header that the IP length cuts off', () => {
    const l3 = v6
      ? ipv6({ ...V6, protocol: 17 }, new Uint8Array(7))
      : ipv4({ ...V4, protocol: 17 }, new Uint8Array(7));
    expect(drops(framed(l3))).toEqual(['entry Malformed']);
  });

  test('an ICMP error: the tuple is the reversed quoted one', () => {
    const quotedFrom = { src: addresses.dst, dst: v6 ? 'fd00::99' : '10.0.0.99' };
    const router = { src: v6 ? 'fd00:7::1' : '192.168.7.1', dst: addresses.dst };
    const quote = (l4: Layer4) => ip(quotedFrom, l4).bytes;
    const type = v6 ? 1 : 3;
    const error = (quoted: Uint8Array) => parse(framed(ip(router, icmpError(type, 3, quoted))));
    const flags = family | Flag.icmpError;
    const inner = { innerL3: 14 + header + 8, innerL4: 14 + 2 * header + 8, l4Proto: v6 ? 58 : 1 };
    const common = {
      src: quotedFrom.dst,
      dst: quotedFrom.src,
      outerSrc: router.src,
      outerDst: router.dst,
      ...inner,
    };
    expect(error(quote(tcp({ sport: 1, dport: 2 })))).toMatchObject({
      ...common,
      proto: 6,
      sport: 2,
      dport: 1,
      flags: flags | Flag.ports | Flag.innerL4,
    });
    expect(error(quote(udp({ sport: 1, dport: 2 })).subarray(0, header + 8))).toMatchObject({
      ...common,
      proto: 17,
      sport: 2,
      dport: 1,
      flags: flags | Flag.ports | Flag.innerL4,
    });
    expect(error(quote(echo({ v6, id: 77 })))).toMatchObject({
      ...common,
      sport: 0,
      dport: 77,
      flags: flags | Flag.innerL4,
    });
    // too short for ports: addresses only
    expect(error(quote(tcp({ sport: 1, dport: 2 })).subarray(0, header + 7))).toMatchObject({
      ...common,
      sport: 0,
      dport: 0,
      flags,
    });
    // a quoted later fragment
    const fragment = v6
      ? ipv6({ ...quotedFrom, protocol: 17, extensions: [fragmentHeader(800, false)] }, new Uint8Array(8))
          .bytes
      : ipv4({ ...quotedFrom, protocol: 17, offset: 800 }, new Uint8Array(8)).bytes;
    expect(error(fragment)).toMatchObject({ sport: 0, dport: 0, flags });
    // an error about the error inside it is only that: an error with an inner tuple of its own
    const nested = quote(icmpError(type, 3, quote(udp({ sport: 1, dport: 2 }))));
    expect(error(nested)).toMatchObject({
      proto: v6 ? 58 : 1,
      sport: 0,
      dport: 0,
      flags: flags | Flag.innerL4,
    });
  });

  test('an ICMP error whose quotation is no packet', () => {
    const error = (quoted: Uint8Array) =>
      drops(framed(ip(addresses, icmp({ type: v6 ? 1 : 3, payload: quoted, ...(v6 ? { v6 } : {}) }))));
    const other = ip(v6 ? V4 : V6, udp({ sport: 1, dport: 2, payload: 40 })).bytes;
    expect(error(other)).toEqual(['entry Malformed']);
    expect(error(new Uint8Array(header - 1).fill(v6 ? 0x60 : 0x45))).toEqual(['entry Malformed']);
    expect(error(new Uint8Array(0))).toEqual(['entry Malformed']);
  });

  test('fragments: later ones get the ports of the first', () => {
    const frames = fragments(addresses, udp({ sport: 500, dport: 501, payload: 400 }), 160, 0x7001);
    const works = frames.map(parse);
    expect(works.map(({ sport, dport }) => [sport, dport])).toEqual(frames.map(() => [500, 501]));
    const options = v6 ? Flag.options : 0;
    expect(works.map(({ flags }) => flags)).toEqual([
      family | Flag.fragFirst | Flag.ports | options,
      family | Flag.fragLater | Flag.ports | options,
      family | Flag.fragLater | Flag.ports | options,
    ]);
    const id = Buffer.alloc(4);
    if (v6) id.writeUInt32BE(0x7001);
    else id.writeUInt16BE(0x7001);
    expect(works[1]?.fragId).toBe(id.readUInt32LE());
  });

  test('a fragmented ICMP error says nothing of the datagram that it quotes', () => {
    const quoted = ip({ src: addresses.dst, dst: addresses.src }, udp({ sport: 500, dport: 501 })).bytes;
    const v6 = addresses.src.includes(':');
    const error = icmpError(v6 ? 1 : 3, 0, Buffer.concat([quoted, Buffer.alloc(200)]));
    parse(fragments(addresses, error, 160, 0x7003)[0] ?? Buffer.alloc(0));
    const [, later] = fragments(addresses, udp({ sport: 1, dport: 2, payload: 400 }), 160, 0x7003);
    expect(parse(later ?? Buffer.alloc(0))).toMatchObject({ sport: 0, dport: 0 });
    const [, rest] = fragments(addresses, error, 160, 0x7003);
    expect((parse(rest ?? Buffer.alloc(0)).flags & Flag.fragUnresolved) !== 0).toBe(false);
  });

  test('a later fragment before its first: unresolved', () => {
    const [, later] = fragments(addresses, udp({ sport: 500, dport: 501, payload: 400 }), 160, 0x7002);
    expect(parse(later ?? Buffer.alloc(0))).toMatchObject({
      sport: 0,
      dport: 0,
      flags: family | Flag.fragLater | Flag.fragUnresolved | (v6 ? Flag.options : 0),
    });
    // the same id of another protocol, or between others, is another datagram
    parse(fragments(addresses, tcp({ sport: 9, dport: 9, payload: 400 }), 160, 0x7002)[0] ?? Buffer.alloc(0));
    expect(parse(later ?? Buffer.alloc(0)).flags & Flag.fragUnresolved).toBe(Flag.fragUnresolved);
  });

  test('groups', () => {
    const group = v6 ? 'ff02::fb' : '224.0.0.251';
    const l3 = ip({ src: addresses.src, dst: group }, udp({ sport: 5353, dport: 5353 }));
    expect(parse(framed(l3)).flags).toBe(family | Flag.ports | Flag.multicast);
  });
});

describe('IPv4 alone', () => {
  const content = udp({ sport: 1, dport: 2, payload: 12 });

  test.each([4, 20, 40])('%i bytes of options', (length) => {
    const frame = framed(ipv4({ ...V4, options: Buffer.alloc(length, 1) }, content));
    expect(parse(frame)).toMatchObject({
      l4: 34 + length,
      sport: 1,
      dport: 2,
      flags: Flag.ipv4 | Flag.ports | Flag.options,
    });
  });

  test('traffic class', () => {
    expect(parse(framed(ipv4({ ...V4, tos: 0xb9 }, content))).tos).toBe(0xb9);
  });

  test('limited broadcast is a group', () => {
    expect(
      parse(framed(ipv4({ src: '0.0.0.0', dst: '255.255.255.255' }, content))).flags & Flag.multicast,
    ).toBe(Flag.multicast);
  });

  test.each([
    ['another version', { version: 6 }],
    ['a header of 16 bytes', { headerWords: 4 }],
    ['a header longer than the packet', { headerWords: 15, totalLength: 40 }],
    ['a total below the header', { totalLength: 19 }],
    ['a total beyond the frame', { totalLength: 41 }],
  ] as const)('%s is malformed', (_, wrong) => {
    expect(drops(framed(ipv4({ ...V4, ...wrong }, content)))).toEqual(['entry Malformed']);
  });

  test('an error that quotes options', () => {
    const quoted = ipv4({ ...V4, options: Buffer.alloc(8, 1) }, content).bytes;
    expect(parse(framed(ipv4({ src: '10.9.9.9', dst: V4.src }, icmpError(3, 1, quoted))))).toMatchObject({
      sport: 2,
      dport: 1,
      innerL4: 14 + 20 + 8 + 28,
    });
    quoted[0] = 0x44;
    expect(drops(framed(ipv4({ src: '10.9.9.9', dst: V4.src }, icmpError(3, 1, quoted))))).toEqual([
      'entry Malformed',
    ]);
  });
});

describe('IPv6 alone', () => {
  const content = udp({ sport: 1, dport: 2, payload: 12 });

  test('traffic class', () => {
    expect(parse(framed(ipv6({ ...V6, trafficClass: 0xb9, flowLabel: 0xfffff }, content))).tos).toBe(0xb9);
  });

  test.each([1, 2, 3, 4, 5, 6])('%i extension headers', (count) => {
    const kinds = [
      extension(0),
      extension(60, 2),
      extension(43),
      authentication(),
      extension(135),
      extension(60),
    ];
    const extensions = kinds.slice(0, count);
    const length = extensions.reduce((sum, e) => sum + e.tail.length + 1, 0);
    const work = parse(framed(ipv6({ ...V6, extensions }, content)));
    expect(work).toMatchObject({
      l4: 54 + length,
      sport: 1,
      dport: 2,
      proto: 17,
      flags: Flag.ipv6 | Flag.ports | Flag.options,
    });
  });

  test('seven extension headers are too many', () => {
    const frame = framed(ipv6({ ...V6, extensions: new Array(7).fill(extension(60)) }, content));
    expect(drops(frame)).toEqual(['entry ExtensionHeaders']);
  });

  test('an extension header that runs beyond the packet', () => {
    const frame = framed(ipv6({ ...V6, extensions: [extension(60)] }, content));
    frame[14 + 40 + 1] = 200;
    expect(drops(frame)).toEqual(['entry Malformed']);
    expect(drops(framed(ipv6({ ...V6, protocol: 60 }, new Uint8Array(4))))).toEqual(['entry Malformed']);
  });

  test('an atomic fragment is a whole packet', () => {
    const frame = framed(ipv6({ ...V6, extensions: [fragmentHeader(0, false)] }, content));
    expect(parse(frame)).toMatchObject({ sport: 1, dport: 2, flags: Flag.ipv6 | Flag.ports | Flag.options });
  });

  test('a packet without a next header', () => {
    expect(parse(framed(ipv6({ ...V6, protocol: 59 }, new Uint8Array(0))))).toMatchObject({
      proto: 59,
      flags: Flag.ipv6,
    });
  });

  test.each([
    ['another version', { version: 4 }],
    ['a payload beyond the frame', { payloadLength: 21 }],
    ['a mapped IPv4 source', { src: '::ffff:10.0.0.1' }],
    ['a mapped IPv4 destination', { dst: '::ffff:10.0.0.1' }],
  ] as const)('%s is malformed', (_, wrong) => {
    expect(drops(framed(ipv6({ ...V6, ...wrong }, content)))).toEqual(['entry Malformed']);
  });

  test('neighbour discovery counts only with hop limit 255', () => {
    const ns = (hopLimit: number) => parse(framed(ipv6({ ...V6, hopLimit }, solicitation(V6.dst)))).flags;
    expect(ns(255)).toBe(Flag.ipv6 | Flag.nd);
    expect(ns(254)).toBe(Flag.ipv6);
  });
});

describe('ARP and others', () => {
  const request = arp({
    operation: 1,
    senderMac: '02:00:00:00:0a:0a',
    sender: '10.244.1.5',
    target: '10.244.1.1',
  });

  test('ARP', () => {
    expect(parse(framed(request))).toMatchObject({
      src: '10.244.1.5',
      dst: '10.244.1.1',
      proto: 0,
      flags: Flag.arp,
      etherType: 0x0806,
    });
  });

  test.each([0, 2, 4, 5])('ARP of another kind (byte %i) is malformed', (at) => {
    const frame = framed(request);
    frame[14 + at] = (frame[14 + at] ?? 0) + 1;
    expect(drops(frame)).toEqual(['entry Malformed']);
  });

  test('ARP cut short', () => {
    expect(drops(framed(request).subarray(0, 41))).toEqual(['entry Malformed']);
  });

  test('a frame with nothing behind its tag', () => {
    expect(drops(ethernet({ etherType: 0x8100 }, new Uint8Array(3)))).toEqual(['entry Malformed']);
  });

  test('another protocol has no flags', () => {
    expect(parse(ethernet({ etherType: 0x88cc }, new Uint8Array(40)))).toMatchObject({
      flags: 0,
      etherType: 0x88cc,
    });
  });
});
