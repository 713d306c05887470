// SPDX-License-Identifier: Apache-2.0
/** Policies in audit mode: what they refuse passes, is counted and told; what they let through then ends when they are enforced. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import { type FlowEvent, flowConfig, flowEvent } from '../../src/dataplane/generated/tcx.ts';
import { RingBuffer } from '../../src/dataplane/kernel/addon/index.ts';
import { u32 } from './support/chain.ts';
import { FirewallChain, INSIDE, OUTSIDE } from './support/firewall.ts';
import { echo, ethernet, icmp, ip, type Layer4, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { web: '10.244.1.5', db: '10.244.1.6', out: '198.51.100.7' }],
  ['IPv6', { web: 'fd00:244:0:1::5', db: 'fd00:244:0:1::6', out: '2001:db8:7::7' }],
] as const;
const [FORWARDED, DROPPED, AUDIT] = [0, 1, 2] as const;
const SPEC = { defaultActions: { ingress: 'Allow', egress: 'Allow' }, handshake: 'Strict' } as const;

const identity = (id: number, namespace: string, name: 'web' | 'db', audit?: true): Identity => ({
  id,
  namespace,
  namespaceLabels: { team: namespace },
  addresses: FAMILIES.map(([, f]) => f[name]),
  ...(audit ? { audit } : {}),
});
const PODS = [identity(1, 'shop', 'web', true), identity(2, 'safe', 'db')];
const ENFORCED = [identity(1, 'shop', 'web'), identity(2, 'safe', 'db')];
const deny = (namespace: string): Policy => ({ namespace, name: 'deny', types: ['Ingress', 'Egress'] });
const DENY = [deny('shop'), deny('safe')];

let fw: FirewallChain;
let ring: RingBuffer;
async function open(spec: object): Promise<void> {
  ring?.close();
  fw?.close();
  fw = await FirewallChain.open({ ...SPEC, ...spec });
  ring = new RingBuffer(fw.chain.shared('flow_events'), () => {});
  ring.unref();
  const value = Buffer.alloc(flowConfig.valueSize);
  flowConfig.encodeValue({ verdicts: 7, interval: 1n, tolerance: 1_000_000_000n }, value);
  fw.chain.shared('flow_config').update(u32(0), value);
}
beforeAll(() => open({}));
afterAll(() => {
  ring.close();
  fw.close();
});

function told(): FlowEvent[] {
  const events: FlowEvent[] = [];
  for (let records = ring.consume(); records.length > 0; records = ring.consume())
    events.push(...records.map((record) => flowEvent.decode(record)));
  return events;
}

const frame = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));
const syn = (dport = 80, sport = 40000): Layer4 => tcp({ sport, dport, flags: 'S', seq: 100 });
const enters = (src: string, dst: string, l4: Layer4 = syn()) => fw.ingress(frame(src, dst, l4));
const leaves = (src: string, dst: string, l4: Layer4 = syn()) => fw.egress(frame(src, dst, l4));
const text = (event: FlowEvent | undefined, packet: { src: string; dst: string }) =>
  fw.image.explain(event?.object ?? 0n, { ...packet, sport: 1, dport: 2, proto: 6 })?.text;

describe.each(FAMILIES)('%s', (_, f) => {
  beforeEach(() => {
    fw.set();
    fw.setPolicies(DENY, PODS);
    fw.clear();
    told();
  });

  test('what a policy refuses to an audited pod passes, in both directions, and is told by its name', () => {
    const incoming = enters(f.out, f.web);
    expect(incoming.seen?.port).toBe(INSIDE);
    expect(incoming.counts).toEqual(
      expect.arrayContaining(['firewall audited', 'firewall newSessions', 'firewall classified']),
    );
    expect(incoming.drops).toEqual([]);
    const outgoing = leaves(f.web, f.out, syn(443));
    expect(outgoing.seen?.port).toBe(OUTSIDE);
    const events = told();
    expect(events.map(({ verdict, reason, port }) => [verdict, reason, port])).toEqual([
      [AUDIT, 32, OUTSIDE],
      [AUDIT, 32, INSIDE],
    ]);
    expect(text(events[0], { src: f.out, dst: f.web })).toBe(
      'default deny of NetworkPolicy shop/deny, in audit mode',
    );
    expect(fw.image.explain(events[1]?.object ?? 0n)).toMatchObject({
      action: 'Audit',
      origin: { kind: 'NetworkPolicy', namespace: 'shop', name: 'deny', direction: 'Egress' },
    });
    expect(fw.image.audit()).toMatch(
      /not enforced for pods of the namespaces shop, which have the annotation/,
    );
  });

  test('packets of the connection are known, and told no more; others of the node are still dropped', () => {
    enters(f.out, f.web);
    leaves(f.web, f.out, tcp({ sport: 80, dport: 40000, flags: 'SA', seq: 1, ack: 101 }));
    const more = enters(f.out, f.web, tcp({ sport: 40000, dport: 80, flags: 'A', seq: 101, ack: 2 }));
    expect(more.counts).toContain('firewall known');
    expect(more.counts).not.toContain('firewall audited');
    expect(told()).toHaveLength(1);
    expect(enters(f.out, f.db).drops).toEqual(['firewall DroppedByRule']);
    expect(leaves(f.db, f.out).drops).toEqual(['firewall DroppedByRule']);
    // between the two: the end that is enforced drops
    expect(leaves(f.web, f.db, udp({ sport: 5, dport: 6 })).seen?.port).toBe(OUTSIDE);
    expect(enters(f.web, f.db, udp({ sport: 5, dport: 6 })).drops).toEqual(['firewall DroppedByRule']);
    expect(told().map(({ verdict }) => verdict)).toEqual([DROPPED, DROPPED, AUDIT, DROPPED]);
  });

  test('a connection that only audit let through ends with it; one that a policy allows goes on', () => {
    const open80 = {
      namespace: 'shop',
      name: 'web',
      ingress: [{ ports: [{ protocol: 'TCP' as const, port: 80 }] }],
    };
    fw.setPolicies([...DENY, open80], PODS);
    const establish = (port: number) => {
      enters(f.out, f.web, syn(port, port));
      leaves(f.web, f.out, tcp({ sport: port, dport: port, flags: 'SA', seq: 1, ack: 101 }));
      return enters(f.out, f.web, tcp({ sport: port, dport: port, flags: 'A', seq: 101, ack: 2 }));
    };
    const goes = (port: number) => [
      enters(f.out, f.web, tcp({ sport: port, dport: port, flags: 'PA', seq: 101, ack: 2 })),
      leaves(f.web, f.out, tcp({ sport: port, dport: port, flags: 'PA', seq: 2, ack: 102 })),
    ];
    expect([establish(80), establish(81)].map(({ drops }) => drops)).toEqual([[], []]);
    expect(told().map(({ verdict }) => verdict)).toEqual([FORWARDED, AUDIT]);
    expect(
      fw
        .sessions()
        .map(({ session }) => fw.image.nameObject('rule', BigInt(session.rule)))
        .sort(),
    ).toEqual([
      'NetworkPolicy shop/deny, which isolates the receiver for ingress, in audit mode',
      'NetworkPolicy shop/web, ingress entry 0',
    ]);
    fw.setPolicies([...DENY, open80], ENFORCED);
    expect(goes(80).map(({ drops }) => drops)).toEqual([[], []]);
    const [first, second] = goes(81);
    expect(first?.drops).toEqual(['firewall DroppedByRule']);
    expect(first?.counts).toContain('firewall revoked');
    expect(second?.drops).toEqual(['firewall InvalidState']); // the session is gone
    // and the other way: what is enforced now opens when audit is on again
    expect(enters(f.out, f.web, syn(82)).drops).toEqual(['firewall DroppedByRule']);
    fw.setPolicies([...DENY, open80], PODS);
    expect(enters(f.out, f.web, syn(82)).drops).toEqual([]);
  });

  test('rules of the firewall hold, before and behind the policies', () => {
    fw.set(
      { name: 'front', action: 'Drop', priority: 100, ports: [{ protocol: 'TCP', port: 22 }] },
      { name: 'last', action: 'Drop', priority: 40000, ports: [{ protocol: 'TCP', port: 23 }] },
    );
    const names = [22, 23].map((port) => {
      const { drops, counts } = enters(f.out, f.web, syn(port));
      expect(drops).toEqual(['firewall DroppedByRule']);
      expect(counts).not.toContain('firewall audited');
      return fw.image.explain(told()[0]?.object ?? 0n)?.origin.name;
    });
    expect(names).toEqual(['front', 'last']);
    expect(enters(f.out, f.web, syn(24)).seen?.port).toBe(INSIDE);
  });

  test('tiers: Admin is enforced whatever a namespace says, Baseline is audited', () => {
    const tier = (name: 'Admin' | 'Baseline', port: number): Policy => ({
      name: name.toLowerCase(),
      tier: name,
      priority: 1,
      namespaceSelector: {},
      ingress: [
        {
          name: 'no',
          action: 'Deny',
          peers: [{ namespaceSelector: {} }],
          ports: [{ protocol: 'TCP', port }],
        },
      ],
    });
    const pods = [...PODS, { id: 3, namespace: 'x', addresses: [f.out] }];
    fw.setPolicies([tier('Admin', 22), tier('Baseline', 23)], pods);
    expect(enters(f.out, f.web, syn(22)).drops).toEqual(['firewall DroppedByRule']);
    expect(enters(f.out, f.web, syn(23)).seen?.port).toBe(INSIDE);
    expect(enters(f.out, f.db, syn(23)).drops).toEqual(['firewall DroppedByRule']);
    expect(told().map((event) => [event.verdict, fw.image.explain(event.object)?.text])).toEqual([
      [DROPPED, 'ClusterNetworkPolicy admin (Admin), ingress rule no'],
      [AUDIT, 'ClusterNetworkPolicy baseline (Baseline), ingress rule no, in audit mode'],
      [DROPPED, 'ClusterNetworkPolicy baseline (Baseline), ingress rule no'],
    ]);
  });

  test('what keeps no session is asked about each time; a dry run counts and tells nothing', () => {
    const unreachable = icmp({
      type: f.web.includes(':') ? 200 : 13,
      ...(f.web.includes(':') ? { v6: true } : {}),
    });
    for (let i = 0; i < 2; i++)
      expect(enters(f.out, f.web, unreachable).counts).toContain('firewall audited');
    enters(f.out, f.web, echo(f.web.includes(':') ? { v6: true } : {}));
    expect(told().map(({ verdict }) => verdict)).toEqual([AUDIT, AUDIT, AUDIT]);
    const dry = fw.ingress(frame(f.out, f.web, syn(99)), { dry: true });
    expect(dry.counts).toEqual([]);
    const decisions = dry.events.filter(({ kind }) => kind === 'decision').map(({ value }) => value);
    expect(decisions).toEqual([4, 6]); // the default action, and who would have dropped it
    expect(told()).toEqual([]);
  });
});

describe.each(FAMILIES)('policyMode Audit, %s', (_, f) => {
  test('all policies of the firewall, also of the tier Admin; the change of the mode ends what it let through', async () => {
    await open({ policyMode: 'Audit' });
    const admin: Policy = {
      name: 'admin',
      tier: 'Admin',
      priority: 1,
      namespaceSelector: {},
      egress: [
        {
          name: 'no',
          action: 'Deny',
          peers: [{ cidr: f.web.includes(':') ? '2001:db8::/32' : '198.51.100.0/24' }],
        },
      ],
    };
    fw.setPolicies([...DENY, admin], ENFORCED);
    expect(fw.image.audit()).toContain('spec.firewall.policyMode is Audit');
    expect(enters(f.out, f.db).seen?.port).toBe(INSIDE);
    expect(leaves(f.db, f.out, syn(443)).seen?.port).toBe(OUTSIDE);
    expect(told().map((event) => [event.verdict, fw.image.explain(event.object)?.origin.name])).toEqual([
      [AUDIT, 'deny'],
      [AUDIT, 'admin'],
    ]);
    await fw.respec(SPEC);
    fw.setPolicies([...DENY, admin], ENFORCED);
    expect(fw.image.audit()).toBeUndefined();
    const next = enters(f.out, f.db, tcp({ sport: 40000, dport: 80, flags: 'A', seq: 101, ack: 2 }));
    expect(next.drops).toEqual([expect.stringMatching(/^firewall(@\d+)? DroppedByRule$/)]);
  });
});
