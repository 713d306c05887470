// SPDX-License-Identifier: Apache-2.0
/** Which slot of the prog array each cube's program takes. Pure. */
import type { CubeType, InstanceConfig } from '../cubes/cube-type.ts';
import type { Carried } from './carry.ts';
import { hookOf } from './cgroup-desired.ts';
import type { GraphCube } from './graph-model.ts';
import { CUBE_SLOTS, XDP_SLOT } from './layout.ts';
import { instanceKey, pinNameOf, splitInstanceKey } from './names.ts';
import type { Instance, KernelState } from './state.ts';

/** The program that a cube should run, whatever its slot: equal configs of equal object files are the same one. */
export interface InstancePlan {
  readonly cube: GraphCube;
  readonly config: InstanceConfig;
  readonly hash: string;
  /** Map → pin name of class `state`: another layout or size is another map. */
  readonly stateMaps: ReadonlyMap<string, string>;
}

/** Object file of a cube, by its hook. */
export function objectOf({ object, type }: GraphCube): string {
  return object.spec.hook === 'XDP' ? `${type.object}-xdp` : type.object;
}

/** A program that is there keeps its slot. Throws when there are more than slots. */
export function placeInstances(
  plans: ReadonlyMap<string, InstancePlan>,
  observed: KernelState,
): Map<string, Instance> {
  const instances = new Map<string, Instance>();
  const used = new Set<number>([0, XDP_SLOT, ...observed.slots.keys()]);
  for (const key of observed.instances.keys()) used.add(splitInstanceKey(key).slot);
  const missing: [string, InstancePlan][] = [];
  for (const [cubeKey, plan] of plans) {
    const pin = pinNameOf(cubeKey);
    const there = [...observed.instances].find(([key, { complete }]) => {
      const parts = splitInstanceKey(key);
      return complete && parts.cube === pin && parts.hash === plan.hash;
    });
    if (there === undefined) missing.push([cubeKey, plan]);
    else instances.set(there[0], instanceOf(cubeKey, plan, splitInstanceKey(there[0]).slot));
  }
  for (const [cubeKey, plan] of missing) {
    let slot = 1;
    while (used.has(slot)) slot++;
    if (slot >= CUBE_SLOTS) throw new Error(`more than ${CUBE_SLOTS - 2} programs on one node: delete cubes`);
    used.add(slot);
    instances.set(instanceKey(pinNameOf(cubeKey), slot, plan.hash), instanceOf(cubeKey, plan, slot));
  }
  return instances;
}

function instanceOf(cubeKey: string, plan: InstancePlan, slot: number): Instance {
  const { type } = plan.cube;
  return {
    cubeKey,
    cubePin: pinNameOf(cubeKey),
    slot,
    hash: plan.hash,
    object: objectOf(plan.cube),
    program: type.program,
    hook: hookOf(plan.cube),
    cgroupPrograms: hookOf(plan.cube) === 'Cgroup' ? (type.cgroupPrograms ?? []) : [],
    transparent: type.transparent !== undefined,
    rodata: plan.config.rodata,
    sizes: plan.config.sizes,
    stateMaps: plan.stateMaps,
    carried: carriedBy(type, plan.config),
    configMaps: Object.entries(type.maps)
      .filter(([, declaration]) => declaration.class === 'config')
      .map(([map]) => map),
  };
}

function carriedBy(type: CubeType, config: InstanceConfig): Map<string, Carried> {
  const carried = new Map<string, Carried>();
  for (const [map, declaration] of Object.entries(type.maps)) {
    const { class: kind, writer, version, onLayoutChange } = declaration;
    if (kind !== 'state') continue;
    const migrate = typeof onLayoutChange === 'function' ? { migrate: onLayoutChange } : {};
    carried.set(map, { version, writer, size: config.sizes[map], ...migrate });
  }
  return carried;
}
