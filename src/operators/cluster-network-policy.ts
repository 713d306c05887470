// SPDX-License-Identifier: Apache-2.0
import type { CubeTable, LabelSelector, Policy, PolicyEntry } from '../api/generated/types.ts';
import { clusterPeers } from './cluster-policy-peer.ts';
import { clusterPorts } from './cluster-policy-port.ts';
import { type Diagnostic, Diagnostics, shown } from './diagnostic.ts';
import type { ClusterNetworkPolicyInput, ClusterRuleInput, LabelSelectorInput } from './inputs.ts';
import { chunks, type TranslatedSelector, translateSelector } from './label-selector.ts';
import { MAX_ENTRIES, MAX_PEERS, MAX_PORTS } from './network-policy.ts';
import { unknownMember } from './network-policy-peer.ts';
import { policyTables } from './policy-tables.ts';

/** Rules of a policy after they were cut to the bounds of tables. */
const MOST_ENTRIES = 2048;
const ACTIONS = ['Accept', 'Deny', 'Pass'] as const;
const KNOWN = {
  Ingress: ['name', 'action', 'from', 'protocols'],
  Egress: ['name', 'action', 'to', 'protocols'],
};

type Direction = 'Ingress' | 'Egress';

interface Subjects {
  readonly selectors: readonly { namespaceSelector: LabelSelector; podSelector: LabelSelector }[];
  readonly exact: boolean;
}

/**
 * ClusterNetworkPolicy → CubeTables. Pure and total, as tablesOfNetworkPolicy.
 *
 * What cannot be understood fails closed, as the API's documentation wants it: a rule that accepts matches nothing then, any
 * other denies all. Of a subject that is not understood the rules that deny hold for all pods that might be meant.
 */
export function tablesOfClusterNetworkPolicy(
  policy: ClusterNetworkPolicyInput,
  options: { namespace: string },
): { tables: CubeTable[]; diagnostics: Diagnostic[] } {
  const { name = '', uid = '' } = policy.metadata;
  const diagnostics = new Diagnostics(`ClusterNetworkPolicy ${name}`);
  const { spec } = policy;
  const tier = spec?.tier === 'Baseline' ? 'Baseline' : 'Admin';
  if (spec?.tier !== tier)
    diagnostics.add(
      'NotSupported',
      'spec.tier',
      `${shown(spec?.tier)} is no tier, Admin is taken`,
      'use Admin or Baseline',
    );
  const subjects = subjectsOf(spec?.subject ?? {}, diagnostics);
  const keep = (entry: PolicyEntry): boolean => subjects.exact || entry.action === 'Deny';
  const of = (
    direction: Direction,
    rules: readonly (ClusterRuleInput | null | undefined)[],
  ): PolicyEntry[][] => chunks(entriesOf(rules, direction, diagnostics).filter(keep), MAX_ENTRIES);
  const ingress = of('Ingress', spec?.ingress ?? []);
  const egress = of('Egress', spec?.egress ?? []);
  const count = Math.max(ingress.length, egress.length);
  const rows = subjects.selectors.flatMap((selectors) =>
    Array.from(
      { length: count },
      (_, index): Policy => ({
        name,
        ...(uid === '' ? {} : { uid }),
        tier,
        priority: Math.min(1000, Math.max(0, spec?.priority ?? 0)),
        ...selectors,
        ingress: ingress[index] ?? [],
        egress: egress[index] ?? [],
      }),
    ),
  );
  const placed = rows.map((row, position) => ({ ...row, position }));
  return { tables: policyTables({ name, uid }, placed, options), diagnostics: diagnostics.list };
}

/** Host-network pods have no identity, so no selector selects them, as the API wants it. */
function subjectsOf(
  subject: NonNullable<NonNullable<ClusterNetworkPolicyInput['spec']>['subject']>,
  diagnostics: Diagnostics,
): Subjects {
  const [namespaces, pods] = subject.pods
    ? [subject.pods.namespaceSelector, subject.pods.podSelector]
    : [subject.namespaces, undefined];
  const unknown = unknownMember(subject, ['namespaces', 'pods']);
  const isKnown = unknown === undefined && (subject.pods != null) !== (subject.namespaces != null);
  if (!isKnown)
    diagnostics.add(
      'NotSupported',
      'spec.subject',
      'the subject is not known here; rules that deny hold for all pods, the others for none',
      'set either namespaces or pods',
    );
  const read = (input: LabelSelectorInput | null | undefined, field: string): TranslatedSelector =>
    translateSelector(input ?? {}, field, diagnostics);
  const at = subject.pods ? 'spec.subject.pods' : 'spec.subject';
  const byNamespace = read(namespaces, `${at}.${subject.pods ? 'namespaceSelector' : 'namespaces'}`);
  const byPod = read(pods, `${at}.podSelector`);
  return {
    selectors: byNamespace.selectors.flatMap((namespaceSelector) =>
      byPod.selectors.map((podSelector) => ({ namespaceSelector, podSelector })),
    ),
    exact: isKnown && byNamespace.exact && byPod.exact,
  };
}

/** A rule that is cut stays in one piece in the order: entries of one action, one after the other. */
function entriesOf(
  rules: readonly (ClusterRuleInput | null | undefined)[],
  direction: Direction,
  diagnostics: Diagnostics,
): PolicyEntry[] {
  const made: PolicyEntry[] = [];
  rules.forEach((rule, index) => {
    const field = `spec.${direction.toLowerCase()}[${index}]`;
    const { name, parts, action } = ruleParts(rule, direction, field, index, diagnostics);
    if (made.length + parts.length <= MOST_ENTRIES) {
      for (const { peers, ports } of parts) made.push({ name, action, peers, ports });
      return;
    }
    const message = `the policy makes more than ${MOST_ENTRIES} entries; this rule ${action === 'Accept' ? 'matches nothing' : 'denies all'}`;
    diagnostics.add('TooMany', field, message, 'spread the policy over several');
    if (action !== 'Accept') made.push({ name, action: 'Deny' });
  });
  return made;
}

type Parts = Required<Pick<PolicyEntry, 'peers' | 'ports'>>[];

/** What a rule says; where a part of it is not understood, what is closed. */
function ruleParts(
  rule: ClusterRuleInput | null | undefined,
  direction: Direction,
  field: string,
  index: number,
  diagnostics: Diagnostics,
): { name: string; action: (typeof ACTIONS)[number]; parts: Parts } {
  const name = typeof rule?.name === 'string' && rule.name !== '' ? rule.name : `${index}`;
  const action = ACTIONS.find((one) => one === rule?.action);
  const closed = (): { name: string; action: (typeof ACTIONS)[number]; parts: Parts } =>
    action === 'Accept'
      ? { name, action, parts: [] }
      : { name, action: 'Deny', parts: [{ peers: [], ports: [] }] };
  if (action === undefined || !rule) {
    const message = `${shown(rule?.action)} is no action; the rule denies all`;
    diagnostics.add('NotSupported', `${field}.action`, message, 'use Accept, Deny or Pass');
    return closed();
  }
  const effect = action === 'Accept' ? 'the rule matches nothing' : 'the rule denies all';
  const unknown = unknownMember(rule, KNOWN[direction]);
  if (unknown !== undefined) {
    const message = `the field is not known here; ${effect}`;
    diagnostics.add('NotSupported', `${field}.${unknown}`, message, 'remove it');
    return closed();
  }
  const side = direction === 'Ingress' ? 'from' : 'to';
  const peers = clusterPeers(rule[side] ?? [], direction, `${field}.${side}`, effect, diagnostics);
  const ports = rule.protocols ? clusterPorts(rule.protocols, `${field}.protocols`, effect, diagnostics) : [];
  if (peers === undefined || ports === undefined) return closed();
  // nobody is not everybody
  if (peers.length === 0) return { name, action, parts: [] };
  const portLists = ports.length === 0 ? [[]] : chunks(ports, MAX_PORTS);
  const parts = chunks(peers, MAX_PEERS).flatMap((some) =>
    portLists.map((list) => ({ peers: some, ports: list })),
  );
  return { name, action, parts };
}
