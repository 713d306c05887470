// SPDX-License-Identifier: Apache-2.0
/** Rules of the NAT: which packets are translated, to what, and what crosses as it is; servers on the inside; hairpins. */
import { afterEach, describe, expect, test } from '@jest/globals';
import { GATEWAY_MAC, POD_MAC } from './support/bytes.ts';
import { type RunResult, Verdict } from './support/chain.ts';
import { type DissectedIp, dissect, verifyChecksums } from './support/dissect.ts';
import { arp, echo, ethernet, ip, type Layer4, raw, solicitation, tcp, udp } from './support/packet.ts';
import {
  ADDRESSES,
  INSIDE,
  MASQUERADE,
  OUTSIDE,
  type SourceRule,
  Translator,
  type TranslatorOptions,
} from './support/translator.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      client: '10.244.1.5',
      server: '10.244.2.7',
      own: '198.51.100.10',
      own2: '198.51.100.11',
      peer: '203.0.113.7',
      other: '192.0.2.9',
      net: '203.0.113.0/24',
      clients: '10.244.1.0/24',
    },
  ],
  [
    'IPv6',
    {
      client: 'fd00:244:1::5',
      server: 'fd00:244:2::7',
      own: '2001:db8::10',
      own2: '2001:db8::11',
      peer: '2001:db8:7::7',
      other: '2001:db8:9::9',
      net: '2001:db8:7::/64',
      clients: 'fd00:244:1::/64',
    },
  ],
] as const;
type Family = (typeof FAMILIES)[number][1];

let nat: Translator;
afterEach(() => nat?.close());
async function open(options: TranslatorOptions): Promise<void> {
  nat = await Translator.open(options);
}

const TWO = [...ADDRESSES, '198.51.100.11/24', '2001:db8::11/64'];
const exclude = (rule: Partial<SourceRule>): SourceRule =>
  ({ ...MASQUERADE, ...rule, type: 'Exclude' }) as never;
const packet = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));
const syn = (sport: number, dport: number) => tcp({ sport, dport, flags: 'S' });
const ack = (sport: number, dport: number) => tcp({ sport, dport, flags: 'SA', seq: 9, ack: 2 });

/** The packet as it left, its checksums being right. */
function left(result: RunResult, port: number): DissectedIp {
  expect(result).toMatchObject({ drops: [], seen: { port } });
  expect(verifyChecksums(result.frame)).toEqual([]);
  const { ip: found } = dissect(result.frame);
  if (!found) throw new Error('no IP packet');
  return found;
}

describe.each(FAMILIES)('%s', (_, f: Family) => {
  const v6 = f.client.includes(':');

  test('what no rule takes crosses unchanged, both ways', async () => {
    await open({ spec: { sourceRules: [{ ...MASQUERADE, sources: [f.clients] }] } });
    const there = packet(f.server, f.peer, syn(1, 80));
    expect(nat.inside(there)).toMatchObject({ counts: ['nat passed'], drops: [], seen: { port: OUTSIDE } });
    expect(nat.inside(there).frame).toEqual(there);
    const back = packet(f.peer, f.server, ack(80, 1));
    expect(nat.outside(back)).toMatchObject({ counts: ['nat passed'], seen: { port: INSIDE } });
    expect(nat.outside(back).frame).toEqual(back);
    expect(left(nat.inside(packet(f.client, f.peer, syn(1, 80))), OUTSIDE).src).toBe(f.own);
  });

  test('rules are taken in their order, by source, destination and protocol', async () => {
    await open({
      addresses: TWO,
      spec: {
        sourceRules: [
          exclude({ protocol: 'ICMP' }),
          exclude({ destinations: [f.net], protocol: 'UDP' }),
          {
            ...MASQUERADE,
            type: 'SNAT',
            destinations: [f.net],
            snat: { addresses: ['198.51.100.11', '2001:db8:0::11'] },
          },
          exclude({ destinations: [f.net] }),
          {
            ...MASQUERADE,
            sources: [f.clients],
            type: 'SNAT',
            snat: { addresses: ['198.51.100.10', '2001:db8::10'] },
          },
        ],
      },
    });
    expect(left(nat.inside(packet(f.client, f.peer, echo({ v6 }))), OUTSIDE).src).toBe(f.client);
    expect(left(nat.inside(packet(f.client, f.peer, udp({ sport: 1, dport: 2 }))), OUTSIDE).src).toBe(
      f.client,
    );
    expect(left(nat.inside(packet(f.client, f.peer, syn(1, 2))), OUTSIDE).src).toBe(f.own2);
    expect(left(nat.inside(packet(f.client, f.other, syn(1, 2))), OUTSIDE).src).toBe(f.own);
    expect(left(nat.inside(packet(f.server, f.other, syn(1, 2))), OUTSIDE).src).toBe(f.server);
  });

  test('exclusions come before all rules, but never hold for an outside address', async () => {
    const whole = v6 ? '2001:db8::/32' : '198.51.100.0/24';
    await open({
      spec: {
        exclusions: [f.net, whole],
        forwardRules: [
          { sources: [], protocol: 'TCP', port: 8080, target: { address: f.server, port: 80 } },
          { sources: [], destination: whole, protocol: 'TCP', port: 81, target: { address: f.server } },
        ],
      },
    });
    const there = packet(f.client, f.peer, syn(1, 80));
    expect(nat.inside(there)).toMatchObject({ counts: ['nat excluded'], seen: { port: OUTSIDE } });
    expect(nat.inside(there).frame).toEqual(there);
    const in81 = packet(f.peer, f.own, syn(1, 81));
    expect(nat.outside(in81)).toMatchObject({ counts: ['nat excluded'], frame: in81 });
    expect(left(nat.inside(packet(f.client, f.own, syn(1, 8080))), INSIDE).dst).toBe(f.server);
  });

  test('a client keeps its outside address; clients are spread over all of them', async () => {
    await open({ addresses: TWO });
    const seen = new Set<string>();
    for (let i = 1; i < 60; i++) {
      const client = v6 ? `fd00:244:1::${i.toString(16)}` : `10.244.1.${i}`;
      const sources = [1, 2, 3].map((n) => left(nat.inside(packet(client, f.peer, syn(n, n))), OUTSIDE).src);
      expect(new Set(sources).size).toBe(1);
      seen.add(sources[0] ?? '');
    }
    expect([...seen].sort()).toEqual([f.own, f.own2]);
  });

  test('a port of an outside address reaches its server, which sees the client', async () => {
    await open({
      spec: {
        forwardRules: [
          {
            sources: [],
            protocol: 'TCP',
            port: 8000,
            endPort: 8999,
            target: { address: f.server, port: 18000 },
          },
          { sources: [], protocol: 'UDP', port: 53, target: { address: f.server } },
        ],
      },
    });
    const there = left(nat.outside(packet(f.peer, f.own, syn(5000, 8123))), INSIDE);
    expect(there).toMatchObject({ src: f.peer, dst: f.server, tcp: { sport: 5000, dport: 18123 } });
    const back = left(nat.inside(packet(f.server, f.peer, ack(18123, 5000))), OUTSIDE);
    expect(back).toMatchObject({ src: f.own, dst: f.peer, tcp: { sport: 8123, dport: 5000 } });
    const promoted = nat.outside(
      packet(f.peer, f.own, tcp({ sport: 5000, dport: 8123, flags: 'A', ack: 10 })),
    );
    expect(promoted.counts).toContain('nat promoted');
    expect(left(nat.outside(packet(f.peer, f.own, udp({ sport: 9, dport: 53 }))), INSIDE)).toMatchObject({
      dst: f.server,
      udp: { dport: 53 },
    });
    for (const port of [7999, 9000])
      expect(nat.outside(packet(f.peer, f.own, syn(5000, port))).drops).toEqual(['nat NoMapping']);
    const middle = nat.outside(packet(f.peer, f.own, tcp({ sport: 1, dport: 8001, flags: 'A', ack: 77 })));
    expect(middle).toMatchObject({ drops: ['nat NoSession'], seen: { port: OUTSIDE } });
    expect(dissect(middle.frame).ip).toMatchObject({ src: f.own, dst: f.peer, tcp: { flags: 'R', seq: 77 } });
    expect(verifyChecksums(middle.frame)).toEqual([]);
  });

  test('a prefix is one server, of all protocols, for some clients', async () => {
    const prefix = v6 ? '2001:db8:50::/64' : '198.51.101.0/24';
    const inPrefix = v6 ? '2001:db8:50::9' : '198.51.101.9';
    await open({
      spec: { forwardRules: [{ destination: prefix, sources: [f.net], target: { address: f.server } }] },
    });
    const there = left(nat.outside(packet(f.peer, inPrefix, syn(5000, 22))), INSIDE);
    expect(there).toMatchObject({ dst: f.server, tcp: { dport: 22 } });
    const request = left(nat.outside(packet(f.peer, inPrefix, echo({ id: 77, v6 }))), INSIDE);
    expect(request).toMatchObject({ dst: f.server, icmp: { rest: 77 * 65536 + 1 } });
    const reply = left(nat.inside(packet(f.server, f.peer, echo({ id: 77, reply: true, v6 }))), OUTSIDE);
    expect(reply).toMatchObject({ src: inPrefix, icmp: { rest: 77 * 65536 + 1 } });
    const gre = left(nat.outside(packet(f.peer, inPrefix, raw(47, 30))), INSIDE);
    expect(gre).toMatchObject({ dst: f.server, protocol: 47 });
    expect(left(nat.inside(packet(f.server, f.peer, raw(47, 30))), OUTSIDE).src).toBe(inPrefix);
    const stranger = packet(f.other, inPrefix, syn(5000, 22));
    expect(nat.outside(stranger)).toMatchObject({ counts: ['nat passed'], frame: stranger });
  });

  test('one port of a client to one server by two outside ports: the second gets another source port', async () => {
    await open({
      spec: {
        forwardRules: [
          { sources: [], protocol: 'TCP', port: 80, target: { address: f.server, port: 8080 } },
          { sources: [], protocol: 'TCP', port: 81, target: { address: f.server, port: 8080 } },
        ],
      },
    });
    expect(left(nat.outside(packet(f.peer, f.own, syn(5000, 80))), INSIDE).tcp?.sport).toBe(5000);
    const second = nat.outside(packet(f.peer, f.own, syn(5000, 81)));
    expect(second.counts).toContain('nat sourcePortChanged');
    const port = left(second, INSIDE).tcp?.sport ?? 0;
    expect(port).not.toBe(5000);
    for (const [at, outside] of [
      [5000, 80],
      [port, 81],
    ] as const) {
      const back = left(nat.inside(packet(f.server, f.peer, ack(8080, at))), OUTSIDE);
      expect(back).toMatchObject({ src: f.own, tcp: { sport: outside, dport: 5000 } });
    }
  });

  test('a client on the inside reaches a server there by the outside address, and itself', async () => {
    await open({
      spec: {
        forwardRules: [{ sources: [], protocol: 'TCP', port: 80, target: { address: f.server, port: 8080 } }],
      },
    });
    for (const client of [f.client, f.server]) {
      const there = nat.inside(packet(client, f.own, syn(5000, 80)));
      expect(there.counts.sort()).toEqual(['nat hairpins', 'nat newSessions', 'nat translated']);
      const { src, dst, tcp: segment } = left(there, INSIDE);
      expect({ src, dst, dport: segment?.dport }).toEqual({ src: f.own, dst: f.server, dport: 8080 });
      const back = left(nat.inside(packet(f.server, f.own, ack(8080, segment?.sport ?? 0))), INSIDE);
      expect(back).toMatchObject({ src: f.own, dst: client, tcp: { sport: 80, dport: 5000 } });
      const third = nat.inside(packet(client, f.own, tcp({ sport: 5000, dport: 80, flags: 'A', ack: 10 })));
      expect(third.counts).toContain('nat promoted');
    }
    expect(nat.inside(packet(f.client, f.own, syn(5000, 81))).drops).toEqual(['nat NoMapping']);
  });

  test('a hairpin that is refused is no session, and not counted as one', async () => {
    await open({ spec: { forwardRules: [{ sources: [], target: { address: f.server } }] } });
    expect(nat.inside(packet(f.client, f.own, raw(47, 30))).counts).toContain('nat hairpins');
    const other = v6 ? 'fd00:244:1::6' : '10.244.1.6';
    const second = nat.inside(packet(other, f.own, raw(47, 30)));
    expect(second).toMatchObject({ drops: ['nat ReverseConflict'], counts: [] });
  });

  test('protocols without ports have one session for each peer; some cannot be translated', async () => {
    await open({});
    expect(left(nat.inside(packet(f.client, f.peer, raw(47, 30))), OUTSIDE).src).toBe(f.own);
    expect(left(nat.outside(packet(f.peer, f.own, raw(47, 30))), INSIDE).dst).toBe(f.client);
    expect(nat.inside(packet(f.server, f.peer, raw(47, 30))).drops).toEqual(['nat PortsExhausted']);
    expect(left(nat.inside(packet(f.server, f.other, raw(47, 30))), OUTSIDE).src).toBe(f.own);
    for (const protocol of v6 ? [33, 136] : [33, 136, 51])
      expect(nat.inside(packet(f.client, f.peer, raw(protocol, 30))).drops).toEqual(['nat NotTranslatable']);
  });
});

test('one packet of two families finds no rule of the other one', async () => {
  await open({ addresses: ['198.51.100.10/24'] });
  const six = packet('fd00:244:1::5', '2001:db8:7::7', syn(1, 2));
  expect(nat.inside(six)).toMatchObject({ counts: ['nat passed'], frame: six });
  expect(left(nat.inside(packet('10.244.1.5', '203.0.113.7', syn(1, 2))), OUTSIDE).src).toBe('198.51.100.10');
});

test('the control traffic of one link crosses; on a shared interface it is the host’s', async () => {
  await open({});
  const frames = [
    ethernet(
      {},
      arp({ operation: 1, senderMac: '02:00:00:00:00:05', sender: '10.0.0.5', target: '10.0.0.1' }),
    ),
    ethernet({}, ip({ src: 'fe80::5', dst: 'ff02::1:ff00:1', ttl: 255 }, solicitation('fe80::1'))),
    packet('10.244.1.5', '224.0.0.251', udp({ sport: 5353, dport: 5353 })),
    packet('fe80::5', 'fe80::6', udp({ sport: 1, dport: 2 })),
  ];
  for (const frame of frames) {
    expect(nat.inside(frame)).toMatchObject({ counts: ['nat passed'], frame, seen: { port: OUTSIDE } });
    expect(nat.outside(frame)).toMatchObject({ counts: ['nat passed'], frame, seen: { port: INSIDE } });
    nat.enter(OUTSIDE, 'interface');
    expect(nat.chain.run(frame)).toMatchObject({ verdict: Verdict.pass, drops: [], frame });
  }
});

test('outside addresses are answered for at the port outside, unless the host has them, too', async () => {
  await open({});
  const who = (target: string) =>
    ethernet({}, arp({ operation: 1, senderMac: POD_MAC, sender: '198.51.100.1', target }));
  const solicit = (target: string) =>
    ethernet({}, ip({ src: '2001:db8::1', dst: target, ttl: 255 }, solicitation(target)));
  const answer = nat.outside(who('198.51.100.10'));
  expect(answer).toMatchObject({ counts: ['nat neighbourReplies'], seen: { port: OUTSIDE } });
  expect(dissect(answer.frame)).toMatchObject({
    eth: { src: GATEWAY_MAC, dst: POD_MAC },
    arp: { operation: 2, senderMac: GATEWAY_MAC, sender: '198.51.100.10', target: '198.51.100.1' },
  });
  const advertised = nat.outside(solicit('2001:db8::10'));
  expect(advertised).toMatchObject({ counts: ['nat neighbourReplies'], seen: { port: OUTSIDE } });
  expect(dissect(advertised.frame).ip).toMatchObject({
    src: '2001:db8::10',
    dst: '2001:db8::1',
    icmp: { type: 136 },
  });
  expect(verifyChecksums(advertised.frame)).toEqual([]);

  for (const frame of [who('198.51.100.11'), solicit('2001:db8::11')])
    expect(nat.outside(frame)).toMatchObject({ counts: ['nat passed'], frame, seen: { port: INSIDE } });
  for (const frame of [who('198.51.100.10'), solicit('2001:db8::10')])
    expect(nat.inside(frame)).toMatchObject({ counts: ['nat passed'], frame, seen: { port: OUTSIDE } });
  const claim = arp({ operation: 1, senderMac: POD_MAC, sender: '198.51.100.10', target: '198.51.100.10' });
  expect(nat.outside(ethernet({}, claim)).drops).toEqual(['nat NeighbourInvalid']);

  nat.enter(OUTSIDE, 'interface');
  expect(nat.chain.run(solicit('2001:db8::10')).counts).toEqual(['nat neighbourReplies']);
  nat.chain.hostAddress('2001:db8::10');
  const group = ethernet(
    {},
    ip({ src: '2001:db8::1', dst: 'ff02::1:ff00:10', ttl: 255 }, solicitation('2001:db8::10')),
  );
  expect(nat.chain.run(group)).toMatchObject({ verdict: Verdict.pass, drops: [], frame: group });
});
