// SPDX-License-Identifier: Apache-2.0
/** Network policies as the program carries them out: who, which ports, both directions, and what sessions make of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Identity, Policy } from '../../src/api/generated/types.ts';
import { FirewallChain, INSIDE, OUTSIDE } from './support/firewall.ts';
import {
  echo,
  ethernet,
  icmpError,
  ip,
  type Layer4,
  raw,
  sctp,
  sctpChunk,
  tcp,
  udp,
} from './support/packet.ts';

const FAMILIES = [
  [
    'IPv4',
    {
      web: '10.244.1.5',
      db: '10.244.1.6',
      far: '10.244.2.7',
      node: '172.18.0.2',
      out: '198.51.100.7',
      v6: false,
    },
  ],
  [
    'IPv6',
    {
      web: 'fd00:244:0:1::5',
      db: 'fd00:244:0:1::6',
      far: 'fd00:244:0:2::7',
      node: 'fd00:18::2',
      out: '2001:db8:7::7',
      v6: true,
    },
  ],
] as const;
const all = (name: 'web' | 'db' | 'far' | 'node') => FAMILIES.map(([, f]) => f[name]);

const identity = (
  id: number,
  labels: Record<string, string>,
  addresses: string[],
  over: Partial<Identity> = {},
): Identity => ({
  id,
  namespace: 'shop',
  labels,
  namespaceLabels: { team: 'shop' },
  addresses,
  ...over,
});
const WEB = identity(1, { app: 'web' }, all('web'), {
  ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
});
const DB = identity(2, { app: 'db' }, all('db'), { ports: [{ name: 'http', protocol: 'TCP', port: 9090 }] });
const FAR = identity(3, { app: 'probe' }, all('far'), { namespace: 'ops', namespaceLabels: { team: 'ops' } });
const PODS = [WEB, DB, FAR];
const DENY: Policy = { namespace: 'shop', name: 'deny', types: ['Ingress', 'Egress'] };
const toWeb = (over: Partial<Policy>): Policy => ({
  namespace: 'shop',
  name: 'web',
  podSelector: { matchLabels: { app: 'web' } },
  ...over,
});

let fw: FirewallChain;
beforeAll(async () => {
  fw = await FirewallChain.open({
    defaultActions: { ingress: 'Allow', egress: 'Allow' },
    handshake: 'Strict',
    sessions: { maxEstablished: 256, maxEmbryonic: 256 },
  });
});
afterAll(() => fw.close());
beforeEach(() => {
  fw.setNode(...all('node'));
  fw.setPolicies([], PODS);
  fw.clear();
});

const frame = (src: string, dst: string, l4: Layer4) => ethernet({}, ip({ src, dst }, l4));
const syn = (dport = 80, sport = 40000): Layer4 => tcp({ sport, dport, flags: 'S', seq: 100 });
/** From outside to a pod. */
const enters = (src: string, dst: string, l4: Layer4 = syn()) => {
  fw.clear();
  return fw.ingress(frame(src, dst, l4)).seen?.port === INSIDE;
};
/** From a pod to outside. */
const leaves = (src: string, dst: string, l4: Layer4 = syn()) => {
  fw.clear();
  return fw.egress(frame(src, dst, l4)).seen?.port === OUTSIDE;
};

describe.each(FAMILIES)('%s', (_, f) => {
  test('without a policy nothing is isolated; an empty one isolates in its directions only', () => {
    expect([enters(f.out, f.web), leaves(f.web, f.out)]).toEqual([true, true]);
    fw.setPolicies([{ ...DENY, types: ['Ingress'] }], PODS);
    expect([enters(f.out, f.web), leaves(f.web, f.out)]).toEqual([false, true]);
    expect(enters(f.out, f.far)).toBe(true); // of another namespace
    fw.setPolicies([{ ...DENY, types: ['Egress'] }], PODS);
    expect([enters(f.out, f.web), leaves(f.web, f.out)]).toEqual([true, false]);
    fw.setPolicies([{ namespace: 'shop', name: 'no-types' }], PODS);
    expect([enters(f.out, f.web), leaves(f.web, f.out)]).toEqual([false, true]);
    expect(fw.ingress(frame(f.out, f.web, syn())).drops).toEqual(['firewall DroppedByRule']);
  });

  test('peers: pods of the namespace, of others, of both, blocks with holes, anybody', () => {
    const allow = (...peers: object[]) => fw.setPolicies([DENY, toWeb({ ingress: [{ peers }] })], PODS);
    const who = () => [f.db, f.far, f.out].map((src) => enters(src, f.web));
    allow({ podSelector: { matchLabels: { app: 'db' } } });
    expect(who()).toEqual([true, false, false]);
    allow({ podSelector: {} });
    expect(who()).toEqual([true, false, false]);
    allow({ namespaceSelector: { matchLabels: { team: 'ops' } } });
    expect(who()).toEqual([false, true, false]);
    allow({
      namespaceSelector: {},
      podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] },
    });
    expect(who()).toEqual([false, true, false]);
    allow({ namespaceSelector: {} });
    expect(who()).toEqual([true, true, false]);
    allow({ podSelector: { matchLabels: { app: 'nobody' } } });
    expect(who()).toEqual([false, false, false]);
    fw.setPolicies([DENY, toWeb({ ingress: [{}] })], PODS);
    expect(who()).toEqual([true, true, true]);
    const [wide, hole, host] = f.v6
      ? ['2001:db8::/32', '2001:db8:7::/48', '2001:db8:7::7/128']
      : ['198.51.0.0/16', '198.51.100.0/24', '198.51.100.7/32'];
    const beside = f.v6 ? '2001:db8:8::9' : '198.51.101.9';
    const blocks = () => [f.out, beside, f.db].map((src) => enters(src, f.web));
    allow({ cidr: wide });
    expect(blocks()).toEqual([true, true, false]);
    allow({ cidr: wide, except: [hole] });
    expect(blocks()).toEqual([false, true, false]);
    allow({ cidr: wide, except: [hole] }, { cidr: host });
    expect(blocks()).toEqual([true, true, false]);
    allow({ cidr: f.v6 ? '::/0' : '0.0.0.0/0', except: [wide] });
    expect(blocks()).toEqual([false, false, true]);
    allow({ cidr: f.v6 ? '0.0.0.0/0' : '::/0' });
    expect(blocks()).toEqual([false, false, false]);
  });

  test('ports: by number, range, protocol; without ports everything', () => {
    const allow = (...ports: NonNullable<NonNullable<Policy['ingress']>[0]['ports']>) =>
      fw.setPolicies([DENY, toWeb({ ingress: [{ ports }] })], PODS);
    const init = sctp({ sport: 40000, dport: 80, chunks: [sctpChunk(1, Buffer.alloc(16))] });
    const kinds = () =>
      [syn(80), udp({ sport: 5, dport: 80 }), init, echo({ v6: f.v6 }), raw(47, 20)].map((l4) =>
        enters(f.out, f.web, l4),
      );
    allow({ protocol: 'TCP', port: 80 });
    expect(kinds()).toEqual([true, false, false, false, false]);
    allow({ protocol: 'UDP' });
    expect(kinds()).toEqual([false, true, false, false, false]);
    allow({ protocol: 'SCTP', port: 80 });
    expect(kinds()).toEqual([false, false, true, false, false]);
    fw.setPolicies([DENY, toWeb({ ingress: [{}] })], PODS);
    expect(kinds()).toEqual([true, true, true, true, true]);
    allow({ protocol: 'TCP', port: 8000, endPort: 8002 });
    expect([7999, 8000, 8002, 8003].map((port) => enters(f.out, f.web, syn(port)))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test('a named port is the number that the receiver gives it, in both directions', () => {
    const named = [{ ports: [{ protocol: 'TCP' as const, name: 'http' }] }];
    const ports = (send: (port: number) => boolean) => [80, 8080, 9090].map(send);
    fw.setPolicies([DENY, { namespace: 'shop', name: 'in', ingress: named }], PODS);
    expect(ports((port) => enters(f.out, f.web, syn(port)))).toEqual([false, true, false]);
    expect(ports((port) => enters(f.out, f.db, syn(port)))).toEqual([false, false, true]);
    fw.setPolicies([DENY, { namespace: 'shop', name: 'out', types: ['Egress'], egress: named }], PODS);
    expect(ports((port) => leaves(f.db, f.web, syn(port)))).toEqual([false, true, false]);
    expect(ports((port) => leaves(f.web, f.db, syn(port)))).toEqual([false, false, true]);
    expect(ports((port) => leaves(f.web, f.far, syn(port)))).toEqual([false, false, false]);
  });

  test('policies add up, and egress peers are asked as ingress ones', () => {
    const out = (name: string, peers: object[]): Policy =>
      toWeb({ name, types: ['Egress'], egress: [{ peers }] });
    const where = () => [f.db, f.far, f.out].map((dst) => leaves(f.web, dst));
    const db = out('to-db', [{ podSelector: { matchLabels: { app: 'db' } } }]);
    const ops = out('to-ops', [{ namespaceSelector: { matchLabels: { team: 'ops' } } }]);
    fw.setPolicies([db], PODS);
    expect(where()).toEqual([true, false, false]);
    fw.setPolicies([db, ops], PODS);
    expect(where()).toEqual([true, true, false]);
    fw.setPolicies([ops, DENY], PODS);
    expect(where()).toEqual([false, true, false]);
    expect(leaves(f.db, f.far)).toBe(false);
  });

  test('the node reaches its pods, and they it, whatever policies say; its addresses may change', () => {
    fw.setPolicies([DENY], PODS);
    expect([enters(f.node, f.web), leaves(f.web, f.node), enters(f.out, f.web)]).toEqual([true, true, false]);
    fw.setNode(f.out);
    expect([enters(f.node, f.web), leaves(f.web, f.node), enters(f.out, f.web)]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test('between two pods of the node both directions are asked, each with a session of its own', () => {
    const ask = (flags: string, seq: number, ack = 0) =>
      frame(f.web, f.db, tcp({ sport: 40000, dport: 80, flags, seq, ack }));
    const answer = (flags: string, seq: number, ack: number) =>
      frame(f.db, f.web, tcp({ sport: 80, dport: 40000, flags, seq, ack }));
    const cross = (packet: Buffer) => {
      const first = fw.egress(packet);
      return first.seen === undefined ? first : fw.ingress(packet);
    };
    const toDb = toWeb({
      name: 'to-db',
      types: ['Egress'],
      egress: [{ peers: [{ podSelector: { matchLabels: { app: 'db' } } }] }],
    });
    const fromWeb: Policy = {
      namespace: 'shop',
      name: 'from-web',
      podSelector: { matchLabels: { app: 'db' } },
      ingress: [
        { peers: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ protocol: 'TCP', port: 80 }] },
      ],
    };
    // sent, but not received: no entry of the receiver
    fw.setPolicies([DENY, toDb], PODS);
    expect(cross(ask('S', 100)).drops).toEqual(['firewall DroppedByRule']);
    expect(fw.sessions()).toHaveLength(1);
    // received, but not sent: it does not get as far
    fw.clear();
    fw.setPolicies([DENY, fromWeb], PODS);
    expect(cross(ask('S', 100)).drops).toEqual(['firewall DroppedByRule']);
    expect(fw.sessions()).toHaveLength(0);

    fw.setPolicies([DENY, toDb, fromWeb], PODS);
    for (const packet of [ask('S', 100), answer('SA', 500, 101), ask('A', 101, 501), answer('PA', 501, 101)])
      expect(cross(packet)).toMatchObject({ drops: [], seen: { port: INSIDE } });
    const two = fw.sessions();
    expect(two.map(({ table }) => table)).toEqual(['established', 'established']);
    expect(new Set(two.map(({ session }) => session.rule)).size).toBe(2);
    expect(two.map(({ src }) => src).sort()).toEqual([f.web, f.db].sort());
    // the other way nobody may open a connection
    expect(cross(frame(f.db, f.web, syn(80))).drops).toEqual(['firewall DroppedByRule']);

    // one of the two rules goes: the connection ends where it was refused, also for packets in the middle of it
    fw.setPolicies([DENY, toDb], PODS);
    expect(fw.egress(ask('A', 102, 502)).drops).toEqual([]);
    const refused = fw.ingress(ask('A', 102, 502));
    expect(refused).toMatchObject({ drops: ['firewall DroppedByRule'] });
    expect(refused.counts).toContain('firewall revoked');
    expect(fw.egress(answer('A', 502, 102)).drops).toEqual(['firewall InvalidState']);
    expect(fw.sessions()).toHaveLength(1);
  });

  test('an established connection follows: labels of a pod, and policies that go', () => {
    const policy = toWeb({ ingress: [{ peers: [{ podSelector: { matchLabels: { app: 'db' } } }] }] });
    const packet = (flags: string) =>
      frame(f.db, f.web, tcp({ sport: 40000, dport: 80, flags, seq: 100, ack: 1 }));
    fw.setPolicies([policy], PODS);
    expect(fw.ingress(packet('S')).drops).toEqual([]);
    fw.setPolicies([policy], [WEB, { ...DB, id: 9 }, FAR]); // another row that says the same
    expect(fw.ingress(packet('A')).counts).toEqual(['firewall known']);
    fw.setPolicies([policy], [WEB, { ...DB, labels: { app: 'other' } }, FAR]);
    expect(fw.ingress(packet('A')).drops).toEqual(['firewall DroppedByRule']);
    fw.setPolicies([policy], PODS);
    expect(fw.ingress(packet('S')).drops).toEqual([]);
    fw.setPolicies([], PODS);
    expect(fw.ingress(packet('A'))).toMatchObject({ drops: [], seen: { port: INSIDE } });
  });

  test('an ICMP error about an allowed connection passes, one about nothing does not', () => {
    const egress = toWeb({
      types: ['Ingress', 'Egress'],
      egress: [{ ports: [{ protocol: 'UDP', port: 53 }] }],
    });
    fw.setPolicies([egress], PODS);
    const sent = udp({ sport: 4000, dport: 53 });
    const error = (dport: number) => {
      const quoted = ip({ src: f.web, dst: f.out }, udp({ sport: 4000, dport })).bytes;
      return fw.ingress(frame(f.far, f.web, icmpError(f.v6 ? 1 : 3, 1, quoted)));
    };
    expect(fw.egress(frame(f.web, f.out, sent)).drops).toEqual([]);
    expect(error(53)).toMatchObject({ drops: [], seen: { port: INSIDE } });
    expect(error(54).drops).toEqual(['firewall InvalidState']);
  });

  test('rules up to 32768 are tried before policies, those above after them', () => {
    const rules = (priority: number, action: 'Allow' | 'Drop') =>
      fw.set({ action, priority, sources: [`${f.out}/${f.v6 ? 128 : 32}`] });
    fw.setPolicies([DENY], PODS);
    rules(32768, 'Allow');
    expect(enters(f.out, f.web)).toBe(true);
    rules(32769, 'Allow');
    expect(enters(f.out, f.web)).toBe(false);
    rules(32769, 'Drop');
    expect(enters(f.out, f.far)).toBe(false); // not isolated
    fw.set();
  });

  test('who decided is named: in sessions, and in what is dropped', () => {
    const policy = toWeb({ ingress: [{ ports: [{ protocol: 'TCP', port: 80 }] }] });
    fw.setPolicies([DENY, policy], PODS);
    const ingress = (l4: Layer4) => fw.ingress(frame(f.out, f.web, l4));
    ingress(syn(80));
    const rule = BigInt(fw.sessions()[0]?.session.rule ?? 0);
    expect(fw.image.nameObject('rule', rule)).toBe('NetworkPolicy shop/web, ingress entry 0');
    const dry = fw.ingress(frame(f.out, f.web, syn(81)), { dry: true });
    const decision = dry.events.find(({ kind, object }) => kind === 'decision' && object !== 0n);
    const packet = { src: f.out, dst: f.web, sport: 40000, dport: 81, proto: 6 };
    expect(fw.image.nameObject('rule', decision?.object ?? 0n, packet)).toBe(
      'NetworkPolicy shop/deny, which isolates the receiver for ingress, as does NetworkPolicy shop/web',
    );
    const drop = dry.events.find(({ kind }) => kind === 'drop');
    expect(fw.image.explain(drop?.object ?? 0n, packet)).toMatchObject({
      text: 'default deny of NetworkPolicy shop/deny, shop/web',
      action: 'Drop',
      origin: { kind: 'NetworkPolicy', namespace: 'shop', name: 'deny', direction: 'Ingress' },
    });
    const other = fw.ingress(frame(f.out, f.web, tcp({ sport: 1, dport: 2, flags: 'R' })), { dry: true });
    expect(other.drops).toEqual([]);
    expect(other.events.find(({ kind }) => kind === 'drop')).toMatchObject({ object: 0n });
  });
});
