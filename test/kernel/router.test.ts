// SPDX-License-Identifier: Apache-2.0
/** The router: every way a packet can take through it, and every reason why one goes no further. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { GATEWAY_MAC, POD_MAC } from './support/bytes.ts';
import { Chain, Flag, Verdict } from './support/chain.ts';
import { dissect, dissectPacket, finishChecksum, verifyChecksums } from './support/dissect.ts';
import {
  echo,
  ethernet,
  extension,
  fragments,
  icmp,
  icmpError,
  ip,
  ipv4,
  ipv6,
  type Layer4,
  raw,
  sctp,
  tcp,
  udp,
} from './support/packet.ts';
import { addRouter, type TestRouter } from './support/router.ts';

const PODS = 0;
const OVERLAY = 1;
const UPLINK = 2;
const SMALL = 3;
const BARE = 4;

const POD = { v4: '10.244.1.5', v6: 'fd00:244:1::5' };
const GATEWAY = { v4: '10.244.1.1', v6: 'fd00:244:1::1' };
const FAMILIES = ['v4', 'v6'] as const;
type Family = (typeof FAMILIES)[number];

/** An address of each kind of destination. */
const TO = {
  pod: { v4: '10.244.1.9', v6: 'fd00:244:1::9' },
  remote: { v4: '10.244.2.9', v6: 'fd00:244:2::9' },
  internet: { v4: '203.0.113.9', v6: '2001:db8:99::9' },
  host: { v4: '10.50.0.7', v6: 'fd50::7' },
  blackhole: { v4: '10.66.0.1', v6: 'fd66::1' },
  unreachable: { v4: '10.67.0.1', v6: 'fd67::1' },
  small: { v4: '10.70.0.9', v6: 'fd70::9' },
  nowhere: { v4: '172.31.0.1', v6: 'fdff::1' },
};

let chain: Chain;
let router: TestRouter;

beforeAll(async () => {
  chain = await Chain.open();
  router = await addRouter(chain, {
    ports: [
      {
        name: 'pods',
        id: PODS,
        addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'],
        mtu: 1450,
        endpoint: 'Pods',
      },
      { name: 'overlay', id: OVERLAY, addresses: [], mtu: 1450, endpoint: 'Overlay' },
      {
        name: 'uplink',
        id: UPLINK,
        addresses: ['192.168.7.2/30', 'fd00:7::2/126'],
        mtu: 1500,
        endpoint: 'Interface',
      },
      {
        name: 'small',
        id: SMALL,
        addresses: ['10.70.0.1/24', 'fd70::1/64'],
        mtu: 1300,
        endpoint: 'Interface',
      },
      { name: 'bare', id: BARE, addresses: [], mtu: 1500, endpoint: 'Interface' },
    ],
    spec: {
      icmp: { errorsPerSecond: 100000, burst: 100000 },
      routes: [
        { destination: '203.0.113.0/24', type: 'NextHop', nextHop: { address: '192.168.7.1' } },
        { destination: '2001:db8:99::/48', type: 'NextHop', nextHop: { address: 'fd00:7::1' } },
        { destination: '10.50.0.7/32', type: 'Port', port: 'uplink' },
        { destination: 'fd50::7/128', type: 'Port', port: 'uplink' },
        { destination: '10.66.0.0/16', type: 'Blackhole' },
        { destination: 'fd66::/48', type: 'Blackhole' },
        { destination: '10.67.0.0/16', type: 'Unreachable' },
        { destination: 'fd67::/48', type: 'Unreachable' },
      ],
    },
    tables: {
      'test/node-b': [
        { destination: '10.244.2.0/24', type: 'Tunnel', tunnel: { remote: '172.18.0.3' } },
        { destination: 'fd00:244:2::/64', type: 'Tunnel', tunnel: { remote: 'fd18::3', vni: 9 } },
      ],
    },
  });
});
afterAll(() => chain.close());
beforeEach(() => {
  chain.configure();
  chain.attach({ kind: 'interface' }, router.cube, PODS);
});

const to = (
  family: Family,
  dst: string,
  content: Layer4 = udp({ sport: 7, dport: 9, payload: 64 }),
  ttl = 64,
) => ethernet({}, ip({ src: POD[family], dst, ttl }, content));
const request = (family: Family): Layer4 => echo({ v6: family === 'v6' });

describe.each(FAMILIES)('forwarding %s', (family) => {
  test.each([
    ['a connected prefix', 'pod', PODS],
    ['a host route', 'host', UPLINK],
  ] as [string, 'pod' | 'host', number][])('%s', (_, kind, port) => {
    const frame = to(family, TO[kind][family]);
    const result = chain.run(frame);
    expect(result.drops).toEqual([]);
    expect(result.seen).toMatchObject({ port, work: { nextHop: '::', ttl: 63 } });
    const packet = dissectPacket(result.frame);
    expect(packet).toMatchObject({ src: POD[family], dst: TO[kind][family], ttl: 63 });
    expect(packet.udp?.payload).toEqual(dissectPacket(frame).udp?.payload);
    expect(verifyChecksums(result.frame)).toEqual([]);
    expect(result.counts).toEqual(['router forwarded']);
  });

  test('a next hop', () => {
    const result = chain.run(to(family, TO.internet[family]));
    expect(result.seen).toMatchObject({
      port: UPLINK,
      work: { nextHop: family === 'v4' ? '192.168.7.1' : 'fd00:7::1' },
    });
  });

  test('a tunnel', () => {
    const result = chain.run(to(family, TO.remote[family]));
    const [tunnelRemote, tunnelVni] = family === 'v4' ? ['172.18.0.3', 7] : ['fd18::3', 9];
    expect(result.seen).toMatchObject({ port: OVERLAY, work: { tunnelRemote, tunnelVni } });
    expect(result.counts).toEqual(['router forwarded', 'router tunnelled']);
  });

  test('carries options and extension headers', () => {
    const options = Buffer.from([0x94, 4, 0, 0]); // router alert
    const frame =
      family === 'v4'
        ? ethernet(
            {},
            ipv4({ src: POD.v4, dst: TO.pod.v4, options }, udp({ sport: 1, dport: 2, payload: 9 })),
          )
        : ethernet(
            {},
            ipv6(
              { src: POD.v6, dst: TO.pod.v6, extensions: [extension(0), extension(43)] },
              udp({ sport: 1, dport: 2 }),
            ),
          );
    const result = chain.run(frame);
    expect(result).toMatchObject({ verdict: Verdict.ok, drops: [], seen: { port: PODS } });
    expect(verifyChecksums(result.frame)).toEqual([]);
  });

  test('carries fragments', () => {
    const frames = fragments(
      { src: POD[family], dst: TO.pod[family] },
      udp({ sport: 5, dport: 6, payload: 300 }),
      160,
    );
    for (const frame of frames) {
      const result = chain.run(frame);
      expect(result.seen).toMatchObject({ port: PODS, work: { sport: 5, dport: 6 } });
      expect(verifyChecksums(result.frame)).toEqual([]);
    }
    expect(frames).toHaveLength(2);
  });

  test('counts packets and bytes of both ports', () => {
    const frame = to(family, TO.host[family]);
    const before = [router.cube.port(PODS), router.cube.port(UPLINK)];
    chain.run(frame);
    const after = [router.cube.port(PODS), router.cube.port(UPLINK)];
    expect((after[0]?.rxPackets ?? 0) - (before[0]?.rxPackets ?? 0)).toBe(1);
    expect((after[0]?.rxBytes ?? 0) - (before[0]?.rxBytes ?? 0)).toBe(frame.length);
    expect((after[1]?.txPackets ?? 0) - (before[1]?.txPackets ?? 0)).toBe(1);
    expect((after[1]?.txBytes ?? 0) - (before[1]?.txBytes ?? 0)).toBe(frame.length);
  });

  test.each([0x1, 0xfffe, 0xffff])('the checksum survives every carry: %#', (id) => {
    if (family === 'v6') return;
    for (let tos = 0; tos < 256; tos += 5) {
      const frame = ethernet(
        {},
        ipv4({ src: POD.v4, dst: TO.pod.v4, id, tos, ttl: 1 + (tos % 200) + 1 }, udp({ sport: 1, dport: 2 })),
      );
      expect(verifyChecksums(chain.run(frame).frame)).toEqual([]);
    }
  });
});

/** What an ICMP error about `frame` has to be. */
function expectError(
  frame: Buffer,
  result: ReturnType<Chain['run']>,
  expected: { type: number; code: number; from: string; rest?: number; port?: number },
) {
  const { type, code, from, rest = 0, port = PODS } = expected;
  const asked = dissectPacket(frame);
  const answer = dissectPacket(result.frame);
  expect(verifyChecksums(result.frame)).toEqual([]);
  expect(answer).toMatchObject({ src: from, dst: asked.src, ttl: 64, icmp: { type, code, rest } });
  expect(dissect(result.frame).eth).toMatchObject({ src: GATEWAY_MAC, dst: POD_MAC });
  const { quoted } = answer;
  expect(quoted).toMatchObject({ src: asked.src, dst: asked.dst, ttl: asked.ttl, protocol: asked.protocol });
  const ports = asked.body.length >= 8 && asked.offset === 0;
  if (ports) expect(quoted?.body.subarray(0, 4)).toEqual(asked.body.subarray(0, 4));
  if (asked.tcp) {
    expect(quoted?.tcp).toMatchObject({ seq: asked.tcp.seq, ack: asked.tcp.ack });
    expectOffloadProof(result.frame, asked.version, 16);
  }
  if (asked.udp && asked.udp.checksum !== 0) expectOffloadProof(result.frame, asked.version, 6);
  expect(result.seen).toMatchObject({ port, work: { flags: expect.any(Number) } });
  expect((result.seen?.work.flags ?? 0) & Flag.icmpError).toBe(Flag.icmpError);
  expect(result.seen?.work).toMatchObject({
    outerSrc: from,
    outerDst: asked.src,
    src: asked.dst,
    dst: asked.src,
  });
}

/** A late sum over the quoted L4 header leaves the packet as it is (CHECKSUM_PARTIAL). */
function expectOffloadProof(frame: Buffer, version: 4 | 6, field: number) {
  const header = version === 4 ? 20 : 40;
  const finished = finishChecksum(frame, 14 + header + 8 + header, field);
  expect(finished).toEqual(frame);
}

describe.each(FAMILIES)('telling the sender, %s', (family) => {
  const codes = <A, B>(v4: A, v6: B) => (family === 'v4' ? v4 : v6);
  const CONTENTS: [string, Layer4][] = [
    ['UDP', udp({ sport: 7, dport: 9, payload: 700 })],
    ['short UDP', udp({ sport: 7, dport: 9 })],
    ['TCP', tcp({ sport: 7, dport: 9, seq: 77, ack: 88, payload: 333, options: Buffer.alloc(12, 1) })],
    ['SCTP', sctp({ sport: 7, dport: 9, tag: 99, chunks: [Buffer.alloc(16)] })],
    ['echo', echo({ v6: family === 'v6', payload: 100 })],
    ['another protocol', raw(89, 44)],
  ];

  test.each(CONTENTS)('no route, %s', (_, content) => {
    const frame = to(family, TO.nowhere[family], content);
    const result = chain.run(frame);
    expect(result.drops).toEqual(['router NoRoute']);
    expect(result.counts).toEqual(['router icmpErrors']);
    expectError(frame, result, {
      ...codes({ type: 3, code: 0 }, { type: 1, code: 0 }),
      from: GATEWAY[family],
    });
  });

  test('an Unreachable route', () => {
    const frame = to(family, TO.unreachable[family]);
    const result = chain.run(frame);
    expect(result.drops).toEqual(['router Unreachable']);
    expectError(frame, result, {
      ...codes({ type: 3, code: 1 }, { type: 1, code: 3 }),
      from: GATEWAY[family],
    });
  });

  test.each([0, 1])('TTL %i', (ttl) => {
    const frame = to(family, TO.pod[family], undefined, ttl);
    const result = chain.run(frame);
    expect(result.drops).toEqual(['router TtlExpired']);
    expectError(frame, result, {
      ...codes({ type: 11, code: 0 }, { type: 3, code: 0 }),
      from: GATEWAY[family],
    });
  });

  test('a packet over the MTU', () => {
    const header = codes(28, 48);
    const fits = to(family, TO.small[family], udp({ sport: 7, dport: 9, payload: 1300 - header }));
    expect(chain.run(fits)).toMatchObject({ drops: [], seen: { port: SMALL } });
    const frame = to(family, TO.small[family], udp({ sport: 7, dport: 9, payload: 1301 - header }));
    const result = chain.run(frame);
    expect(result.drops).toEqual(['router PacketTooBig']);
    expectError(frame, result, {
      ...codes({ type: 3, code: 4 }, { type: 2, code: 0 }),
      rest: 1300,
      from: GATEWAY[family],
    });
  });

  test('a segment over the MTU, of a packet that is cut later', () => {
    const header = codes(40, 60) + 12;
    const frame = to(
      family,
      TO.small[family],
      tcp({ sport: 7, dport: 9, payload: 2400, options: Buffer.alloc(12, 1) }),
    );
    expect(chain.run(frame, { gsoSize: 1300 - header })).toMatchObject({ drops: [], seen: { port: SMALL } });
    const result = chain.run(frame, { gsoSize: 1301 - header });
    expect(result.drops).toEqual(['router PacketTooBig']);
    expectError(frame, result, {
      ...codes({ type: 3, code: 4 }, { type: 2, code: 0 }),
      rest: 1300,
      from: GATEWAY[family],
    });
  });

  test('a port of the router', () => {
    for (const content of [
      udp({ sport: 7, dport: 53, payload: 5 }),
      tcp({ sport: 7, dport: 80, flags: 'S' }),
    ]) {
      const frame = to(family, GATEWAY[family], content);
      const result = chain.run(frame);
      expect(result.drops).toEqual(['router LocalDelivery']);
      expectError(frame, result, {
        ...codes({ type: 3, code: 3 }, { type: 1, code: 4 }),
        from: GATEWAY[family],
      });
    }
  });

  test('a protocol of the router', () => {
    const frame = to(family, GATEWAY[family], raw(89, 20));
    const result = chain.run(frame);
    expect(result.drops).toEqual(['router LocalDelivery']);
    expectError(frame, result, {
      ...codes({ type: 3, code: 2, rest: 0 }, { type: 4, code: 1, rest: 6 }),
      from: GATEWAY[family],
    });
  });

  test('with options or extension headers in the quotation', () => {
    const frame =
      family === 'v4'
        ? ethernet(
            {},
            ipv4(
              { src: POD.v4, dst: TO.nowhere.v4, options: Buffer.alloc(40, 1) },
              tcp({ sport: 1, dport: 2 }),
            ),
          )
        : ethernet(
            {},
            ipv6(
              { src: POD.v6, dst: TO.nowhere.v6, extensions: [extension(0, 2), extension(60, 3)] },
              tcp({ sport: 1, dport: 2 }),
            ),
          );
    const result = chain.run(frame);
    expect(verifyChecksums(result.frame)).toEqual([]);
    expect(dissectPacket(result.frame).quoted).toMatchObject({ options: 40, tcp: { sport: 1, dport: 2 } });
  });

  test('the answer takes the route to the sender, not the way back', () => {
    const frame = ethernet(
      {},
      ip({ src: TO.remote[family], dst: TO.nowhere[family] }, udp({ sport: 7, dport: 9 })),
    );
    const result = chain.run(frame);
    expectError(frame, result, {
      ...codes({ type: 3, code: 0 }, { type: 1, code: 0 }),
      from: GATEWAY[family],
      port: OVERLAY,
    });
    expect(result.seen?.work.tunnelRemote).toBe(codes('172.18.0.3', 'fd18::3'));
  });

  test('from the address of the port, else from another of the router', () => {
    chain.attach({ kind: 'interface' }, router.cube, UPLINK);
    expect(dissectPacket(chain.run(to(family, TO.nowhere[family])).frame).src).toBe(
      codes('192.168.7.2', 'fd00:7::2'),
    );
    chain.attach({ kind: 'interface' }, router.cube, BARE);
    expect(dissectPacket(chain.run(to(family, TO.nowhere[family])).frame).src).toBe(GATEWAY[family]);
  });
});

describe.each(FAMILIES)('silence, %s', (family) => {
  const v6 = family === 'v6';
  const nowhere = TO.nowhere[family];
  const quoted = ip({ src: nowhere, dst: POD[family] }, udp({ sport: 1, dport: 2, payload: 8 })).bytes;

  test('a Blackhole route', () => {
    const result = chain.run(to(family, TO.blackhole[family]));
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['router Blackhole'], counts: [] });
  });

  test.each([
    ['an ICMP error', icmpError(v6 ? 1 : 3, 1, quoted)],
    ['a redirect', icmp({ type: v6 ? 137 : 5, payload: 40, ...(v6 ? { v6 } : {}) })],
    ['an unknown ICMP type', icmp({ type: v6 ? 200 : 42, payload: 40, ...(v6 ? { v6 } : {}) })],
  ] as const)('about %s', (_, content) => {
    const result = chain.run(to(family, nowhere, content));
    expect(result).toMatchObject({
      verdict: Verdict.drop,
      drops: ['router NoRoute'],
      counts: ['router icmpSuppressed'],
    });
  });

  test('about a later fragment, but not about the first', () => {
    const [first, later] = fragments(
      { src: POD[family], dst: nowhere },
      udp({ sport: 5, dport: 6, payload: 300 }),
      160,
    );
    expect(chain.run(first ?? Buffer.alloc(0)).counts).toEqual(['router icmpErrors']);
    expect(chain.run(later ?? Buffer.alloc(0))).toMatchObject({
      drops: ['router NoRoute'],
      counts: ['router icmpSuppressed'],
    });
  });

  test('about a frame to everybody', () => {
    const result = chain.run(to(family, nowhere), { packetType: 1 });
    expect(result.counts).toEqual(['router icmpSuppressed']);
  });

  test('an echo reply, an error or a fragment for the router itself', () => {
    for (const content of [echo({ v6, reply: true }), icmpError(v6 ? 1 : 3, 1, quoted)]) {
      expect(chain.run(to(family, GATEWAY[family], content))).toMatchObject({
        verdict: Verdict.drop,
        drops: ['router LocalDelivery'],
        counts: [],
      });
    }
    const [first] = fragments({ src: POD[family], dst: GATEWAY[family] }, echo({ v6, payload: 300 }), 160);
    expect(chain.run(first ?? Buffer.alloc(0))).toMatchObject({
      verdict: Verdict.drop,
      drops: ['router LocalDelivery'],
    });
  });

  test('over the limit', async () => {
    using other = await Chain.open();
    const limited = await addRouter(other, {
      ports: [{ name: 'pods', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] }],
      spec: { icmp: { errorsPerSecond: 1, burst: 3 } },
    });
    other.attach({ kind: 'interface' }, limited.cube, 0);
    const send = (src: string) =>
      other.run(ethernet({}, ip({ src, dst: nowhere }, udp({ sport: 1, dport: 2 }))));
    const counts = Array.from({ length: 5 }, () => send(POD[family]).counts[0]);
    expect(counts).toEqual([
      ...new Array(3).fill('router icmpErrors'),
      ...new Array(2).fill('router icmpSuppressed'),
    ]);
    // another prefix has tokens of its own, another host of the same prefix has none
    expect(send(v6 ? 'fd00:244:5::5' : '10.244.5.5').counts).toEqual(['router icmpErrors']);
    expect(send(v6 ? 'fd00:244:1::77' : '10.244.1.77').counts).toEqual(['router icmpSuppressed']);
    const asleep = Date.now() + 1100;
    while (Date.now() < asleep) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(send(POD[family]).counts).toEqual(['router icmpErrors']);
    expect(send(POD[family]).counts).toEqual(['router icmpSuppressed']);
  });

  test('a limit of 0 is silence', async () => {
    using other = await Chain.open();
    const silent = await addRouter(other, {
      ports: [{ name: 'pods', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] }],
      spec: { icmp: { errorsPerSecond: 0, burst: 1 } },
    });
    other.attach({ kind: 'interface' }, silent.cube, 0);
    expect(other.run(to(family, nowhere))).toMatchObject({
      verdict: Verdict.drop,
      counts: ['router icmpSuppressed'],
    });
  });
});

describe.each(FAMILIES)("the router's own addresses, %s", (family) => {
  const v6 = family === 'v6';

  test.each([0, 1, 56, 1000])('echo with %i bytes', (payload) => {
    const frame = to(family, GATEWAY[family], echo({ v6, id: 77, sequence: 5, payload }), 3);
    const result = chain.run(frame);
    expect(result).toMatchObject({ drops: [], counts: ['router echoReplies'], seen: { port: PODS } });
    const answer = dissectPacket(result.frame);
    expect(answer).toMatchObject({ src: GATEWAY[family], dst: POD[family], ttl: 64 });
    expect(answer.icmp).toMatchObject({ type: v6 ? 129 : 0, code: 0, rest: 77 * 65536 + 5 });
    expect(answer.icmp?.payload).toEqual(dissectPacket(frame).icmp?.payload);
    expect(verifyChecksums(result.frame)).toEqual([]);
    expect(result.seen?.work).toMatchObject({ sport: 0, dport: 77, src: GATEWAY[family], dst: POD[family] });
  });

  test('any of them, by any port', () => {
    const result = chain.run(to(family, v6 ? 'fd00:7::2' : '192.168.7.2', request(family)));
    expect(result.counts).toEqual(['router echoReplies']);
  });

  test("shared with the host: echo is answered, the rest is the host's", async () => {
    using other = await Chain.open();
    const shared = await addRouter(other, {
      ports: [
        { name: 'pods', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'], endpoint: 'Pods' },
        { name: 'host', id: 1, addresses: [], endpoint: 'Stack' },
      ],
    });
    other.attach({ kind: 'interface' }, shared.cube, 0);
    expect(other.run(to(family, GATEWAY[family], request(family))).counts).toEqual(['router echoReplies']);
    const segment = to(family, GATEWAY[family], tcp({ sport: 80, dport: 40000, flags: 'SA' }));
    const result = other.run(segment);
    expect(result).toMatchObject({ drops: [], seen: { port: 1 } });
    expect(result.frame).toEqual(segment);
    // and the host speaks from it
    other.attach({ kind: 'stack' }, shared.cube, 1);
    const fromHost = (content: Layer4, dst: string) =>
      ethernet({}, ip({ src: GATEWAY[family], dst }, content));
    expect(other.run(fromHost(udp({ sport: 1, dport: 2 }), TO.pod[family])).seen?.port).toBe(0);
    // an error for it goes back to it
    expect(other.run(fromHost(udp({ sport: 1, dport: 2 }), TO.nowhere[family])).seen?.port).toBe(1);
  });

  test('nobody else speaks from them', () => {
    for (const src of [GATEWAY[family], v6 ? 'fd00:7::2' : '192.168.7.2']) {
      const result = chain.run(ethernet({}, ip({ src, dst: TO.pod[family] }, udp({ sport: 1, dport: 2 }))));
      expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['router InvalidSource'], counts: [] });
    }
  });
});

describe("addresses that are nobody's", () => {
  test.each([
    '0.0.0.1',
    '127.0.0.1',
    '224.0.0.5',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'ff02::5',
    'fe80::7',
  ])('no packet from %s is forwarded', (src) => {
    const dst = src.includes(':') ? TO.pod.v6 : TO.pod.v4;
    const result = chain.run(ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 }))));
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['router InvalidSource'], counts: [] });
  });

  test.each([
    '0.0.0.1',
    '127.0.0.1',
    '239.1.1.1',
    '240.0.0.1',
    '10.244.1.255',
    '::',
    '::1',
    'ff05::5',
    'fe80::7',
  ])('no packet to %s is forwarded', (dst) => {
    chain.attach({ kind: 'stack' }, router.cube, PODS);
    const src = dst.includes(':') ? POD.v6 : POD.v4;
    const result = chain.run(ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 }))));
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['router NotForwardable'], counts: [] });
  });

  test.each(['239.1.1.1', 'ff05::5'])("a group that is not forwarded, as %s, may be the host's", (dst) => {
    const src = dst.includes(':') ? POD.v6 : POD.v4;
    const frame = ethernet({}, ip({ src, dst }, udp({ sport: 1, dport: 2 })));
    expect(chain.run(frame)).toMatchObject({ verdict: Verdict.pass, drops: [] });
  });

  test.each(['192.168.7.3'])('the broadcast address of a /30 is one: %s', (dst) => {
    expect(chain.run(to('v4', dst)).drops).toEqual(['router NotForwardable']);
  });

  test('the broadcast address of a prefix that only the trie knows is one', async () => {
    using own = await Chain.open();
    // four longer lengths fill the hash
    const routes = ['10.9.1.1/32', '10.9.2.0/30', '10.9.3.0/28', '10.9.4.0/24'].map((destination) => ({
      type: 'Blackhole' as const,
      destination,
    }));
    const ports = [{ name: 'lan', id: 0, addresses: ['10.9.0.1/16'], endpoint: 'Interface' as const }];
    const { cube } = await addRouter(own, { ports, spec: { routes } });
    own.attach({ kind: 'stack' }, cube, 0);
    const send = (dst: string) =>
      own.run(ethernet({}, ip({ src: '10.9.7.7', dst }, udp({ sport: 1, dport: 2 }))));
    expect(send('10.9.7.8')).toMatchObject({ drops: [], counts: ['router forwarded', 'router lpmLookups'] });
    expect(send('10.9.255.255').drops).toEqual(['router NotForwardable']);
  });

  test('the groups of one link go to the host on an interface, elsewhere they end', () => {
    for (const dst of ['224.0.0.5', 'ff02::16']) {
      const frame = ethernet({}, ip({ src: dst.includes(':') ? POD.v6 : POD.v4, dst }, raw(89, 20)));
      chain.attach({ kind: 'interface' }, router.cube, UPLINK);
      expect(chain.run(frame)).toMatchObject({ verdict: Verdict.pass, drops: [], frame });
      chain.attach({ kind: 'stack' }, router.cube, UPLINK);
      expect(chain.run(frame)).toMatchObject({ verdict: Verdict.drop, drops: ['router LinkLocalControl'] });
    }
  });

  test('a source route is refused, other options are not', () => {
    const send = (options: number[]) =>
      chain.run(
        ethernet(
          {},
          ipv4({ src: POD.v4, dst: TO.pod.v4, options: Buffer.from(options) }, udp({ sport: 1, dport: 2 })),
        ),
      ).drops;
    expect(send([131, 7, 4, 10, 0, 0, 1])).toEqual(['router Unsupported']);
    expect(send([137, 7, 4, 10, 0, 0, 1])).toEqual(['router Unsupported']);
    expect(send([1, 1, 7, 7, 4, 0, 0, 0, 0, 131, 3, 4])).toEqual(['router Unsupported']);
    expect(send([7, 7, 4, 0, 0, 0, 0])).toEqual([]);
    expect(send([0, 131, 3, 4])).toEqual([]); // behind the end of options
    expect(send([68, 1, 0, 0])).toEqual(['router Unsupported']); // malformed: it could hide one
  });

  test('a frame for somebody else is not forwarded', () => {
    const frame = ethernet(
      { dst: '02:00:00:00:99:99' },
      ip({ src: POD.v4, dst: TO.pod.v4 }, udp({ sport: 1, dport: 2 })),
    );
    // an interface is the host's too: it may want broadcasts, as DHCP does
    for (const packetType of [undefined, 1])
      expect(chain.run(frame, packetType === undefined ? {} : { packetType })).toMatchObject({
        verdict: Verdict.pass,
        drops: [],
      });
    expect(chain.run(frame, { packetType: 0 }).drops).toEqual([]); // the device's own MAC
    chain.attach({ kind: 'overlay' }, router.cube, OVERLAY);
  });

  test('a VLAN is another network, a priority tag is not', () => {
    const inner = ip({ src: POD.v4, dst: TO.pod.v4 }, udp({ sport: 1, dport: 2, payload: 30 }));
    expect(chain.run(ethernet({ vlan: 12 }, inner)).drops).toEqual(['router Unsupported']);
    expect(chain.run(ethernet({}, inner), { vlan: 12 }).drops).toEqual(['router Unsupported']);
    const tagged = chain.run(ethernet({ vlan: 5 << 13 }, inner));
    expect(tagged).toMatchObject({ drops: [], seen: { port: PODS, work: { l3: 14, l4: 34 } } });
    expect(dissect(tagged.frame)).toMatchObject({ eth: { type: 0x0800 }, ip: { ttl: 63 } });
    expect(verifyChecksums(tagged.frame)).toEqual([]);
    expect(chain.run(ethernet({}, inner), { vlan: 5 << 13 })).toMatchObject({
      drops: [],
      seen: { port: PODS },
    });
  });

  test('other protocols go to the host on an interface, elsewhere they end', () => {
    const lldp = ethernet({ etherType: 0x88cc }, new Uint8Array(50));
    expect(chain.run(lldp)).toMatchObject({ verdict: Verdict.pass, frame: lldp });
    chain.attach({ kind: 'stack' }, router.cube, PODS);
    expect(chain.run(lldp).drops).toEqual(['router LinkLocalControl']);
  });
});

describe('edges', () => {
  test.each(FAMILIES)('a port that leads nowhere: %s', (family) => {
    chain.edge(1, UPLINK, { kind: 'none' });
    expect(chain.run(to(family, TO.host[family])).drops).toEqual(['router NoEdge']);
    chain.edge(1, UPLINK, { kind: 'cube', target: 88 });
    expect(chain.run(to(family, TO.host[family])).drops).toEqual(['router TailCallFailed']);
    chain.watch(1, UPLINK);
  });

  test.each(FAMILIES)('two routers that send a packet to each other: %s', async (family) => {
    using loop = await Chain.open();
    const side = (slot: number, net: number) =>
      addRouter(loop, {
        slot,
        ports: [{ name: 'other', id: 0, addresses: [`10.1.0.${net}/24`, `fd01::${net}/64`] }],
        spec: {
          routes: [
            { destination: '0.0.0.0/0', type: 'NextHop', nextHop: { address: `10.1.0.${3 - net}` } },
            { destination: '::/0', type: 'NextHop', nextHop: { address: `fd01::${3 - net}` } },
          ],
        },
      });
    const [a, b] = [await side(1, 1), await side(2, 2)];
    loop.link(a.cube, 0, b.cube, 0);
    loop.attach({ kind: 'interface' }, a.cube, 0);
    const result = loop.run(to(family, TO.internet[family], undefined, 64));
    expect(result).toMatchObject({ verdict: Verdict.drop, drops: ['router@2 HopLimit'] }); // the 32nd cube
    expect(result.counts.sort()).toEqual([
      ...new Array(16).fill('router forwarded'),
      ...new Array(15).fill('router@2 forwarded'),
    ]);
  });

  test.each(FAMILIES)('a pod, by its MAC: %s', (family) => {
    chain.edge(1, PODS, { kind: 'pod' });
    expect(chain.run(to(family, TO.pod[family])).drops).toEqual(['router UnknownPod']);
    chain.addPod(TO.pod[family], 1, '02:00:00:00:77:77');
    const result = chain.run(to(family, TO.pod[family]));
    expect(result).toMatchObject({ drops: [] });
    expect([Verdict.redirect, Verdict.drop]).toContain(result.verdict); // redirect_peer wants a device with a peer
    expect(dissect(result.frame).eth).toMatchObject({ dst: '02:00:00:00:77:77', src: GATEWAY_MAC });
    chain.watch(1, PODS);
  });

  test.each(FAMILIES)('a tunnel, the host, a device, a neighbour: %s', (family) => {
    for (const kind of ['tunnel', 'stack', 'device', 'neighbour'] as const) {
      chain.edge(1, OVERLAY, { kind, target: 1 });
      const result = chain.run(to(family, TO.remote[family]));
      expect(result).toMatchObject({ verdict: Verdict.redirect, drops: [] });
      const { dst, src } = dissect(result.frame).eth;
      // an overlay device drops frames from its own MAC, which is the gateway's on every node
      if (kind === 'tunnel') expect([dst, src]).toEqual([GATEWAY_MAC, GATEWAY_MAC.replace(/01$/, 'fe')]);
      if (kind === 'stack') expect([dst, src]).toEqual([GATEWAY_MAC, GATEWAY_MAC]);
    }
    chain.watch(1, OVERLAY);
  });

  test('a dry run writes nothing and sends nothing', () => {
    for (const family of FAMILIES) {
      const before = router.cube.port(PODS);
      const result = chain.run(to(family, TO.remote[family]), { dry: true });
      expect(result).toMatchObject({ drops: [], counts: [] });
      expect(router.cube.port(PODS)).toEqual(before);
      expect(result.events.map(({ kind, slot, value }) => [kind, slot, value])).toEqual([
        ['enter', 0, 8],
        ['hop', 1, PODS],
        ['decision', 1, 1],
        ['output', 1, OVERLAY],
        ['hop', 255, OVERLAY],
      ]);
      const dropped = chain.run(to(family, TO.blackhole[family]), { dry: true });
      expect(dropped).toMatchObject({ verdict: Verdict.drop, drops: [], counts: [] });
      expect(dropped.events.map(({ kind, value }) => [kind, value])).toEqual([
        ['enter', 8],
        ['hop', PODS],
        ['decision', 1],
        ['drop', 33],
      ]);
      chain.edge(1, OVERLAY, { kind: 'device', target: 1 });
      expect(chain.run(to(family, TO.remote[family]), { dry: true }).verdict).toBe(Verdict.drop);
      chain.watch(1, OVERLAY);
    }
    // an answer in a dry run takes no token
    const buckets = router.cube.map('reply_buckets');
    const count = buckets.dumpSync().values.toString('hex');
    const answer = chain.run(to('v4', TO.nowhere.v4), { dry: true });
    expect(dissectPacket(answer.frame).icmp?.type).toBe(3);
    expect(buckets.dumpSync().values.toString('hex')).toBe(count);
  });
});

describe('many prefix lengths', () => {
  test('hash and trie together find the longest match, also while lengths move', async () => {
    using other = await Chain.open();
    const many = await addRouter(other, {
      ports: [
        { name: 'a', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:1::1/64'] },
        { name: 'b', id: 1, addresses: [] },
        { name: 'c', id: 2, addresses: [] },
      ],
    });
    other.attach({ kind: 'interface' }, many.cube, 0);
    const port = (dst: string) => other.run(to(dst.includes(':') ? 'v6' : 'v4', dst)).seen?.port;
    const routes = (lengths: number[], name: string) =>
      lengths.flatMap((length) => [
        { destination: `10.${length}.0.0/${length}`, type: 'Port' as const, port: name },
        {
          destination: `fd${String(length).padStart(2, '0')}::/${length + 16}`,
          type: 'Port' as const,
          port: name,
        },
      ]);
    many.image.setTable('t/a', [
      ...routes([16, 20, 28, 30, 31], 'b'),
      { destination: '0.0.0.0/0', type: 'Port', port: 'c' },
      { destination: '::/0', type: 'Port', port: 'c' },
    ]);
    many.write();
    for (const length of [16, 20, 28, 30, 31]) {
      expect([length, port(`10.${length}.0.1`), port(`fd${length}::1`)]).toEqual([length, 1, 1]);
    }
    expect([port('8.8.8.8'), port('2001:db8::1'), port('10.244.1.9'), port('fd00:244:1::9')]).toEqual([
      2, 2, 0, 0,
    ]);
    // without the IPv4 default, the IPv6 one must not serve IPv4
    many.image.setTable('t/a', [
      ...routes([16, 20, 28, 30, 31], 'b'),
      { destination: '::/0', type: 'Port', port: 'c' },
    ]);
    many.write();
    expect(other.run(to('v4', '8.8.8.8')).drops).toEqual(['router NoRoute']);
    expect(port('2001:db8::1')).toBe(2);
    many.image.setTable('t/a', undefined);
    many.write();
    expect([port('10.244.1.9'), port('fd00:244:1::9')]).toEqual([0, 0]);
    expect(many.cube.map('routes_lpm').dumpSync().count).toBe(0);
  });

  test('512 own addresses are all found, and nothing else is', async () => {
    using other = await Chain.open();
    const ports = Array.from({ length: 32 }, (_, id) => ({
      name: `p${id}`,
      id,
      addresses: Array.from({ length: 8 }, (_, i) => [
        `10.${id}.${i * 29}.7/24`,
        `fd00:${id}:${i * 29}::7/64`,
      ]).flat(),
    }));
    const big = await addRouter(other, { ports });
    other.attach({ kind: 'interface' }, big.cube, 0);
    for (const { addresses } of ports) {
      for (const address of addresses) {
        const own = address.replace(/\/.*/, '');
        const family = own.includes(':') ? 'v6' : 'v4';
        const src = family === 'v6' ? 'fd99::1' : '10.99.0.1';
        const ping = (dst: string) => other.run(ethernet({}, ip({ src, dst }, request(family)))).counts;
        expect([own, ping(own)]).toEqual([own, ['router echoReplies']]);
        expect(ping(own.replace(/7$/, '8'))).toEqual(['router forwarded']);
      }
    }
  }, 120_000);
});
