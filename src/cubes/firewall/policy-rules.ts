// SPDX-License-Identifier: Apache-2.0

/**
 * What a network policy means, as rules: pure, and the only place that decides it. A pod that some policy selects for a
 * direction is isolated in it: what no entry of such a policy allows is dropped.
 */
import type { Policy, PolicyEntry, PolicyPeer } from '../../api/generated/types.ts';
import type { Prefix } from '../../api/ip.ts';
import type { RuleOrigin } from '../cube-type.ts';
import type { PodSelector } from './pod-selections.ts';
import { type Block, blockOf, isIn, type Pods, prefixesOf } from './policy-sides.ts';
import {
  Action,
  hash53,
  portRanges,
  type Range,
  type RuleMeaning,
  type RulePrefix,
  type Tier,
} from './rule-meaning.ts';
import { POLICY_PRIORITY } from './rule-order.ts';

export type PolicyDirection = 'Ingress' | 'Egress';

/** The pods that a selector selects. */
export type Select = (selector: PodSelector) => Iterable<Pods>;

export interface PolicyRules {
  readonly allows: readonly RuleMeaning[];
  /** At most one a direction: what else goes to, or comes from, the pods of the policy. */
  readonly drops: readonly RuleMeaning[];
}

export function tierOf({ tier }: Policy): Tier {
  return tier ?? 'NetworkPolicy';
}

export function policyName({ namespace, name }: Policy): string {
  return namespace === undefined ? `ClusterNetworkPolicy ${name}` : `NetworkPolicy ${namespace}/${name}`;
}

export function subjectOf({ namespace, namespaceSelector, podSelector }: Policy): PodSelector {
  return { namespace, namespaceSelector, podSelector };
}

/** As the API server would default them: Ingress always, Egress where the policy has entries for it. */
export function isolates(policy: Policy): readonly PolicyDirection[] {
  if (tierOf(policy) !== 'NetworkPolicy') return [];
  if (policy.types !== undefined && policy.types.length > 0) return policy.types;
  return (policy.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

export function peerSelector(policy: Policy, { namespaceSelector, podSelector }: PolicyPeer): PodSelector {
  if (namespaceSelector !== undefined) return { namespaceSelector, podSelector };
  return { namespace: policy.namespace, podSelector };
}

/** @param auditsAll whether no policy is enforced, whatever the pods say. */
export function rulesOfPolicy(policy: Policy, select: Select, auditsAll: boolean): PolicyRules {
  const pods = [...select(subjectOf(policy))];
  const tier = tierOf(policy);
  // Who may annotate a namespace must not open what the tier Admin has closed.
  const isAudited = (each: Pods) => auditsAll || (each.isAudited && tier !== 'Admin');
  const subjects: Subjects = {
    all: sideOf(pods),
    parts: [
      { subject: sideOf(pods.filter((each) => !isAudited(each))), refuse: Action.Drop },
      { subject: sideOf(pods.filter(isAudited)), refuse: Action.Audit },
    ].filter(({ subject }) => !isNobody(subject)),
  };
  const allows: RuleMeaning[] = [];
  const drops: RuleMeaning[] = [];
  if (isNobody(subjects.all)) return { allows, drops };
  if (tier !== 'NetworkPolicy') {
    for (const direction of ['Ingress', 'Egress'] as const)
      allows.push(...rulesOfEntries(policy, direction, subjects, select));
    return { allows, drops };
  }
  for (const direction of isolates(policy)) {
    allows.push(...rulesOfEntries(policy, direction, subjects, select));
    for (const { subject, refuse: action } of subjects.parts) {
      const [from, to] = direction === 'Ingress' ? [ANYBODY, subject] : [subject, ANYBODY];
      const what = isolation(policy, direction);
      const own = [`${policy.namespace}/${policy.name}`];
      const origin = { ...originOf(policy, direction), defaultDenyOf: own };
      drops.push(ruleOf({ what, origin, direction, action, from, to }));
    }
  }
  return { allows, drops };
}

/** The pods of a policy. What it refuses is dropped for some of them, and told for others. */
interface Subjects {
  readonly all: SideOfPods;
  readonly parts: readonly { readonly subject: SideOfPods; readonly refuse: number }[];
}

/** In their order, as rules of a tier are tried. */
function rulesOfEntries(
  policy: Policy,
  direction: PolicyDirection,
  { all, parts }: Subjects,
  select: Select,
): RuleMeaning[] {
  const tier = tierOf(policy);
  const entries = (direction === 'Ingress' ? policy.ingress : policy.egress) ?? [];
  return entries.flatMap((entry, i) => {
    const name = entry.name ?? `${i}`;
    const what =
      tier === 'NetworkPolicy'
        ? `${policyName(policy)}, ${direction.toLowerCase()} entry ${name}`
        : `${policyName(policy)} (${tier}), ${direction.toLowerCase()} rule ${name}`;
    const origin = { ...originOf(policy, direction), rule: name };
    const peers = peersOf(policy, entry, select);
    const action = actionOf(entry, tier);
    const subjects =
      action === Action.Drop
        ? parts.map((part) => ({ ...part, action: part.refuse }))
        : [{ subject: all, action }];
    return subjects.flatMap(({ subject, action: does }) =>
      servicesOf(entry, direction, subject, peers, select).flatMap(({ receivers, services }) => {
        const [from, to] = direction === 'Ingress' ? [peers, receivers] : [subject, receivers];
        if (isNobody(from) || isNobody(to)) return [];
        return [ruleOf({ what, origin, direction, action: does, from, to, services, tier })];
      }),
    );
  });
}

function originOf(policy: Policy, direction: PolicyDirection): RuleOrigin {
  const tier = tierOf(policy);
  if (tier === 'NetworkPolicy') return { kind: 'NetworkPolicy', ...named(policy), direction };
  return { kind: 'ClusterNetworkPolicy', ...named(policy), tier, direction };
}

function named({ namespace, name }: Policy): Pick<RuleOrigin, 'namespace' | 'name'> {
  return { ...(namespace === undefined ? {} : { namespace }), name };
}

function actionOf({ action }: PolicyEntry, tier: Tier): number {
  if (action === 'Deny') return Action.Drop;
  if (action !== 'Pass') return Action.Allow;
  return tier === 'Admin' ? Action.PassAdmin : Action.PassBaseline;
}

function isolation(policy: Policy, direction: PolicyDirection): string {
  const [whom, where] = direction === 'Ingress' ? ['receiver', 'ingress'] : ['sender', 'egress'];
  return `${policyName(policy)}, which isolates the ${whom} for ${where}`;
}

/**
 * What the node sends to pods, and they to it: no policy of a namespace is asked about it. `addresses`: those of the node.
 * `isolated`: the pods that such policies isolate for egress, where a tier behind them may refuse the node to the others.
 */
export function nodeRules(addresses: readonly Prefix[], isolated?: ReadonlySet<Pods>): RuleMeaning[] {
  if (addresses.length === 0) return [];
  const node: Side = { prefixes: addresses, pods: [], said: addresses.map(textOf).sort().join() };
  const senders: Side = isolated === undefined ? ANYBODY : sideOf([...isolated]);
  const allow = (what: string, direction: PolicyDirection, from: Side, to: Side) =>
    ruleOf({ what, origin: { kind: 'Node', direction }, direction, action: Action.Allow, from, to });
  const rules = [allow('the node itself, from which all is allowed', 'Ingress', node, ANYBODY)];
  if (!isNobody(senders))
    rules.push(allow('the node itself, to which all is allowed', 'Egress', senders, node));
  return rules;
}

/** Until policies fit that do not: nothing passes but what concerns the node, or with `auditsAll` what would not is told. */
export function closedRules(auditsAll: boolean): RuleMeaning[] {
  return (['Ingress', 'Egress'] as const).map((direction) =>
    ruleOf({
      what: 'network policies, which do not fit',
      origin: { kind: 'Closed' },
      direction,
      action: auditsAll ? Action.Audit : Action.Drop,
      from: ANYBODY,
      to: ANYBODY,
    }),
  );
}

/** A side of a rule. */
interface Side {
  /** Undefined: all addresses. */
  readonly prefixes: readonly RulePrefix[] | undefined;
  readonly pods: readonly Pods[];
  readonly blocks?: readonly Block[];
  /** Equal for sides of the same addresses. */
  readonly said: string;
}

interface SideOfPods extends Side {
  readonly prefixes: readonly RulePrefix[];
}

const ANYBODY: Side = { prefixes: undefined, pods: [], said: 'all' };

function isNobody({ prefixes }: Side): boolean {
  return prefixes?.length === 0;
}

function textOf({ family, value, length, isHole }: RulePrefix): string {
  return `${isHole ? '!' : ''}${family}:${value.toString(16)}/${length}`;
}

function sideOf(pods: readonly Pods[], blocks: readonly Block[] = []): SideOfPods {
  const around = prefixesOf(blocks);
  const said = [...pods.map((each) => each.said), ...around.map(textOf)].sort().join();
  return { prefixes: [...pods.flatMap(({ addresses }) => addresses), ...around], pods, blocks, said };
}

function peersOf(policy: Policy, { peers = [] }: PolicyEntry, select: Select): Side {
  if (peers.length === 0) return ANYBODY;
  const blocks = peers.flatMap((peer) => blockOf(peer) ?? []);
  const selectors = peers.filter(({ cidr }) => cidr === undefined);
  const pods = new Set(selectors.flatMap((peer) => [...select(peerSelector(policy, peer))]));
  return sideOf([...pods], blocks);
}

interface ServicePart {
  readonly receivers: Side;
  /** Undefined: all, of all protocols. */
  readonly services: readonly Range[] | undefined;
}

/** The receivers and ports of an entry: ports by number are the same at all of them, ports by name are not. */
function servicesOf(
  { ports = [] }: PolicyEntry,
  direction: PolicyDirection,
  subject: SideOfPods,
  peers: Side,
  select: Select,
): ServicePart[] {
  const receivers = direction === 'Ingress' ? subject : peers;
  if (ports.length === 0) return [{ receivers, services: undefined }];
  const numbers = ports.filter(({ name }) => name === undefined);
  const names = ports.filter(({ name }) => name !== undefined);
  const byServices = new Map<string, { pods: Pods[]; ranges: Range[] }>();
  if (names.length > 0) {
    for (const pods of receiversWithNames(receivers, select)) {
      const ranges = portRanges(
        pods.ports.filter((own) =>
          names.some(({ name, protocol }) => name === own.name && protocol === own.protocol),
        ),
      );
      if (ranges.length === 0) continue;
      const key = ranges
        .map(({ table, from }) => `${table}:${from}`)
        .sort()
        .join();
      const group = byServices.get(key) ?? { pods: [], ranges };
      byServices.set(key, group);
      group.pods.push(pods);
    }
  }
  const named = [...byServices.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { pods, ranges }]) => ({ receivers: sideOf(pods), services: ranges }));
  return numbers.length === 0 ? named : [{ receivers, services: portRanges(numbers) }, ...named];
}

/** Only of pods it is known what a name stands for: of those that a block holds, and of all where anybody may receive. */
function* receiversWithNames({ prefixes, pods, blocks = [] }: Side, select: Select): Generator<Pods> {
  if (prefixes === undefined) {
    yield* select({});
    return;
  }
  yield* pods;
  if (blocks.length === 0) return;
  for (const each of select({})) {
    const addresses = each.addresses.filter((address) => isIn(blocks, address));
    if (addresses.length === 0) continue;
    yield { ...each, addresses, said: addresses.map(textOf).join() };
  }
}

interface PolicyRule {
  readonly what: string;
  readonly origin: RuleOrigin;
  readonly direction: PolicyDirection;
  readonly action: number;
  readonly from: Side;
  readonly to: Side;
  /** Absent: all, of all protocols. */
  readonly services?: readonly Range[] | undefined;
  readonly tier?: Tier;
}

function ruleOf(rule: PolicyRule): RuleMeaning {
  const { origin, direction, action, from, to, services, tier = 'NetworkPolicy' } = rule;
  // A name of its own, so that what was refused and what would have been are counted apart.
  const what = action === Action.Audit ? `${rule.what}, in audit mode` : rule.what;
  const ports = services?.map(({ table, from: first, to: last }) => `${table}:${first}-${last}`) ?? [];
  return {
    identity: hash53(`policy ${what}`),
    title: what,
    origin,
    said: `policy ${hash53(`${what} ${tier} ${action} [${from.said}] [${to.said}] ${services && ports.sort()}`)}`,
    priority: POLICY_PRIORITY,
    ingress: direction === 'Ingress',
    egress: direction === 'Egress',
    action,
    log: false,
    sources: from.prefixes ?? [],
    destinations: to.prefixes ?? [],
    services,
    sourcePorts: undefined,
    tcpFlags: undefined,
    states: 1,
    tier,
  };
}
