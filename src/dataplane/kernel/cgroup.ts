// SPDX-License-Identifier: Apache-2.0
/** The cgroup side of executor and observation: where programs are attached, and by which links. */
import { readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CgroupAction } from '../actions.ts';
import type { Cgroup } from '../graph-model.ts';
import type { KernelState } from '../state.ts';

export { netnsCookie } from './addon/index.ts';

import { CgroupLink, isCgroupCall } from './addon/index.ts';
import { detachLink, keepLink, updateLink, withLink, withProgram } from './links.ts';
import { takeOverCgroup } from './older-abi.ts';
import { names, type Pins } from './pins.ts';

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const CGROUP2_MAGIC = 0x63677270;

/**
 * The directory `path`, or `unified` in it, which is where systemd has cgroup2 on hybrid systems; by default the root of the first
 * cgroup2 mount; undefined where that is none of cgroup2.
 */
export function findCgroup(path: string | undefined): Cgroup | undefined {
  const directory = path ?? cgroup2Mount(readFileSync('/proc/mounts', 'utf8'));
  if (directory === undefined) return undefined;
  const places = path === undefined ? [directory] : [directory, join(directory, 'unified')];
  const found = places.find(isCgroup2);
  return found === undefined ? undefined : { path: found, id: String(statSync(found, { bigint: true }).ino) };
}

function isCgroup2(directory: string): boolean {
  try {
    return statfsSync(directory).type === CGROUP2_MAGIC;
  } catch {
    return false;
  }
}

/** The first mount point of cgroup2 in the text of /proc/mounts: on hybrid systems it is not /sys/fs/cgroup. */
export function cgroup2Mount(mounts: string): string | undefined {
  const fields = mounts.split('\n').map((line) => line.split(' '));
  return fields.find(([, , type]) => type === 'cgroup2')?.[1];
}

export function runCgroup(action: CgroupAction, pins: Pins): void {
  switch (action.op) {
    case 'AttachCgroup':
      attach(action, pins);
      break;
    case 'UpdateCgroup':
      withProgram(programPath(pins, action.key, action.program), (program) =>
        updateLink(CgroupLink, pins.cgroupLink(action.pin), program),
      );
      break;
    case 'TakeOverCgroup':
      takeOverCgroup(pins, action.abi, action.pin, programPath(pins, action.key, action.program));
      break;
    case 'DetachCgroup':
      detachLink(CgroupLink, pins.cgroupLink(action.pin));
  }
}

function attach(action: CgroupAction & { op: 'AttachCgroup' }, pins: Pins): void {
  const { program: call } = action;
  if (!isCgroupCall(call)) throw new Error(`no program at a cgroup is called ${call}`);
  withProgram(programPath(pins, action.key, call), (program) =>
    keepLink(CgroupLink.create(program, action.path, call), pins.cgroupLink(action.pin)),
  );
}

/** The cube's own program is pinned apart from the others of its object. */
function programPath(pins: Pins, key: string, program: string): string {
  const helper = pins.helper(key, program);
  return names(pins.instance(key)).includes(`run_${program}`) ? helper : join(pins.instance(key), 'program');
}

export function observeCgroup(pins: Pins, instances: Iterable<string>): KernelState['cgroup'] {
  const links = new Map<string, { cgroup: string; key: string | undefined }>();
  const found = names(join(pins.root, 'cgroup')).filter((name) => !name.endsWith('_new'));
  if (found.length === 0) return links;
  const keys = programsOf(pins, instances);
  for (const name of found) {
    const { cgroup, programId } = withLink(CgroupLink, pins.cgroupLink(name), (link) => link.info());
    links.set(name, { cgroup, key: keys.get(programId) });
  }
  return links;
}

/** Program id → key of the instance that it belongs to, for all programs but those that the agent runs itself. */
function programsOf(pins: Pins, instances: Iterable<string>): Map<number, string> {
  const keys = new Map<number, string>();
  for (const key of instances) {
    const programs = names(pins.instance(key)).filter(
      (name) => name === 'program' || (name.startsWith('run_') && isCgroupCall(name.slice(4))),
    );
    for (const name of programs)
      withProgram(join(pins.instance(key), name), (program) => keys.set(program.info().id, key));
  }
  return keys;
}
