// SPDX-License-Identifier: Apache-2.0
/** What programs tell the flow log: the first packet of a connection and each drop, within a rate, and nothing while nobody asks. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import { type FlowEvent, flowConfig, flowEvent, flowLimits } from '../../src/dataplane/generated/tcx.ts';
import { RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { u32 } from './support/chain.ts';
import { FirewallChain } from './support/firewall.ts';
import { ethernet, icmpError, ip, type Layer4, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { web: '10.244.1.5', out: '198.51.100.7', other: '198.51.100.8', router: '203.0.113.1' }],
  ['IPv6', { web: 'fd00:244:0:1::5', out: '2001:db8:7::7', other: '2001:db8:7::8', router: '2001:db8:9::1' }],
] as const;
const FORWARDED = 0;
const DROPPED = 1;
const BOTH = 3;
const [DROPPED_BY_RULE, INVALID_STATE] = [32, 36] as const;
const PODS: Identity[] = [{ id: 1, namespace: 'shop', addresses: FAMILIES.map(([, { web }]) => web) }];
const POLICIES: Policy[] = [
  { namespace: 'shop', name: 'deny', types: ['Ingress'] },
  { namespace: 'shop', name: 'web', ingress: [{ ports: [{ protocol: 'TCP', port: 80 }] }] },
];

let fw: FirewallChain;
let ring: RingBuffer;
beforeAll(async () => {
  fw = await FirewallChain.open({
    defaultActions: { ingress: 'Allow', egress: 'Allow' },
    handshake: 'Strict',
  });
  ring = new RingBuffer(fw.chain.shared('flow_events'), () => {});
  ring.unref();
  fw.setPolicies(POLICIES, PODS);
});
afterAll(() => {
  ring.close();
  fw.close();
});
beforeEach(() => {
  fw.clear();
  ask(BOTH);
  told();
});

function ask(verdicts: number, rate = 1000, burst = rate): void {
  const value = Buffer.alloc(flowConfig.valueSize);
  const interval = BigInt(Math.floor(1e9 / rate));
  flowConfig.encodeValue({ verdicts, interval, tolerance: interval * BigInt(burst - 1) }, value);
  fw.chain.shared('flow_config').update(u32(0), value);
  const limits = fw.chain.shared('flow_limits');
  limits.update(u32(0), Buffer.alloc(limits.valueStride));
}

function told(): FlowEvent[] {
  const events: FlowEvent[] = [];
  for (let records = ring.consume(); records.length > 0; records = ring.consume())
    events.push(...records.map((record) => flowEvent.decode(record)));
  return events;
}

function suppressed(): number {
  const map = fw.chain.shared('flow_limits');
  const value = map.lookup(u32(0)) ?? Buffer.alloc(0);
  const { valueSize } = flowLimits;
  return Array.from({ length: value.length / valueSize }, (_, cpu) =>
    Number(flowLimits.decodeValue(value, cpu * valueSize).suppressed),
  ).reduce((a, b) => a + b, 0);
}

const frame = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));
const segment = (flags: string, dport = 80): Layer4 => tcp({ sport: 40000, dport, flags, seq: 100 });

describe.each(FAMILIES)('%s', (family, f) => {
  const enters = (l4: Layer4, src: string = f.out, dry = false) =>
    fw.ingress(frame(src, f.web, l4), dry ? { dry } : {});

  test('a connection is told once, by the rule that let it through', () => {
    expect(enters(segment('S')).drops).toEqual([]);
    const [event, ...others] = told();
    expect(others).toEqual([]);
    expect(event).toMatchObject({
      verdict: FORWARDED,
      slot: fw.cube.slot,
      port: 0,
      tcpFlags: 2,
      l4Proto: 6,
      tuple: { src: f.out, dst: f.web, sport: 40000, dport: 80, proto: 6 },
    });
    expect(event?.length).toBe(family === 'IPv4' ? 54 : 74);
    expect(fw.image.explain(event?.object ?? 0n)?.text).toBe('NetworkPolicy shop/web, ingress entry 0');
    fw.egress(frame(f.web, f.out, tcp({ sport: 80, dport: 40000, flags: 'SA', seq: 1, ack: 101 })));
    enters(segment('A'));
    enters(segment('A'));
    expect(told()).toEqual([]);
  });

  test('each drop is told, with its reason and the policy', () => {
    for (let i = 0; i < 3; i++) expect(enters(segment('S', 81)).drops).toEqual(['firewall DroppedByRule']);
    const events = told();
    expect(events.map(({ verdict, reason }) => [verdict, reason])).toEqual(
      Array.from({ length: 3 }, () => [DROPPED, DROPPED_BY_RULE]),
    );
    const packet = { src: f.out, dst: f.web, sport: 1, dport: 81, proto: 6 };
    expect(fw.image.explain(events[0]?.object ?? 0n, packet)?.text).toBe(
      'default deny of NetworkPolicy shop/deny, shop/web',
    );
  });

  test('what no rule refused has none; an ICMP error has the addresses of who sent it', () => {
    fw.egress(frame(f.web, f.out, segment('R')));
    const quoted = ip({ src: f.web, dst: f.out }, udp({ sport: 5, dport: 6 })).bytes;
    enters(icmpError(family === 'IPv6' ? 1 : 3, 1, quoted), f.router);
    expect(told()).toMatchObject([
      { verdict: DROPPED, reason: INVALID_STATE, object: 0n, port: 1 },
      { verdict: DROPPED, reason: INVALID_STATE, object: 0n, tuple: { src: f.router, dst: f.web } },
    ]);
  });

  test('a dry run tells nothing, and nobody who does not ask is told', () => {
    enters(segment('S'), f.out, true);
    enters(segment('S', 81), f.out, true);
    expect(told()).toEqual([]);
    ask(1 << DROPPED);
    enters(segment('S'));
    enters(segment('S', 81));
    expect(told().map(({ verdict }) => verdict)).toEqual([DROPPED]);
    ask(1 << FORWARDED);
    enters(segment('S'), f.other);
    enters(segment('S', 81));
    expect(told().map(({ verdict }) => verdict)).toEqual([FORWARDED]);
    ask(0);
    fw.clear();
    enters(segment('S'));
    enters(segment('S', 81));
    expect(told()).toEqual([]);
    expect(suppressed()).toBe(0);
  });

  test('what comes faster than the rate is counted and not told', () => {
    ask(BOTH, 1, 5);
    for (let i = 0; i < 40; i++) enters(segment('S', 81));
    const count = told().length;
    expect(count).toBeGreaterThanOrEqual(5); // a CPU has five at once
    expect(count).toBeLessThan(40);
    expect(suppressed()).toBe(40 - count);
  });

  test('what the entry refuses is told by it', () => {
    fw.chain.attach({ kind: 'pod', addresses: [f.web] }, fw.cube, 1);
    fw.chain.run(frame(f.other, f.out, segment('S')));
    expect(told()).toMatchObject([{ verdict: DROPPED, slot: 0, tuple: { src: f.other, dst: f.out } }]);
  });
});
