// SPDX-License-Identifier: Apache-2.0
/** A node that is a machine to all that runs on it: its own network, mounts, processes, host name, IPC and cgroups. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cgroupRoot, createCgroup, removeCgroup } from '../cgroup.ts';
import { createV1Cgroups, delegateControllers, hierarchies, removeV1Cgroups } from '../hierarchies.ts';
import type { Lab } from '../lab.ts';
import { Namespace } from '../netns.ts';
import { start } from '../process.ts';
import { type Machine, type Node, unplug } from '../topology.ts';

const INIT = join(import.meta.dirname, 'init.sh');
/** Process 1, when the machine is made: a static program, which containers run too. */
export const PAUSE = join(import.meta.dirname, '../../../build/pause');
/** A leaf of version 2 that the machine's own programs are in: its root could hand no controllers on with processes in it. */
const LEAF = 'init';
/** A file that is there when the machine is set up. */
const READY = 'ready';
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export interface MachineOptions {
  /** Files for /etc, by path below it. */
  readonly etc: Readonly<Record<string, string>>;
  /** Folder for what would fill memory, and for what outlives the machine: images, volumes, logs, the network's state. */
  readonly disk: string;
  /** Folders of programs before those of the host. */
  readonly path?: readonly string[];
}

/** Programs started here are the machine's: they see its files and processes, and count to its cgroups. */
export class MachineNamespace extends Namespace {
  readonly #groups: readonly string[];
  readonly #environment: readonly string[];

  constructor(
    lab: Lab,
    name: string,
    cgroup: string,
    inside: { readonly groups: readonly string[]; readonly path: readonly string[] },
  ) {
    super(lab, name, cgroup);
    this.#groups = inside.groups;
    this.#environment = ['env', `PATH=${[...inside.path, PATH].join(':')}`, `HOME=/root`];
  }

  override wrap(argv: readonly string[]): string[] {
    // Looked up each time: a machine that was started anew has another process 1.
    const enter = 'pid=$(cat "$1"); shift; exec nsenter --target="$pid" "$@"';
    const namespaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--'];
    const script = ['sh', '-ec', enter, 'sh', pidFile(this.directory), ...namespaces];
    return intoCgroups([this.cgroup, ...this.#groups], [...script, ...this.#environment, ...argv]);
  }

  /** Gives the machine a file that only root may read; its path, inside and outside. */
  async putText(name: string, text: string): Promise<string> {
    const path = join(this.directory, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  /** The same with a file of the host. */
  async put(name: string, source: string): Promise<string> {
    return await this.putText(name, await readFile(source, 'utf8'));
  }
}

/** Where a machine says which process of the host its process 1 is. */
function pidFile(directory: string): string {
  return join(directory, 'pid');
}

/** A command line that is in all these cgroups from its first instruction. */
function intoCgroups(directories: readonly string[], argv: readonly string[]): string[] {
  const script =
    'n=$1; shift; while [ $n -gt 0 ]; do echo 0 >"$1/cgroup.procs"; shift; n=$((n - 1)); done; exec "$@"';
  return ['sh', '-ec', script, 'sh', String(directories.length), ...directories, ...argv];
}

/** Makes a machine of a node that has only a network namespace yet. It ends with the lab. */
export async function startMachine(node: Node, options: MachineOptions): Promise<MachineNamespace> {
  const { lab, name, directory, path } = node.namespace;
  const all = await hierarchies();
  const root = join(lab.cgroup, name);
  await delegateControllers(await cgroupRoot(), lab.cgroup);
  const groups = await createV1Cgroups(all, join(basename(lab.cgroup), name));
  for (const [file, text] of Object.entries(options.etc)) {
    await mkdir(join(directory, 'etc', file, '..'), { recursive: true });
    await writeFile(join(directory, 'etc', file), text);
  }
  const mounts = all.map(({ type, path: at, options: shown }) => `${type} ${shown || 'rw'} ${at}\n`);
  await writeFile(join(directory, 'cgroups'), mounts.join(''));
  // Of this checkout the machine may see nothing, where it lies below /run.
  await cp(PAUSE, join(directory, 'pause'));
  await mkdir(options.disk, { recursive: true });
  const leaf = join(root, LEAF);
  await createCgroup(leaf);
  // The machine sees the groups that it is in as the roots of theirs.
  const enter = intoCgroups(
    [root, ...groups],
    ['nsenter', `--net=${path}`, '--', 'unshare', '--cgroup', '--'],
  );
  const unshare = ['unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child', '--'];
  const init = ['sh', INIT, name, directory, options.disk, join(directory, 'pause')];
  const argv = [...enter, ...intoCgroups([leaf], [...unshare, ...init])];
  const running = await start(argv, { logPath: join(directory, 'init.log'), detached: lab.detached });
  await running.waitUntil('set up', () => existsSync(join(directory, READY)));
  return new MachineNamespace(lab, name, leaf, { groups, path: options.path ?? [] });
}

/** Ends a machine as a power cut does: nothing in it is asked. What is on its disk stays, its place at the switch is free. */
export async function cutPower(machine: Omit<Machine, 'mac'>): Promise<void> {
  const { lab, name, directory } = machine.namespace;
  // Process 1: the kernel ends all others with it, and their mounts and names with them.
  process.kill(Number(await readFile(pidFile(directory), 'utf8')), 'SIGKILL');
  await removeCgroup(join(lab.cgroup, name));
  await removeV1Cgroups(await hierarchies(), join(basename(lab.cgroup), name));
  await unplug(machine);
  for (const file of [READY, pidFile('')]) await rm(join(directory, file));
}
