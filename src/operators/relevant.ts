// SPDX-License-Identifier: Apache-2.0
import type { LabelSelector, Policy } from '../api/generated/types.ts';

/** What policies look at in pods and namespaces; pods that differ in nothing of it are one identity. */
export interface Relevant {
  /** Keys of pod labels. */
  readonly podLabels: ReadonlySet<string>;
  /** Keys of namespace labels. */
  readonly namespaceLabels: ReadonlySet<string>;
  /** Names of container ports. */
  readonly ports: ReadonlySet<string>;
}

export const NOTHING_RELEVANT: Relevant = relevantOf([]);

/** What these rows of tables look at. */
export function relevantOf(policies: Iterable<Policy>): Relevant {
  const podLabels = new Set<string>();
  const namespaceLabels = new Set<string>();
  const ports = new Set<string>();
  for (const policy of policies) {
    addKeys(podLabels, policy.podSelector);
    addKeys(namespaceLabels, policy.namespaceSelector);
    for (const entry of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
      for (const peer of entry.peers ?? []) {
        addKeys(podLabels, peer.podSelector);
        addKeys(namespaceLabels, peer.namespaceSelector);
      }
      for (const { name } of entry.ports ?? []) if (name !== undefined) ports.add(name);
    }
  }
  return { podLabels, namespaceLabels, ports };
}

export function unionOf(all: readonly Relevant[]): Relevant {
  return {
    podLabels: new Set(all.flatMap((one) => [...one.podLabels])),
    namespaceLabels: new Set(all.flatMap((one) => [...one.namespaceLabels])),
    ports: new Set(all.flatMap((one) => [...one.ports])),
  };
}

/** Whether one looks at all that the other looks at. */
export function includesAll(wide: Relevant, narrow: Relevant): boolean {
  const has = (member: keyof Relevant): boolean =>
    [...narrow[member]].every((name) => wide[member].has(name));
  return has('podLabels') && has('namespaceLabels') && has('ports');
}

function addKeys(keys: Set<string>, selector: LabelSelector | undefined): void {
  for (const key of Object.keys(selector?.matchLabels ?? {})) keys.add(key);
  for (const { key } of selector?.matchExpressions ?? []) keys.add(key);
}
