// SPDX-License-Identifier: Apache-2.0
/**
 * Answers of pods to processes of another node that are bound to the node's own address: they go by the tunnel that the question came
 * by, and nothing else that is for that address does.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { returns } from '../../src/cubes/router/generated/codec.ts';
import { Chain, Flag, type RunResult } from './support/chain.ts';
import { dissectPacket, verifyChecksums } from './support/dissect.ts';
import {
  echo,
  ethernet,
  fragments,
  icmpError,
  ip,
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
const POD = { v4: '10.244.1.5', v6: 'fd00:244:1::5' };
const GATEWAY = { v4: '10.244.1.1', v6: 'fd00:244:1::1' };
/** Other ends of tunnels: one without a route of its own, and one that the spec has a route for. */
const NODE = { v4: '172.18.0.3', v6: 'fd18::3' };
const ROUTED = { v4: '172.18.0.4', v6: 'fd18::4' };
const VNI = { v4: 7, v6: 9 };
const FAMILIES = ['v4', 'v6'] as const;
type Family = (typeof FAMILIES)[number];
/** RETURN_SECONDS of bpf/router/return.h. */
const DAY = 80_466;

/** DECIDE_*. */
const Decision = { route: 1, noted: 8, back: 9 } as const;

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
      { name: 'uplink', id: UPLINK, addresses: ['192.168.7.2/30', 'fd00:7::2/126'], endpoint: 'Cube' },
    ],
    spec: {
      icmp: { errorsPerSecond: 100000, burst: 100000 },
      routes: [
        { destination: '0.0.0.0/0', type: 'Port', port: 'uplink' },
        { destination: '::/0', type: 'Port', port: 'uplink' },
        { destination: `${ROUTED.v4}/32`, type: 'Port', port: 'uplink' },
        { destination: `${ROUTED.v6}/128`, type: 'Port', port: 'uplink' },
      ],
    },
    tables: {
      'test/node-b': [
        { destination: '10.244.2.0/24', type: 'Tunnel', tunnel: { remote: NODE.v4 } },
        { destination: 'fd00:244:2::/64', type: 'Tunnel', tunnel: { remote: NODE.v6, vni: VNI.v6 } },
        { destination: '10.244.3.0/24', type: 'Tunnel', tunnel: { remote: ROUTED.v4 } },
        { destination: 'fd00:244:3::/64', type: 'Tunnel', tunnel: { remote: ROUTED.v6 } },
      ],
    },
  });
});
afterAll(() => chain.close());
beforeEach(() => {
  for (const key of keys()) router.cube.map('returns').delete(key);
  chain.configure({ overlayVni: 7, lengths4: [120], lengths6: [64] });
  for (const remote of [NODE, ROUTED].flatMap((node) => [node.v4, node.v6]))
    chain.addOverlaySource(remote, 128, remote);
  chain.addOverlaySource('10.244.2.0', 120, NODE.v4);
  chain.addOverlaySource('fd00:244:2::', 64, NODE.v6);
});

const keys = (): Buffer[] => [...router.cube.map('returns').keys()];
const rows = () => keys().map((key) => returns.decodeKey(key));

/** By the tunnel, from its other end. */
function ask(
  src: string,
  dst: string,
  content: Layer4,
  options: { ttl?: number; dry?: boolean } = {},
): RunResult {
  const { ttl = 64, dry = false } = options;
  return askFrame(src, ethernet({}, ip({ src, dst, ttl }, content)), dry);
}

function askFrame(remote: string, frame: Buffer, dry = false): RunResult {
  chain.attach({ kind: 'overlay' }, router.cube, OVERLAY);
  return chain.run(frame, { tunnel: { remote, vni: 7 }, dry });
}

/** From a pod of this node. */
function answer(src: string, dst: string, content: Layer4, dry = false): RunResult {
  return answerFrame(ethernet({}, ip({ src, dst }, content)), dry);
}

function answerFrame(frame: Buffer, dry = false): RunResult {
  chain.attach({ kind: 'interface' }, router.cube, PODS);
  return chain.run(frame, { dry });
}

const back = (family: Family, remote = NODE) => ({
  drops: [],
  counts: ['router forwarded', 'router tunnelled'],
  seen: { port: OVERLAY, work: { tunnelRemote: remote[family], tunnelVni: VNI[family] } },
});
const onward = { drops: [], counts: ['router forwarded'], seen: { port: UPLINK, work: { nextHop: '::' } } };

const decisions = ({ events }: RunResult) =>
  events.filter(({ kind }) => kind === 'decision').map(({ value, object }) => [value, Number(object)]);

const MEANS: readonly (readonly [
  string,
  (v6: boolean) => Layer4,
  (v6: boolean) => Layer4,
  (v6: boolean) => Layer4,
])[] = [
  [
    'TCP',
    () => tcp({ sport: 40000, dport: 80, flags: 'S' }),
    () => tcp({ sport: 80, dport: 40000, flags: 'SA' }),
    () => tcp({ sport: 80, dport: 40001, flags: 'SA' }),
  ],
  [
    'UDP',
    () => udp({ sport: 40000, dport: 53 }),
    () => udp({ sport: 53, dport: 40000 }),
    () => udp({ sport: 54, dport: 40000 }),
  ],
  [
    'SCTP',
    () => sctp({ sport: 40000, dport: 53 }),
    () => sctp({ sport: 53, dport: 40000 }),
    () => sctp({ sport: 53, dport: 40001 }),
  ],
  [
    'echo',
    (v6) => echo({ v6, id: 7 }),
    (v6) => echo({ v6, id: 7, reply: true }),
    (v6) => echo({ v6, id: 7 }),
  ],
  ['another protocol', () => raw(47, 20), () => raw(47, 20), () => raw(50, 20)],
];

describe.each(FAMILIES)('%s', (family) => {
  const v6 = family === 'v6';
  const pod = POD[family];
  const node = NODE[family];

  test.each(MEANS)(
    '%s: the answer goes by the tunnel, what the pod opens itself does not',
    (_, question, reply, other) => {
      expect(answer(pod, node, reply(v6))).toMatchObject(onward);
      const asked = ask(node, pod, question(v6));
      expect(asked).toMatchObject({ drops: [], counts: ['router forwarded'], seen: { port: PODS } });
      expect((asked.seen?.work.flags ?? 0) & Flag.overlayNode).toBe(0);
      const result = answer(pod, node, reply(v6));
      expect(result).toMatchObject(back(family));
      expect(verifyChecksums(result.frame)).toEqual([]);
      expect(dissectPacket(result.frame)).toMatchObject({ src: pod, dst: node, ttl: 63 });
      expect(answer(pod, node, other(v6))).toMatchObject(onward);
      const beside = v6 ? 'fd00:244:1::6' : '10.244.1.6';
      expect(answer(beside, node, reply(v6))).toMatchObject(onward);
      expect(answer(pod, v6 ? 'fd18::5' : '172.18.0.5', reply(v6))).toMatchObject(onward);
    },
  );

  test('what pods of the node ask leaves no trace, nor does what another node says that is refused', () => {
    const from = v6 ? 'fd00:244:2::9' : '10.244.2.9';
    chain.attach({ kind: 'overlay' }, router.cube, OVERLAY);
    const frame = ethernet({}, ip({ src: from, dst: pod }, udp({ sport: 1, dport: 2 })));
    expect(chain.run(frame, { tunnel: { remote: node, vni: 7 } }).seen?.port).toBe(PODS);
    const lie = ethernet({}, ip({ src: node, dst: pod }, udp({ sport: 1, dport: 2 })));
    const drops = ['entry SpoofedOverlaySource'];
    expect(chain.run(lie, { tunnel: { remote: ROUTED[family], vni: 7 } }).drops).toEqual(drops);
    expect(ask(node, v6 ? 'ff05::2' : '239.1.1.1', udp({ sport: 1, dport: 2 })).drops).toHaveLength(1);
    expect(rows()).toEqual([]);
  });

  test('an ICMP error of the pod or on its way belongs to the question', () => {
    const question = udp({ sport: 40000, dport: 9 });
    ask(node, pod, question);
    const quoted = ip({ src: node, dst: pod }, question).bytes;
    const error = (source: string, bytes = quoted) =>
      answer(source, node, icmpError(v6 ? 1 : 3, v6 ? 4 : 3, bytes));
    expect(error(pod)).toMatchObject(back(family));
    expect(error(v6 ? 'fd00:244:1::6' : '10.244.1.6')).toMatchObject(back(family));
    const other = ip({ src: node, dst: pod }, udp({ sport: 40001, dport: 9 })).bytes;
    expect(error(pod, other)).toMatchObject(onward);
  });

  test('an ICMP error of the node is no question', () => {
    const quoted = ip({ src: pod, dst: node }, udp({ sport: 53, dport: 40000 })).bytes;
    expect(ask(node, pod, icmpError(v6 ? 1 : 3, v6 ? 4 : 3, quoted)).seen?.port).toBe(PODS);
    expect(rows()).toEqual([]);
  });

  test('fragments of question and answer', () => {
    const parts = fragments(
      { src: node, dst: pod },
      udp({ sport: 40000, dport: 53, payload: 2000 }),
      1200,
      5,
    );
    for (const part of parts) expect(askFrame(node, part).seen?.port).toBe(PODS);
    expect(rows()).toEqual([{ src: pod, dst: node, sport: 53, dport: 40000, proto: 17 }]);
    const answers = fragments(
      { src: pod, dst: node },
      udp({ sport: 53, dport: 40000, payload: 2000 }),
      1200,
      6,
    );
    for (const part of answers) expect(answerFrame(part)).toMatchObject(back(family));
  });

  test('a later fragment whose first one was not seen is no question', () => {
    const [, later] = fragments(
      { src: node, dst: pod },
      udp({ sport: 4, dport: 5, payload: 2000 }),
      1200,
      77,
    );
    expect(askFrame(node, later as Buffer).seen?.port).toBe(PODS);
    expect(rows()).toEqual([]);
  });

  test('what the router itself says to the node goes back by the tunnel, and is not remembered', () => {
    const question = udp({ sport: 40000, dport: 53 });
    const tunnel = { port: OVERLAY, work: { tunnelRemote: node, tunnelVni: VNI[family] } };
    expect(ask(node, GATEWAY[family], echo({ v6 }))).toMatchObject({ drops: [], seen: tunnel });
    expect(ask(node, pod, question, { ttl: 1 })).toMatchObject({
      drops: ['router TtlExpired'],
      seen: tunnel,
    });
    expect(ask(node, GATEWAY[family], question)).toMatchObject({
      drops: ['router LocalDelivery'],
      seen: tunnel,
    });
    expect(rows()).toEqual([]);
    // but not what it says to who comes otherwise
    const elsewhere = answer(node, GATEWAY[family], echo({ v6 }));
    expect(elsewhere.seen?.port).toBe(UPLINK);
  });

  test('an answer longer than the MTU of the tunnel is refused', () => {
    ask(node, pod, udp({ sport: 40000, dport: 53 }));
    const long = answer(pod, node, udp({ sport: 53, dport: 40000, payload: 1440 }));
    expect(long).toMatchObject({ drops: ['router PacketTooBig'], seen: { port: PODS } });
  });

  test('what the spec says of the address wins', () => {
    const routed = ROUTED[family];
    expect(ask(routed, pod, udp({ sport: 40000, dport: 53 })).seen?.port).toBe(PODS);
    expect(answer(pod, routed, udp({ sport: 53, dport: 40000 }))).toMatchObject(onward);
  });

  test('without tunnels there it is an address as any other', () => {
    ask(node, pod, udp({ sport: 40000, dport: 53 }));
    const routes = [
      { destination: '10.244.9.0/24', type: 'Tunnel', tunnel: { remote: '172.18.0.9' } },
    ] as const;
    const before = router.image.setTable('test/node-b', routes);
    router.write();
    expect(before).toEqual([]);
    expect(answer(pod, node, udp({ sport: 53, dport: 40000 }))).toMatchObject(onward);
    router.image.setTable('test/node-b', [
      { destination: '10.244.2.0/24', type: 'Tunnel', tunnel: { remote: NODE.v4 } },
      { destination: 'fd00:244:2::/64', type: 'Tunnel', tunnel: { remote: NODE.v6, vni: VNI.v6 } },
      { destination: '10.244.3.0/24', type: 'Tunnel', tunnel: { remote: ROUTED.v4 } },
      { destination: 'fd00:244:3::/64', type: 'Tunnel', tunnel: { remote: ROUTED.v6 } },
    ]);
    router.write();
    expect(answer(pod, node, udp({ sport: 53, dport: 40000 }))).toMatchObject(back(family));
  });

  test('it is written once in 8 seconds, by either direction, and forgotten after a day without either', () => {
    const question = udp({ sport: 40000, dport: 53 });
    const reply = udp({ sport: 53, dport: 40000 });
    ask(node, pod, question);
    const map = router.cube.map('returns');
    const [key] = keys() as [Buffer];
    const seen = () => map.lookup(key)?.readUInt32LE(0) ?? -1;
    const set = (value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(value >>> 0);
      map.update(key, bytes);
    };
    const first = seen();
    const now = Number(process.hrtime.bigint() >> 30n);
    expect(Math.abs(first - now)).toBeLessThan(3);
    for (const use of [() => ask(node, pod, question), () => answer(pod, node, reply)]) {
      set(first & ~7); // of the same eight
      use();
      expect(seen()).toBe(first & ~7);
      set(first - 8);
      use();
      expect(seen()).toBeGreaterThanOrEqual(first);
    }
    set(first - DAY + 5);
    expect(answer(pod, node, reply)).toMatchObject(back(family));
    set(first - DAY - 1);
    expect(answer(pod, node, reply)).toMatchObject(onward);
    expect(seen()).toBe((first - DAY - 1) >>> 0);
    ask(node, pod, question);
    expect(answer(pod, node, reply)).toMatchObject(back(family));
  });

  test('a dry run says so and writes nothing', () => {
    const question = udp({ sport: 40000, dport: 53 });
    const reply = udp({ sport: 53, dport: 40000 });
    const local = v6 ? 64 : 120;
    expect(decisions(ask(node, pod, question, { dry: true }))).toEqual([
      [Decision.route, local],
      [Decision.noted, 0],
    ]);
    expect(rows()).toEqual([]);
    expect(decisions(answer(pod, node, reply, true))).toEqual([[Decision.route, v6 ? 0 : 96]]);
    ask(node, pod, question);
    const [key] = keys() as [Buffer];
    const old = Buffer.alloc(4);
    old.writeUInt32LE(Number(process.hrtime.bigint() >> 30n) - 100);
    router.cube.map('returns').update(key, old);
    const told = answer(pod, node, reply, true);
    expect(decisions(told)).toEqual([
      [Decision.back, 0],
      [Decision.route, 128],
    ]);
    ask(node, pod, question, { dry: true });
    expect(router.cube.map('returns').lookup(key)).toEqual(old);
    const packet = { src: pod, dst: node, sport: 53, dport: 40000, proto: 17 };
    expect(router.image.nameObject('route', 128n, packet)).toMatch(
      /by tunnel to .* the other end of tunnels/,
    );
  });
});
