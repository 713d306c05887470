// SPDX-License-Identifier: Apache-2.0
/** The NAT at addresses that the host has, too: what is a pod's, what a Service's, what the host's. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { frontend, service } from './support/balancer.ts';
import { POD_MAC } from './support/bytes.ts';
import { type RunResult, Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import {
  arp,
  echo,
  ethernet,
  fragments,
  icmpError,
  ip,
  ipv4,
  type Layer4,
  solicitation,
  tcp,
  udp,
} from './support/packet.ts';
import { INSIDE, MASQUERADE, OUTSIDE, SPEC, Translator } from './support/translator.ts';

/** PKT_HOST_ROUTE of bpf/include/packet.h. */
const HOST_ROUTE = 1 << 15;

const FAMILIES = [
  [
    'IPv4',
    {
      node: '198.51.100.10',
      pod: '10.244.1.5',
      far: '10.244.2.5',
      external: '198.51.100.200',
      peer: '203.0.113.7',
    },
  ],
  [
    'IPv6',
    {
      node: '2001:db8::10',
      pod: 'fd00:244:1::5',
      far: 'fd00:244:2::5',
      external: '2001:db8::c8',
      peer: '2001:db8:7::7',
    },
  ],
] as const;

const SERVICE = service(
  'web',
  [
    frontend(['10.96.0.10', 'fd00:96::10']),
    frontend([], { scope: 'NodePort', port: 30080 }),
    frontend([], { scope: 'NodePort', port: 30053, protocol: 'UDP' }),
    frontend(['198.51.100.200', '2001:db8::c8'], { scope: 'External' }),
  ],
  [],
);

/** The external address is answered for here, another one elsewhere. */
const ANNOUNCED = [
  { address: '198.51.100.200', node: 'node-a' },
  { address: '2001:db8::c8', node: 'node-a' },
  { address: '198.51.100.201', node: 'node-b' },
  { address: '2001:db8::c9', node: 'node-b' },
];

async function open(rejects = SPEC.rejects): Promise<Translator> {
  const opened = await Translator.open({
    spec: {
      ...SPEC,
      rejects,
      role: 'Discriminator',
      exclusions: ['10.244.0.0/16', 'fd00:244::/32'],
      sourceRules: [{ ...MASQUERADE, sources: ['10.244.1.0/24', 'fd00:244:1::/64'] }],
    },
    addresses: ['198.51.100.10/32', '2001:db8::10/128'],
    node: ['198.51.100.10', '2001:db8::10'],
    services: [SERVICE],
    announcements: ANNOUNCED,
  });
  for (const address of ['198.51.100.10', '2001:db8::10']) opened.chain.hostAddress(address);
  return opened;
}

let nat: Translator;
beforeEach(async () => {
  nat = await open();
});
afterEach(() => nat?.close());

const packet = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));

function ipOf(result: RunResult) {
  expect(verifyChecksums(result.frame)).toEqual([]);
  const { ip: found } = dissect(result.frame);
  if (!found) throw new Error('no IP packet');
  return found;
}

/** Left to the host as it came. */
function isLeft(result: RunResult, frame: Uint8Array): void {
  expect(result).toMatchObject({ verdict: Verdict.pass, drops: [], counts: ['nat host'] });
  expect(result.seen).toBeUndefined();
  expect(result.frame).toEqual(frame);
}

describe.each(FAMILIES)('%s', (family, f) => {
  const v6 = family === 'IPv6';

  test('a pod gets the address of the node and a port of the range, its answer comes back, the host routes it', () => {
    const there = nat.inside(packet(f.pod, f.peer, tcp({ sport: 4000, dport: 443, flags: 'S' })));
    expect(there.seen?.port).toBe(OUTSIDE);
    expect((there.seen?.work.flags ?? 0) & HOST_ROUTE).toBe(HOST_ROUTE);
    const out = ipOf(there);
    expect(out.src).toBe(f.node);
    const sport = out.tcp?.sport ?? 0;
    expect(sport).toBeGreaterThanOrEqual(49_152);
    const back = nat.uplink(packet(f.peer, f.node, tcp({ sport: 443, dport: sport, flags: 'SA' })));
    expect(back.seen).toMatchObject({ port: INSIDE });
    expect(ipOf(back)).toMatchObject({ dst: f.pod, tcp: { dport: 4000 } });
  });

  test.each([
    [
      'a connection of the host, also from a port of the range',
      tcp({ sport: 443, dport: 50_000, flags: 'SA' }),
    ],
    ['a connection to the host', tcp({ sport: 4000, dport: 22, flags: 'S' })],
    ['a tunnel of its overlay', udp({ sport: 4000, dport: 4789, payload: 60 })],
    ['a request for its echo', echo({ id: 7, ...(v6 ? { v6 } : {}) })],
    ['an answer to its echo', echo({ id: 7, reply: true, ...(v6 ? { v6 } : {}) })],
    ['the port of a Service of the other protocol', udp({ sport: 4000, dport: 30_080, payload: 8 })],
  ])('left to the host: %s', (_, l4) => {
    const frame = packet(f.peer, f.node, l4);
    isLeft(nat.uplink(frame), frame);
    // whatever its sender is
    const fromPod = packet(f.far, f.node, l4);
    isLeft(nat.uplink(fromPod), fromPod);
  });

  test('left to the host: what is for another machine, by its address or its frame', () => {
    const other = packet(
      f.peer,
      v6 ? '2001:db8::99' : '198.51.100.99',
      tcp({ sport: 1, dport: 80, flags: 'S' }),
    );
    isLeft(nat.uplink(other), other);
    const flooded = packet(f.peer, f.external, tcp({ sport: 1, dport: 80, flags: 'S' }));
    isLeft(nat.uplink(flooded, { packetType: 3 }), flooded);
  });

  test.each(['node', 'external'] as const)(
    'what is for a Service at the %s address crosses as it is',
    (at) => {
      const dport = at === 'node' ? 30_080 : 80;
      for (const flags of ['S', 'A']) {
        const frame = packet(f.peer, f[at], tcp({ sport: 4000, dport, flags }));
        const result = nat.uplink(frame);
        expect(result).toMatchObject({ drops: [], counts: ['nat passed'], seen: { port: INSIDE } });
        expect(result.frame).toEqual(frame);
      }
      // its cluster IP is none of the outside
      const inner = packet(
        f.peer,
        v6 ? 'fd00:96::10' : '10.96.0.10',
        tcp({ sport: 4000, dport: 80, flags: 'S' }),
      );
      isLeft(nat.uplink(inner), inner);
    },
  );

  test('an error about the answer of a Service crosses, one about a packet of the host is left to it', () => {
    const about = (sport: number) => {
      const quoted = packet(f.node, f.peer, tcp({ sport, dport: 4000, flags: 'A' })).subarray(14);
      return packet(f.peer, f.node, icmpError(v6 ? 1 : 3, v6 ? 4 : 3, quoted));
    };
    expect(nat.uplink(about(30_080))).toMatchObject({ drops: [], seen: { port: INSIDE } });
    isLeft(nat.uplink(about(22)), about(22));
  });

  test('what is for a pod of the node crosses, as direct routing needs it', () => {
    const frame = packet(f.far, f.pod, tcp({ sport: 4000, dport: 80, flags: 'S' }));
    const result = nat.uplink(frame);
    expect(result).toMatchObject({ drops: [], seen: { port: INSIDE } });
    expect(result.frame).toEqual(frame);
    const back = nat.inside(packet(f.pod, f.far, tcp({ sport: 80, dport: 4000, flags: 'SA' })));
    expect(back).toMatchObject({ counts: ['nat excluded'], seen: { port: OUTSIDE } });
    expect(ipOf(back).src).toBe(f.pod);
  });

  test('a client outside reaches a pod at its own address, and the answers are the pod’s', () => {
    const echoes = v6 ? { v6 } : {};
    const exchanges: [string, Layer4, Layer4][] = [
      [
        'TCP',
        tcp({ sport: 4000, dport: 80, flags: 'S' }),
        tcp({ sport: 80, dport: 4000, flags: 'SA', seq: 7, ack: 1 }),
      ],
      ['UDP', udp({ sport: 4000, dport: 53, payload: 8 }), udp({ sport: 53, dport: 4000, payload: 8 })],
      ['echo', echo({ id: 7, ...echoes }), echo({ id: 7, reply: true, ...echoes })],
    ];
    for (const [, question, answer] of exchanges) {
      const there = packet(f.peer, f.pod, question);
      const result = nat.uplink(there);
      expect(result).toMatchObject({
        drops: [],
        counts: ['nat newSessions', 'nat translated'],
        seen: { port: INSIDE },
      });
      expect(result.frame).toEqual(there);
      const back = packet(f.pod, f.peer, answer);
      const returned = nat.inside(back);
      expect(returned).toMatchObject({
        drops: [],
        counts: ['nat reverseTranslated'],
        seen: { port: OUTSIDE },
      });
      expect(returned.frame).toEqual(back);
      expect((returned.seen?.work.flags ?? 0) & HOST_ROUTE).toBe(HOST_ROUTE);
    }
    // an error about an answer, and what the pod begins by itself
    const quoted = packet(f.pod, f.peer, udp({ sport: 53, dport: 4000, payload: 8 })).subarray(14);
    const error = packet(f.peer, f.pod, icmpError(v6 ? 1 : 3, v6 ? 4 : 3, quoted));
    expect(nat.uplink(error)).toMatchObject({ drops: [], seen: { port: INSIDE }, frame: error });
    const own = nat.inside(packet(f.pod, f.peer, tcp({ sport: 81, dport: 4000, flags: 'S' })));
    expect(ipOf(own).src).toBe(f.node);
  });

  test('the middle of a connection that nobody knows crosses to the pod without a session', () => {
    const frame = packet(f.peer, f.pod, tcp({ sport: 4000, dport: 80, flags: 'A' }));
    expect(nat.uplink(frame)).toMatchObject({ drops: [], counts: ['nat passed'], seen: { port: INSIDE } });
  });

  test('a client that a pod speaks to from that very port is not told from its answers', () => {
    nat.inside(packet(f.pod, f.peer, udp({ sport: 53, dport: 4000, payload: 8 })));
    const frame = packet(f.peer, f.pod, udp({ sport: 4000, dport: 53, payload: 8 }));
    expect(nat.uplink(frame)).toMatchObject({ drops: ['nat ReverseConflict'] });
  });

  test('who says outside that it is the node or a pod reaches no Service and no pod', () => {
    nat.chain.configure({ lengths4: [120], lengths6: [64] });
    nat.chain.addOverlaySource(v6 ? 'fd00:244:2::' : '10.244.2.0', v6 ? 64 : 120, '198.51.100.12');
    const opening = tcp({ sport: 4000, dport: 80, flags: 'S' });
    const toPort = (dport: number) => tcp({ sport: 4000, dport, flags: 'S' });
    const question = udp({ sport: 4000, dport: 30_053, payload: 8 });
    for (const [source, reason] of [
      [f.node, 'SpoofedSource'],
      [f.pod, 'SpoofedSource'],
      [f.far, 'SpoofedOverlaySource'],
    ] as const) {
      for (const frame of [
        packet(source, f.node, toPort(30_080)),
        packet(source, f.node, question),
        packet(source, f.external, opening),
        packet(source, f.pod.replace(/5$/, '6'), opening),
      ])
        expect(nat.uplink(frame)).toMatchObject({ drops: [`nat ${reason}`], counts: [] });
      const toHost = packet(source, f.node, toPort(22));
      isLeft(nat.uplink(toHost), toHost);
      // without having been let in it is the middle of nothing
      const middle = packet(source, f.node, tcp({ sport: 4000, dport: 30_080, flags: 'A' }));
      expect(nat.uplink(middle)).toMatchObject({ drops: [], seen: { port: INSIDE } });
    }
  });

  test('without a chain the host has its packets, with one that is closed, too', () => {
    nat.chain.attach({ kind: 'interface', all: true }, nat.cube, OUTSIDE);
    nat.chain.edge(0, 8, { kind: 'cut' });
    const mine = packet(f.peer, f.node, tcp({ sport: 1, dport: 22, flags: 'S' }));
    expect(nat.chain.run(mine, { packetType: 0 })).toMatchObject({ verdict: Verdict.pass, drops: [] });
    const other = packet(f.peer, f.external, tcp({ sport: 1, dport: 80, flags: 'S' }));
    expect(nat.chain.run(other, { packetType: 0 })).toMatchObject({ drops: ['entry ChainNotProgrammed'] });
  });
});

test('later fragments without their first one are left to the host, where they are for it', () => {
  const later = (dst: string) =>
    ethernet(
      {},
      ipv4(
        { src: '203.0.113.7', dst, id: 77, offset: 64, mf: false },
        udp({ sport: 1, dport: 2, payload: 64 }),
      ),
    );
  isLeft(nat.uplink(later('198.51.100.10')), later('198.51.100.10'));
  expect(nat.uplink(later('198.51.100.200'))).toMatchObject({ drops: ['nat FragmentWithoutFirst'] });
});

test('who asks for the MAC of the node gets its answer from the host', () => {
  const frame = ethernet(
    { dst: 'ff:ff:ff:ff:ff:ff' },
    arp({ operation: 1, senderMac: POD_MAC, sender: '203.0.113.7', target: '198.51.100.10' }),
  );
  expect(nat.uplink(frame, { packetType: 1 })).toMatchObject({ verdict: Verdict.pass, drops: [] });
});

describe('addresses that a table gives to the node', () => {
  const who = (target: string) => {
    const asked = arp({ operation: 1, senderMac: POD_MAC, sender: '198.51.100.7', target });
    return ethernet({ dst: 'ff:ff:ff:ff:ff:ff' }, asked);
  };
  const solicit = (target: string) =>
    ethernet(
      { dst: '33:33:ff:00:00:c8' },
      ip({ src: '2001:db8::7', dst: 'ff02::1:ff00:c8', ttl: 255 }, solicitation(target)),
    );
  /** A frame to a group, as a device marks it. */
  const heard = (frame: Uint8Array, packetType: number) => nat.uplink(frame, { packetType });

  test('are answered for by ARP and neighbour discovery; those of another node are not', () => {
    const answer = heard(who('198.51.100.200'), 1);
    expect(answer).toMatchObject({ counts: ['nat neighbourReplies'], seen: { port: OUTSIDE } });
    expect(dissect(answer.frame)).toMatchObject({
      eth: { dst: POD_MAC },
      arp: { operation: 2, sender: '198.51.100.200', target: '198.51.100.7' },
    });
    const advertised = heard(solicit('2001:db8::c8'), 2);
    expect(advertised).toMatchObject({ counts: ['nat neighbourReplies'], seen: { port: OUTSIDE } });
    expect(ipOf(advertised)).toMatchObject({ src: '2001:db8::c8', dst: '2001:db8::7', icmp: { type: 136 } });
    for (const [frame, type] of [
      [who('198.51.100.201'), 1],
      [solicit('2001:db8::c9'), 2],
    ] as const)
      expect(heard(frame, type)).toMatchObject({ verdict: Verdict.pass, counts: [], frame });
  });

  test('are the host’s where it has them: it answers and has what nobody serves', () => {
    for (const address of ['198.51.100.200', '2001:db8::c8']) nat.chain.hostAddress(address);
    expect(heard(who('198.51.100.200'), 1)).toMatchObject({ verdict: Verdict.pass, counts: [] });
    expect(heard(solicit('2001:db8::c8'), 2)).toMatchObject({ verdict: Verdict.pass, counts: [] });
    const frame = packet('203.0.113.7', '198.51.100.200', tcp({ sport: 4000, dport: 81, flags: 'S' }));
    isLeft(nat.uplink(frame), frame);
  });

  describe.each(FAMILIES)('%s: their echo', (family, f) => {
    const v6 = family === 'IPv6';
    const asks = (src: string, dst: string, more: object = {}) =>
      packet(src, dst, echo({ id: 7, sequence: 3, payload: 40, ...more, ...(v6 ? { v6 } : {}) }));
    const request = (dst: string, more: object = {}) => asks(f.peer, dst, more);
    const isAnswer = (result: RunResult, asked: Buffer, port: number): void => {
      expect(result).toMatchObject({ drops: [], counts: ['nat echoReplies'], seen: { port } });
      const { eth, ip: before } = dissect(asked);
      expect(dissect(result.frame).eth).toMatchObject({ src: eth.dst, dst: eth.src });
      const { rest, payload } = before?.icmp ?? {};
      const icmp = { type: v6 ? 129 : 0, code: 0, rest, payload };
      expect(ipOf(result)).toMatchObject({ src: f.external, dst: before?.src, icmp });
    };

    test('is answered to the outside, as the host routes it, and makes no session', () => {
      const result = nat.uplink(request(f.external));
      isAnswer(result, request(f.external), OUTSIDE);
      expect((result.seen?.work.flags ?? 0) & HOST_ROUTE).toBe(HOST_ROUTE);
      expect(nat.halves()).toEqual([]);
    });

    test('is answered to pods, too', () => {
      const asked = asks(f.pod, f.external);
      isAnswer(nat.inside(asked), asked, INSIDE);
      expect(nat.halves()).toEqual([]);
    });

    test('is the matter of another node, or of the host, where that has the address', () => {
      const elsewhere = request(v6 ? '2001:db8::c9' : '198.51.100.201');
      isLeft(nat.uplink(elsewhere), elsewhere);
      nat.chain.hostAddress(f.external);
      isLeft(nat.uplink(request(f.external)), request(f.external));
    });

    test('is answered as often as RSTs may be sent', async () => {
      const strict = await open({ errorsPerSecond: 1, burst: 2 });
      try {
        const runs = [1, 2, 3, 4].map(() => strict.uplink(request(f.external)));
        expect(runs.map(({ counts }) => counts)).toEqual([
          ['nat echoReplies'],
          ['nat echoReplies'],
          ['nat rejectSuppressed'],
          ['nat rejectSuppressed'],
        ]);
        expect(runs[3]).toMatchObject({ verdict: Verdict.drop, drops: ['nat NoMapping'] });
      } finally {
        strict.close();
      }
    });

    test('is dropped where it is no whole request of one host', () => {
      const dropped = (frame: Uint8Array) =>
        expect(nat.uplink(frame)).toMatchObject({ verdict: Verdict.drop, drops: ['nat NoMapping'] });
      dropped(request(f.external, { reply: true }));
      dropped(asks(v6 ? '::' : '0.0.0.0', f.external));
      const whole = echo({ id: 7, payload: 200, ...(v6 ? { v6 } : {}) });
      for (const part of fragments({ src: f.peer, dst: f.external }, whole, 128)) dropped(part);
    });
  });

  test.each(FAMILIES)('%s: a port that nobody serves is refused, one that is served crosses', (_, f) => {
    const refused = nat.uplink(packet(f.peer, f.external, tcp({ sport: 4000, dport: 81, flags: 'S' })));
    expect(refused).toMatchObject({ drops: ['nat NoMapping'], seen: { port: OUTSIDE } });
    expect(ipOf(refused)).toMatchObject({ src: f.external, dst: f.peer, tcp: { sport: 81, flags: 'RA' } });
    const dropped = nat.uplink(packet(f.peer, f.external, udp({ sport: 4000, dport: 81, payload: 8 })));
    expect(dropped).toMatchObject({ verdict: Verdict.drop, drops: ['nat NoMapping'] });
    const served = nat.uplink(packet(f.peer, f.external, tcp({ sport: 4000, dport: 80, flags: 'S' })));
    expect(served).toMatchObject({ drops: [], seen: { port: INSIDE } });
  });
});
