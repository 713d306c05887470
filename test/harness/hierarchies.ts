// SPDX-License-Identifier: Apache-2.0
/** Cgroups of a whole machine: one directory in each hierarchy that this system has, of version 1 and 2. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from './cgroup.ts';

/** A mounted hierarchy of control groups. */
export interface Hierarchy {
  readonly type: 'cgroup' | 'cgroup2';
  /** Mount point. */
  readonly path: string;
  /** What mount(8) needs to show the same hierarchy again: `cpu,cpuacct`, `none,name=systemd`. */
  readonly options: string;
}

/** Options of a mount that say nothing about which hierarchy it is. */
const OF_THE_MOUNT = new Set(['rw', 'ro', 'relatime', 'noatime', 'nosuid', 'nodev', 'noexec', 'xattr']);
const V2_ONLY_OPTIONS =
  /^(nsdelegate|memory_recursiveprot|memory_localevents|favordynmods|memory_hugetlb_accounting)$/;
/** What kubelet wants, of what version 2 has. */
const CONTROLLERS = new Set(['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids']);
/** How long processes that were killed may take to leave. */
const PATIENCE_MS = 10_000;

/** The hierarchies in the text of `/proc/mounts`, each once. Pure. */
export function hierarchiesOf(mounts: string): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mounts.split('\n')) {
    const [, path = '', type, options = ''] = line.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    const words = options.split(',').filter((word) => !OF_THE_MOUNT.has(word) && !V2_ONLY_OPTIONS.test(word));
    // A hierarchy without controllers is asked for by its name.
    const named = type === 'cgroup' && words.every((word) => word.startsWith('name='));
    const shown = (named ? ['none', ...words] : words).join(',');
    const key = `${type} ${shown}`;
    if (!found.has(key)) found.set(key, { type, path, options: shown });
  }
  return [...found.values()];
}

export async function hierarchies(): Promise<Hierarchy[]> {
  return hierarchiesOf(await readFile('/proc/mounts', 'utf8'));
}

/** Makes `name` (`a/b`) in each hierarchy of version 1; the directories. */
export async function createV1Cgroups(all: readonly Hierarchy[], name: string): Promise<string[]> {
  const made: string[] = [];
  for (const { type, path, options } of all) {
    if (type !== 'cgroup') continue;
    const isCpuset = options.split(',').includes('cpuset');
    let directory = path;
    for (const part of name.split('/')) {
      const parent = directory;
      directory = join(parent, part);
      await mkdir(directory, { recursive: true });
      // A new cpuset is empty, and nothing may enter an empty one.
      if (isCpuset)
        for (const file of ['cpuset.cpus', 'cpuset.mems'])
          await writeFile(join(directory, file), await readFile(join(parent, file)));
    }
    made.push(directory);
  }
  return made;
}

/** Removes what {@link createV1Cgroups} made, and all below it. Their processes must have been killed. */
export async function removeV1Cgroups(all: readonly Hierarchy[], name: string): Promise<void> {
  for (const { type, path } of all) if (type === 'cgroup') await removeTree(join(path, name), PATIENCE_MS);
}

/**
 * Lets groups below `path` have the controllers that kubelet wants (version 2). Groups in between must be without
 * processes. On a system whose controllers are all at version 1 there is nothing to hand on.
 */
export async function delegateControllers(root: string, path: string): Promise<void> {
  for (let directory = root; ; ) {
    const controllers = (await readFile(join(directory, 'cgroup.controllers'), 'utf8')).trim();
    const wanted = controllers.split(' ').filter((name) => CONTROLLERS.has(name));
    if (wanted.length > 0)
      await writeFile(join(directory, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
    if (directory === path) return;
    const [next = ''] = path.slice(directory.length + 1).split('/');
    directory = join(directory, next);
  }
}
