// SPDX-License-Identifier: Apache-2.0
/** Attachments of the cubes at cgroups, and which cubes those are. Pure. */
import { HOOKS, type Hook } from '../api/schemas/cube-type.ts';
import type { Cgroup, GraphCube } from './graph-model.ts';
import type { DesiredState, Instance } from './state.ts';

/** One for each program of each cube; none where the directory is missing. */
export function cgroupAttachments(
  instances: ReadonlyMap<string, Instance>,
  cgroup: Cgroup | undefined,
): DesiredState['cgroup'] {
  const links = new Map<string, { cgroup: string; path: string; key: string; program: string }>();
  if (cgroup === undefined) return links;
  for (const [key, { cubePin, cgroupPrograms }] of instances) {
    for (const program of cgroupPrograms)
      links.set(`${cubePin}_${program}`, { cgroup: cgroup.id, path: cgroup.path, key, program });
  }
  return links;
}

export function hookOf({ object }: GraphCube): Hook {
  return HOOKS.find((hook) => hook === object.spec.hook) ?? 'TC';
}
