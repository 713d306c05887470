// SPDX-License-Identifier: Apache-2.0
/** Tables mean what the policy means: judged by an evaluator of the NetworkPolicy API that shares no code with the translation. */
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import type { LabelSelector, Policy } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import type {
  LabelSelectorInput,
  NetworkPolicyInput,
  PolicyEntryInput,
  PolicyPeerInput,
  PolicyPortInput,
} from './inputs.ts';
import { tablesOfNetworkPolicy } from './network-policy.ts';

interface Host {
  namespace?: string;
  labels: Record<string, string>;
  namespaceLabels: Record<string, string>;
  named: Record<string, number>;
  address: string;
}
interface Probe {
  subject: Host;
  other: Host;
  protocol: string;
  port: number;
}

const within = (address: string, cidr: string): boolean => {
  const [prefix, host] = [ipaddr.parseCIDR(cidr), ipaddr.parse(address)];
  return prefix[0].kind() === host.kind() && host.match(prefix);
};

function selects(selector: LabelSelectorInput | LabelSelector, labels: Record<string, string>): boolean {
  const pairs = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    pairs &&
    (selector.matchExpressions ?? []).every(({ key = '', operator, values }) => {
      if (operator === 'Exists') return key in labels;
      if (operator === 'DoesNotExist') return !(key in labels);
      const listed = key in labels && (values ?? []).includes(labels[key] as string);
      return operator === 'In' ? listed : !listed;
    })
  );
}

/** Whether an entry's peer is the other side, written after the API's documentation of NetworkPolicyPeer. */
function isPeer(peer: PolicyPeerInput, { subject, other }: Probe): boolean {
  if (peer.ipBlock) {
    const { cidr, except } = peer.ipBlock;
    return within(other.address, cidr ?? '') && !(except ?? []).some((hole) => within(other.address, hole));
  }
  if (other.namespace === undefined) return false;
  const inNamespace = peer.namespaceSelector
    ? selects(peer.namespaceSelector, other.namespaceLabels)
    : other.namespace === subject.namespace;
  return inNamespace && (!peer.podSelector || selects(peer.podSelector, other.labels));
}

/** 'Free' where the policy is not about the packet. Ports are those of the receiver. */
function verdict(policy: NetworkPolicyInput, probe: Probe, direction: 'ingress' | 'egress'): string {
  const spec = policy.spec ?? {};
  if (policy.metadata.namespace !== probe.subject.namespace) return 'Free';
  if (!selects(spec.podSelector ?? {}, probe.subject.labels)) return 'Free';
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  if (!(spec.policyTypes ?? []).includes(type)) return 'Free';
  const receiver = direction === 'ingress' ? probe.subject : probe.other;
  const allowed = (spec[direction] ?? []).some((entry: PolicyEntryInput | null | undefined) => {
    const peers = (direction === 'ingress' ? entry?.from : entry?.to) ?? [];
    const ports = entry?.ports ?? [];
    const byPort = ports.some((port) => {
      if ((port?.protocol ?? 'TCP') !== probe.protocol) return false;
      if (typeof port?.port === 'string') return receiver.named[port.port] === probe.port;
      if (typeof port?.port !== 'number') return true;
      return probe.port >= port.port && probe.port <= (port.endPort ?? port.port);
    });
    return (
      (peers.length === 0 || peers.some((peer) => peer && isPeer(peer, probe))) &&
      (ports.length === 0 || byPort)
    );
  });
  return allowed ? 'Allowed' : 'Denied';
}

/** The same question to the rows of the tables: several rows are several policies. */
function verdictOfRows(rows: readonly Policy[], probe: Probe, direction: 'ingress' | 'egress'): string {
  const verdicts = rows.map((row) => {
    const entries = (row[direction] ?? []).map(({ peers = [], ports = [] }) => ({
      [direction === 'ingress' ? 'from' : 'to']: peers.map(({ cidr, except, ...selectors }) =>
        cidr === undefined ? selectors : { ipBlock: { cidr, except: except ?? [] } },
      ),
      ports: ports.map(({ name, ...port }) => (name === undefined ? port : { ...port, port: name })),
    }));
    const spec = { podSelector: row.podSelector ?? {}, policyTypes: row.types ?? [], [direction]: entries };
    return verdict({ metadata: { namespace: row.namespace ?? '', name: row.name }, spec }, probe, direction);
  });
  if (verdicts.includes('Allowed')) return 'Allowed';
  return verdicts.includes('Denied') ? 'Denied' : 'Free';
}

const key = fc.constantFrom('app', 'tier', 'zone');
const value = fc.constantFrom('', 'a', 'b');
const labels = fc.dictionary(key, value, { maxKeys: 3 });
const expression = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom('In', 'NotIn'),
    // Sometimes more values than a requirement of a table holds; the first ones are those that labels have.
    values: fc
      .integer({ min: 1, max: 150 })
      .map((n) => ['a', 'b', ...Array.from({ length: 148 }, (_, i) => `v${i}`)].slice(0, n)),
  }),
  fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
);
const selector: fc.Arbitrary<LabelSelectorInput> = fc.record(
  { matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 2 }) },
  { requiredKeys: [] },
);
const addressOf = (n: number): string => `10.0.${n >> 5}.${(n * 37) & 255}`;
const address = fc.integer({ min: 0, max: 90 }).map(addressOf);
const block = fc
  .tuple(
    address,
    fc.integer({ min: 0, max: 32 }),
    fc.array(fc.tuple(address, fc.integer({ min: 20, max: 32 })), { maxLength: 60 }),
  )
  .map(([base, length, holes]) => ({
    ipBlock: { cidr: `${base}/${length}`, except: holes.map(([hole, size]) => `${hole}/${size}`) },
  }));
const peer: fc.Arbitrary<PolicyPeerInput> = fc.oneof(
  block,
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ namespaceSelector: selector, podSelector: selector }),
);
const protocol = fc.constantFrom('TCP', 'UDP');
const port = fc.oneof(
  fc.record({ protocol, port: fc.integer({ min: 1, max: 20 }) }, { requiredKeys: [] }),
  fc.record({ protocol, port: fc.integer({ min: 1, max: 10 }), endPort: fc.integer({ min: 10, max: 20 }) }),
  fc.record({ protocol, port: fc.constantFrom('http', 'dns') }),
);
/**
 * More than a table holds, each for one packet only: else the first of them would allow what is asked for, and nobody
 * would miss the others.
 */
const numbers = (least: number, most: number) =>
  fc.uniqueArray(fc.integer({ min: 1, max: 90 }), { minLength: least, maxLength: most, size: 'max' });
const manyPorts = numbers(65, 90).map((list) => list.map((number) => ({ port: number })));
const manyPeers = numbers(33, 90).map((list) =>
  list.map((number) => ({ ipBlock: { cidr: `${addressOf(number)}/32` } })),
);
const manyEntries = (side: 'from' | 'to') =>
  numbers(33, 90).map((list) =>
    list.map((number) => ({ [side]: [{ ipBlock: { cidr: '0.0.0.0/0' } }], ports: [{ port: number }] })),
  );
const orMany = <T>(few: fc.Arbitrary<T[]>, many: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: 2, arbitrary: few }, many);
const entries = (side: 'from' | 'to'): fc.Arbitrary<PolicyEntryInput[]> =>
  orMany<PolicyEntryInput>(
    fc.array(
      fc
        .record({
          peers: orMany<PolicyPeerInput>(fc.array(peer, { maxLength: 3 }), manyPeers),
          ports: orMany<PolicyPortInput>(fc.array(port, { maxLength: 3 }), manyPorts),
        })
        .map(({ peers, ports }) => ({ [side]: peers, ports })),
      { maxLength: 3 },
    ),
    manyEntries(side),
  );
const policy: fc.Arbitrary<NetworkPolicyInput> = fc.record({
  metadata: fc.constant({ namespace: 'one', name: 'p', uid: 'u' }),
  spec: fc.record({
    podSelector: selector,
    policyTypes: fc.constantFrom(['Ingress'], ['Egress'], ['Ingress', 'Egress']),
    ingress: entries('from'),
    egress: entries('to'),
  }),
});
const host: fc.Arbitrary<Host> = fc.record({
  namespace: fc.constantFrom('one', 'two'),
  labels,
  namespaceLabels: labels,
  named: fc.dictionary(fc.constantFrom('http', 'dns'), fc.integer({ min: 1, max: 20 })),
  address,
});
const outside = address.map((at): Host => ({ labels: {}, namespaceLabels: {}, named: {}, address: at }));
const probe: fc.Arbitrary<Probe> = fc.record({
  subject: host,
  other: fc.oneof(host, outside),
  protocol,
  port: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 90 })),
});

it('the rows of a policy together say about each packet what the policy says', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(policy, fc.array(probe, { minLength: 20, maxLength: 20 }), (input, probes) => {
      const { tables, diagnostics } = tablesOfNetworkPolicy(input, { namespace: 'system' });
      expect(diagnostics).toEqual([]);
      for (const table of tables) expect(validate(table).ok).toBe(true);
      const rows = tables.flatMap(({ spec }) => (spec.type === 'Policy' ? spec.policies : []));
      for (const one of probes) {
        for (const direction of ['ingress', 'egress'] as const) {
          const expected = verdict(input, one, direction);
          seen.set(expected, (seen.get(expected) ?? 0) + 1);
          expect([one, direction, verdictOfRows(rows, one, direction)]).toEqual([one, direction, expected]);
        }
      }
    }),
    // Shrinking hundreds of entries takes minutes.
    { numRuns: 150, endOnFailure: true },
  );
  // Probes that all miss would prove nothing.
  for (const verdictSeen of ['Allowed', 'Denied', 'Free'])
    expect(seen.get(verdictSeen) ?? 0).toBeGreaterThan(50);
}, 120_000);
