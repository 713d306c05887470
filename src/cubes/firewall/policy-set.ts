// SPDX-License-Identifier: Apache-2.0
/** All policies and pods of a firewall, and their rules; those of a policy are made anew only when its pods changed. */
import type { Identity, Policy } from '../../api/generated/types.ts';
import { type Address, formatAddress, hostPrefix, type Prefix, parseAddress } from '../../api/ip.ts';
import type { Problem } from '../cube-type.ts';
import { PodSelections, type PodSelector, type Selection } from './pod-selections.ts';
import {
  closedRules,
  isolates,
  nodeRules,
  type PolicyDirection,
  type PolicyRules,
  policyName,
  rulesOfPolicy,
  subjectOf,
  tierOf,
} from './policy-rules.ts';
import type { Pods } from './policy-sides.ts';
import { type RuleMeaning, TIERS, type Tier } from './rule-meaning.ts';
import { compare } from './rule-order.ts';

interface Translated {
  readonly policy: Policy;
  readonly rules: PolicyRules;
  /** What the rules follow from. */
  readonly inputs: ReadonlyMap<Selection, number>;
}

/** Namespaces that a message names. */
const SHOWN = 10;

export class PolicySet {
  readonly #pods = new PodSelections();
  readonly #tables = new Map<string, readonly Policy[]>();
  #translated: Translated[] = [];
  #arePoliciesChanged = false;
  #node: readonly Prefix[] = [];
  readonly #auditsAll: boolean;

  /** @param auditsAll whether no policy is enforced: what they refuse is told and passes. */
  constructor(auditsAll = false) {
    this.#auditsAll = auditsAll;
  }

  /** Which policies are not enforced, in words. */
  audit(): string | undefined {
    if (this.isEmpty) return undefined;
    if (this.#auditsAll) return 'no network policy is enforced, since spec.firewall.policyMode is Audit';
    const names = this.#pods.auditedNamespaces();
    if (names.length === 0) return undefined;
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
    return `network policies are not enforced for pods of the namespaces ${names.slice(0, SHOWN).join(', ')}${more}, which have the annotation cubeplane.io/policy-audit`;
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0;
  }

  setPolicies(key: string, rows: readonly Policy[] | undefined): void {
    if (rows === undefined) this.#tables.delete(key);
    else this.#tables.set(key, rows);
    this.#arePoliciesChanged = true;
  }

  setIdentities(key: string, rows: readonly Identity[] | undefined): readonly Problem[] {
    return this.#pods.set(key, rows);
  }

  /** Returns whether they are others than before. */
  setNode(addresses: readonly string[]): boolean {
    const said = (list: readonly Address[]) => list.map(formatAddress).join();
    const next = [...new Set(addresses)].sort().flatMap((text): Prefix[] => {
      const address = parseAddress(text);
      return address === undefined ? [] : [hostPrefix(address)];
    });
    const isChanged = said(next) !== said(this.#node);
    this.#node = next;
    return isChanged;
  }

  /** The tier Admin, the node, then what policies allow, then what isolates, then the tier Baseline; without policies none. */
  rules(): RuleMeaning[] {
    this.#translate();
    if (this.isEmpty) return [];
    const of = (tier: Tier) =>
      this.#translated.filter(({ policy }) => tierOf(policy) === tier).map(({ rules }) => rules);
    const namespaced = of('NetworkPolicy');
    const baseline = of('Baseline').flatMap(({ allows }) => allows);
    const isolated = baseline.some(({ egress }) => egress) ? this.#isolatedSenders() : undefined;
    return [
      ...of('Admin').flatMap(({ allows }) => allows),
      ...nodeRules(this.#node, isolated),
      ...namespaced.flatMap(({ allows }) => allows),
      ...namespaced.flatMap(({ drops }) => drops),
      ...baseline,
    ];
  }

  #isolatedSenders(): Set<Pods> {
    const isolating = this.#translated.filter(({ policy }) => isolates(policy).includes('Egress'));
    return new Set(isolating.flatMap(({ policy }) => [...this.#pods.select(subjectOf(policy)).pods]));
  }

  /** Instead of policies that do not fit. */
  closed(): RuleMeaning[] {
    return [...nodeRules(this.#node), ...closedRules(this.#auditsAll)];
  }

  #translate(): void {
    const isCurrent = ({ inputs }: Translated) =>
      [...inputs].every(([selection, version]) => selection.version === version);
    const known = new Map(this.#translated.filter(isCurrent).map((each) => [each.policy, each]));
    const policies = this.#arePoliciesChanged
      ? [...this.#tables.values()].flat().sort(byOrder)
      : this.#translated.map(({ policy }) => policy);
    this.#translated = policies.map((policy) => known.get(policy) ?? this.#translateOne(policy));
    if (this.#arePoliciesChanged)
      this.#pods.keep(new Set(this.#translated.flatMap(({ inputs }) => [...inputs.keys()])));
    this.#arePoliciesChanged = false;
  }

  #translateOne(policy: Policy): Translated {
    const inputs = new Map<Selection, number>();
    const select = (selector: PodSelector) => {
      const selection = this.#pods.select(selector);
      inputs.set(selection, selection.version);
      return selection.pods;
    };
    const rules = rulesOfPolicy(policy, select, this.#auditsAll);
    return { policy, rules, inputs };
  }

  /** `namespace/name` of the policies that isolate the pod of this address. */
  isolating(address: string, direction: PolicyDirection): string[] {
    const prefix = parseAddress(address);
    if (prefix === undefined) return [];
    return this.#translated
      .filter(({ policy }) => isolates(policy).includes(direction))
      .filter(({ policy }) => {
        for (const { addresses } of this.#pods.select(subjectOf(policy)).pods)
          if (addresses.some(({ family, value }) => family === prefix.family && value === prefix.value))
            return true;
        return false;
      })
      .map(({ policy: { namespace, name } }) => `${namespace}/${name}`);
  }
}

/** By tier and priority; those that are tried at the same time by name, so that an order does not depend on history. */
function byOrder(a: Policy, b: Policy): number {
  return (
    TIERS.indexOf(tierOf(a)) - TIERS.indexOf(tierOf(b)) ||
    (a.priority ?? 0) - (b.priority ?? 0) ||
    compare(policyName(a), policyName(b)) ||
    (a.position ?? 0) - (b.position ?? 0)
  );
}
