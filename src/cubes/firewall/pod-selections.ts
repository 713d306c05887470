// SPDX-License-Identifier: Apache-2.0
/**
 * Which pods the selectors of policies select. A selection is computed once, and then only told of rows that come and go: a
 * change of one row among thousands costs one look by each selector.
 */
import type { Identity, LabelSelector } from '../../api/generated/types.ts';
import { canonicalJson } from '../../api/hash.ts';
import { matches } from '../../api/selector.ts';
import type { Problem } from '../cube-type.ts';
import { type Pods, podsOf } from './policy-sides.ts';

/** Pods of one namespace, or of those that a selector selects. */
export interface PodSelector {
  /** Name of the namespace; absent: namespaceSelector says. */
  readonly namespace?: string | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly podSelector?: LabelSelector | undefined;
}

export function isSelected(selector: PodSelector, pods: Pods): boolean {
  const { namespace, namespaceSelector, podSelector } = selector;
  if (namespace !== undefined && namespace !== pods.namespace) return false;
  if (namespaceSelector !== undefined && !matches(namespaceSelector, pods.namespaceLabels)) return false;
  return matches(podSelector, pods.labels);
}

export interface Selection {
  readonly selector: PodSelector;
  readonly pods: ReadonlySet<Pods>;
  /** Grows with each change. */
  readonly version: number;
}

export class PodSelections {
  readonly #tables = new Map<string, readonly Pods[]>();
  /** Tables with pods whose policies are not enforced → their namespaces. */
  readonly #audited = new Map<string, ReadonlySet<string>>();
  readonly #selections = new Map<string, { selector: PodSelector; pods: Set<Pods>; version: number }>();

  /** Replaces the rows of one table; undefined: it is gone. */
  set(key: string, rows: readonly Identity[] | undefined): readonly Problem[] {
    const problems: Problem[] = [];
    const next = (rows ?? []).map((row, i) =>
      podsOf(row, (index) =>
        problems.push({
          reason: 'InvalidAddress',
          field: `spec.identities[${i}].addresses[${index}]`,
          message: `${row.addresses?.[index]} is no address of a pod; write it as 10.244.1.5 or fd00::5`,
        }),
      ),
    );
    const before = this.#tables.get(key) ?? [];
    if (rows === undefined) this.#tables.delete(key);
    else this.#tables.set(key, next);
    const audited = next.filter(({ isAudited }) => isAudited).map(({ namespace }) => namespace);
    if (audited.length === 0) this.#audited.delete(key);
    else this.#audited.set(key, new Set(audited));
    for (const selection of this.#selections.values()) {
      const gone = before.filter((pods) => selection.pods.delete(pods)).length;
      const come = next.filter((pods) => isSelected(selection.selector, pods));
      for (const pods of come) selection.pods.add(pods);
      if (gone + come.length > 0) selection.version++;
    }
    return problems;
  }

  select(selector: PodSelector): Selection {
    const key = canonicalJson(selector);
    const known = this.#selections.get(key);
    if (known !== undefined) return known;
    const pods = new Set<Pods>();
    for (const table of this.#tables.values())
      for (const each of table) if (isSelected(selector, each)) pods.add(each);
    const selection = { selector, pods, version: 0 };
    this.#selections.set(key, selection);
    return selection;
  }

  /** Namespaces with pods whose policies are not enforced, sorted. */
  auditedNamespaces(): string[] {
    return [...new Set([...this.#audited.values()].flatMap((names) => [...names]))].sort();
  }

  /** Forgets all other selections. */
  keep(used: ReadonlySet<Selection>): void {
    for (const [key, selection] of this.#selections) if (!used.has(selection)) this.#selections.delete(key);
  }
}
