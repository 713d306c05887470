// SPDX-License-Identifier: Apache-2.0
/** All rules of a firewall in the order in which they are tried, from the spec and from tables. */
import type { FirewallRule } from '../../api/generated/types.ts';
import type { Problem, TableSlice } from '../cube-type.ts';
import { isProblem, meaningOf, type RuleMeaning } from './rule-meaning.ts';

export type Directions = readonly [readonly RuleMeaning[], readonly RuleMeaning[]];

interface Source {
  readonly key: string;
  readonly owner: string;
  readonly index: number;
  readonly rules: readonly RuleMeaning[];
}

/**
 * Where the policies stand among the rules of the spec and of tables: rules up to this priority are tried before them, which
 * is the default; those above it after them (docs/adr/0026).
 */
export const POLICY_PRIORITY = 32768;

export const NO_RULES: Directions = [[], []];

/** The rules of one list, that of a CubeTable or of the spec, and what of it cannot be. `field`: its path. */
export function readRules(
  rules: readonly FirewallRule[],
  field: string,
  table?: string,
): { meanings: RuleMeaning[]; problems: Problem[] } {
  const meanings: RuleMeaning[] = [];
  const problems: Problem[] = [];
  rules.forEach((rule, i) => {
    const meaning = meaningOf(rule, { index: i, ...(table === undefined ? {} : { table }) }, field);
    if (isProblem(meaning)) problems.push(meaning);
    else meanings.push(meaning);
  });
  return { meanings, problems };
}

export class RuleOrder {
  readonly #spec: readonly RuleMeaning[];
  readonly #sources = new Map<string, Source>();

  constructor(spec: readonly RuleMeaning[]) {
    this.#spec = spec;
  }

  set(key: string, rules: readonly RuleMeaning[] | undefined, slice: TableSlice | undefined): void {
    if (rules === undefined) this.#sources.delete(key);
    else this.#sources.set(key, { key, owner: slice?.owner ?? key, index: slice?.index ?? 0, rules });
  }

  get(key: string): readonly RuleMeaning[] | undefined {
    return this.#sources.get(key)?.rules;
  }

  /** By priority; within one: the spec, then tables by owner, slice and name, each in its own order, then `policies`. */
  directions(policies: readonly RuleMeaning[] = []): Directions {
    const sources = [...this.#sources.values()].sort(
      (a, b) => compare(a.owner, b.owner) || a.index - b.index || compare(a.key, b.key),
    );
    const all = [...this.#spec, ...sources.flatMap(({ rules }) => rules), ...policies].sort(
      (a, b) => a.priority - b.priority, // stable
    );
    return [all.filter(({ ingress }) => ingress), all.filter(({ egress }) => egress)];
  }
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
