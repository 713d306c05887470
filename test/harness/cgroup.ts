// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
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

/** Kills every process in the cgroup and below it (cgroup.kill, Linux 5.14), then removes the directories. */
export async function removeCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  await writeFile(join(path, 'cgroup.kill'), '1');
  const deadline = Date.now() + 15_000;
  for (;;) {
    try {
      await removeTree(path);
      return;
    } catch (failure) {
      // EBUSY: the killed processes have not been reaped by the kernel yet.
      if ((failure as NodeJS.ErrnoException).code !== 'EBUSY' || Date.now() > deadline) throw failure;
      await sleep(20);
    }
  }
}

async function removeTree(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(path, entry.name));
  }
  await rmdir(path);
}

/** Process ids in the cgroup and below it. */
export async function cgroupProcesses(path: string): Promise<number[]> {
  const own = (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) own.push(...(await cgroupProcesses(join(path, entry.name))));
  }
  return own;
}
