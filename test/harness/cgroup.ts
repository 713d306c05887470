// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The mount point of the (first) cgroup2 file system in the text of `/proc/mounts`, or undefined. */
export function cgroup2Mount(mounts: string): string | undefined {
  for (const line of mounts.split('\n')) {
    const [, target, type] = line.split(' ');
    if (type === 'cgroup2') return target;
  }
  return undefined;
}

/**
 * Where cgroups of ours go. On hybrid systems cgroup2 is not at /sys/fs/cgroup, so the mount table decides.
 *
 * @throws Error when there is none.
 */
export async function cgroupRoot(): Promise<string> {
  const mount = cgroup2Mount(await readFile('/proc/mounts', 'utf8'));
  if (mount === undefined) {
    throw new Error('no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified');
  }
  return mount;
}

export async function createCgroup(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

/** A command line that is in the cgroup from its first instruction. `sh` replaces itself: the process id is the program's own. */
export function inCgroup(path: string, argv: readonly string[]): string[] {
  return ['sh', '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'sh', path, ...argv];
}

/** Kills every process in the cgroup and below it (cgroup.kill, Linux 5.14), then removes the directories. Two may do it at once. */
export async function removeCgroup(path: string): Promise<void> {
  await writeFile(join(path, 'cgroup.kill'), '1').catch(unlessGone);
  await removeTree(path, 15_000);
}

/**
 * Removes the directories of a cgroup whose processes have been killed, and of all below it. Waits up to `patienceMs` for
 * the kernel to bury them: until then it is EBUSY. No harm when somebody else removes it meanwhile.
 */
export async function removeTree(path: string, patienceMs: number): Promise<void> {
  for (const deadline = Date.now() + patienceMs; ; await sleep(20)) {
    try {
      return await removeOnce(path);
    } catch (failure) {
      if ((failure as NodeJS.ErrnoException).code !== 'EBUSY' || Date.now() > deadline) throw failure;
    }
  }
}

async function removeOnce(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(unlessGone);
  for (const entry of entries ?? []) if (entry.isDirectory()) await removeOnce(join(path, entry.name));
  await rmdir(path).catch(unlessGone);
}

/** ENOENT: it is gone; ENODEV: it was removed after it was opened. */
function unlessGone(failure: NodeJS.ErrnoException): undefined {
  if (failure.code !== 'ENOENT' && failure.code !== 'ENODEV') throw failure;
}

/** Process ids in the cgroup and below it. */
export async function cgroupProcesses(path: string): Promise<number[]> {
  const own = (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) own.push(...(await cgroupProcesses(join(path, entry.name))));
  }
  return own;
}
