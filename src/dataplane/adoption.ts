// SPDX-License-Identifier: Apache-2.0
import { carriedMaps } from './carry.ts';
import { agentMaps, type Running } from './images.ts';
import type { InstancePlan } from './place-instances.ts';
import type { Instance, KernelState } from './state.ts';

/** Where the image of an instance that is to run begins. */
export interface Adoption {
  /** Maps whose rows in the kernel it takes over. */
  readonly maps: readonly string[];
  /** Map → pin of an older layout of it that is carried over. */
  readonly carried: ReadonlyMap<string, string>;
  /** What ran before, where all that it knows of the kernel stays true; nothing is read then. */
  readonly previous: Running | undefined;
}

/** @param now what runs for the same cube, under another key. */
export function adoptionOf(
  key: string,
  instance: Instance,
  plan: InstancePlan,
  observed: KernelState,
  now: Running | undefined,
): Adoption {
  const exists = observed.instances.get(key)?.complete === true;
  const there = observed.stateMaps.get(instance.cubePin) ?? new Set();
  const kept = agentMaps(plan, 'state').filter((map) => there.has(instance.stateMaps.get(map) ?? ''));
  const carried = new Map(exists ? [] : carriedMaps(instance, there));
  const isSame =
    now !== undefined && kept.every((map) => now.instance.stateMaps.get(map) === instance.stateMaps.get(map));
  const isWhole = isSame && kept.length === agentMaps(plan, 'state').length;
  const maps = agentMaps(plan, exists ? undefined : 'state').filter(
    (map) => exists || kept.includes(map) || carried.has(map),
  );
  return { maps, carried, previous: !exists && isWhole ? now : undefined };
}
