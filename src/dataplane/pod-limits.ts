// SPDX-License-Identifier: Apache-2.0
/** Bandwidths of pods, as rows that the node's rate limiters carry out. Pure. */
import type { Limit } from '../api/generated/types.ts';
import type { CubeImage } from '../cubes/cube-type.ts';
import { type CubeObject, keyOf } from './objects.ts';
import type { PodRecord } from './pod-record.ts';

type Named = Pick<PodRecord, 'namespace' | 'name'>;

/** Key of the table of a pod. No object has such a name. */
export function limitsTableOf(pod: Named): string {
  return `limits ${keyOf(pod)}`;
}

export function limitsOfPod({ namespace, name, addresses, bandwidth }: PodRecord): Limit[] {
  if (bandwidth === undefined) return [];
  return [{ name: `pod ${namespace}/${name}`, addresses: [...addresses], ...bandwidth }];
}

/** Whether a cube limits the pods of its node. */
export function servesLimits({ spec }: Pick<CubeObject, 'spec'>): boolean {
  return spec.type === 'RateLimiter' && (spec.tables ?? []).some(({ type }) => type === 'Limit');
}

/** Of cubes that run those that limit pods. */
export function limitersOf<
  Cube extends { readonly plan: { readonly cube: { readonly object: CubeObject } } },
>(running: Iterable<Cube>): Cube[] {
  return [...running].filter(({ plan }) => servesLimits(plan.cube.object));
}

/** Cubes that limit pods: what runs of them. */
export interface RunningLimiter {
  readonly image: Pick<CubeImage, 'problems'>;
  readonly tables: ReadonlySet<string>;
}

/** Why the limits of a pod are not in force; undefined: they are, in all of these cubes. */
export function whyNotLimited(pod: Named, limiters: readonly RunningLimiter[]): string | undefined {
  const table = limitsTableOf(pod);
  if (limiters.length === 0) return 'no RateLimiter of this node is programmed';
  if (limiters.some(({ tables }) => !tables.has(table))) return 'its RateLimiter does not have them yet';
  const problems = limiters.flatMap(({ image }) => image.problems?.() ?? []);
  return problems.find((problem) => problem.table === table)?.message;
}
