// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { cgroupRoot, createCgroup, removeCgroup } from './cgroup.ts';
import { hierarchies, removeV1Cgroups } from './hierarchies.ts';
import { type Running, run, start } from './process.ts';
import { type Log, stderrLog } from './progress.ts';
import { Scope } from './scope.ts';

/** One folder a run; /run is memory, so nothing survives a reboot, as namespaces do not. */
const LABS_DIRECTORY = '/run/cubeplane-labs';
/** One folder a run too, on disk: for what would fill memory. */
const DISKS_DIRECTORY = '/var/tmp/cubeplane-labs';
const NETNS_DIRECTORY = '/run/netns';
const BPFFS = '/sys/fs/bpf';
/** Names in the kernel start with this and the run's id, so that a sweep recognises them. */
const NAME_PREFIX = 'cpl';

interface Owner {
  /** What the run is for: the test, the demo. */
  readonly purpose: string;
  /** The process that removes it all at its end; null: it stays until someone calls {@link removeLab}. */
  readonly pid: number | null;
  /** Start time of that process in clock ticks since boot: process ids are used again. */
  readonly startTime: string | null;
}

export interface LabOptions {
  readonly log?: Log;
  /** True: programs, namespaces and files outlive this process, until `removeLab(id)`. */
  readonly detached?: boolean;
}

/**
 * One run of a test, demo or measurement: an id that makes its names in the kernel unique, a folder for logs and state,
 * a cgroup that holds every process it starts, and the scope that removes it all.
 */
export class Lab {
  /** Six characters, in every name of this run. */
  readonly id: string;
  readonly directory: string;
  readonly cgroup: string;
  readonly detached: boolean;
  readonly log: Log;
  readonly scope: Scope;

  constructor(id: string, cgroup: string, options: LabOptions) {
    this.id = id;
    this.directory = labDirectory(id);
    this.cgroup = cgroup;
    this.detached = options.detached === true;
    this.log = options.log ?? stderrLog;
    this.scope = new Scope(this.log);
  }

  /** The unique kernel-wide form of a name, for network namespaces and the like. */
  uniqueName(name: string): string {
    return `${NAME_PREFIX}-${this.id}-${name}`;
  }

  /** Starts a long-running program in the network namespace of this process; it ends with the run. */
  async start(name: string, argv: readonly string[]): Promise<Running> {
    const running = await start(argv, {
      logPath: join(this.directory, `${name}.log`),
      // A leaf: with processes in it, a group could not hand controllers on to those below it.
      cgroup: join(this.cgroup, 'lab'),
      detached: this.detached,
    });
    this.scope.defer(name, async () => {
      await running.stop();
    });
    return running;
  }

  /** Ends every process of the run and removes what it made. */
  async close(): Promise<void> {
    await this.scope.close();
  }

  /** Lets go of a detached run that is complete: it stays when this process ends. */
  release(): void {
    if (!this.detached) throw new Error('only a detached lab can be left running');
    this.scope.forget();
  }
}

/** The folder of a run. */
export function labDirectory(id: string): string {
  return join(LABS_DIRECTORY, id);
}

/**
 * Removes what crashed runs left behind, then starts a run. Needs root. `purpose` is for people who list the runs. Where
 * `$CUBEPLANE_LAB_LOGS` names a folder, the logs of all programs are copied there at the end.
 */
export async function openLab(purpose: string, options: LabOptions = {}): Promise<Lab> {
  if (process.getuid?.() !== 0) {
    throw new Error('network namespaces need root: run this as root (or with sudo)');
  }
  await sweepLeftovers(options.log);
  const id = randomBytes(3).toString('hex');
  const root = join(await cgroupRoot(), `${NAME_PREFIX}-${id}`);
  const lab = new Lab(id, root, options);
  await mkdir(lab.directory, { recursive: true, mode: 0o700 });
  const startTime = await processStartTime(process.pid);
  const owner: Owner = lab.detached
    ? { purpose, pid: null, startTime: null }
    : { purpose, pid: process.pid, startTime: startTime ?? null };
  await writeFile(join(lab.directory, 'owner.json'), JSON.stringify(owner));
  lab.scope.defer(`run ${id}`, () => removeLab(id));
  // Registered last, so done first: what the programs said is gone after removeLab.
  const keep = process.env.CUBEPLANE_LAB_LOGS;
  if (keep)
    lab.scope.defer('copy of the logs', () => copyLogs(lab.directory, join(keep, `${purpose}-${id}`)));
  await createCgroup(join(root, 'lab'));
  return lab;
}

/** A run that goes on without the process that made it, for another one: what that starts ends with the run. */
export async function attachLab(id: string): Promise<Lab> {
  return new Lab(id, join(await cgroupRoot(), `${NAME_PREFIX}-${id}`), { detached: true });
}

/** Copies the log files of a run, folder by folder. */
async function copyLogs(from: string, to: string): Promise<void> {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.log')) continue;
    const target = join(to, relative(from, entry.parentPath), entry.name);
    await cp(join(entry.parentPath, entry.name), target, { recursive: true });
  }
}

/**
 * Ends and removes the run with this id, whoever started it: processes first, then namespaces, then files. Two may do it at
 * once, as when one is told to go down that is still coming up.
 */
export async function removeLab(id: string): Promise<void> {
  await removeCgroup(join(await cgroupRoot(), `${NAME_PREFIX}-${id}`));
  // Pins first: they hold programs, and links on devices of the namespaces.
  await rm(labPins(id), { recursive: true, force: true });
  for (const name of labNamespaces(id)) {
    const deleted = await run(['ip', 'netns', 'delete', name], { anyStatus: true });
    if (deleted.status !== 0 && labNamespaces(id).includes(name)) throw new Error(deleted.stderr.trim());
  }
  await removeV1Cgroups(await hierarchies(), `${NAME_PREFIX}-${id}`);
  await rm(labDisk(id), { recursive: true, force: true });
  await rm(labDirectory(id), { recursive: true, force: true });
}

/** A folder of the run on disk; whoever needs it makes it. */
export function labDisk(id: string): string {
  return join(DISKS_DIRECTORY, id);
}

/** Where agents of a run pin what they load: a folder of the BPF file system that no other run shares. */
export function labPins(id: string): string {
  return join(BPFFS, `${NAME_PREFIX}-${id}`);
}

/** Names of the network namespaces that a run has. */
export function labNamespaces(id: string): string[] {
  if (!existsSync(NETNS_DIRECTORY)) return [];
  return readdirSync(NETNS_DIRECTORY).filter((name) => name.startsWith(`${NAME_PREFIX}-${id}-`));
}

/** Ids of the detached runs with this purpose. */
export async function detachedLabs(purpose: string): Promise<string[]> {
  const found: string[] = [];
  for (const id of existsSync(LABS_DIRECTORY) ? readdirSync(LABS_DIRECTORY) : []) {
    const owner = await readOwner(id);
    if (owner?.purpose === purpose && owner.pid === null) found.push(id);
  }
  return found;
}

/** Removes runs whose owner is dead. Two sweeps at once do no harm to each other or to running labs. */
export async function sweepLeftovers(log: Log = stderrLog): Promise<void> {
  if (!existsSync(LABS_DIRECTORY)) return;
  for (const id of readdirSync(LABS_DIRECTORY)) {
    const owner = await readOwner(id);
    // Without a readable owner the run is just being made or just being removed.
    if (owner === undefined || owner.pid === null) continue;
    if ((await processStartTime(owner.pid)) === owner.startTime) continue;
    log(`removing what a crashed run left behind (${owner.purpose}, ${id})`);
    await removeLab(id).catch((failure) => log(`that failed: ${failure.message}`));
  }
}

async function readOwner(id: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(join(labDirectory(id), 'owner.json'), 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

/** Start time in clock ticks since boot (field 22 of /proc/PID/stat), or undefined for no such process. */
async function processStartTime(pid: number): Promise<string | undefined> {
  return (await statFields(pid))?.[19];
}

/** True for a process that runs; false for none, and for one that has ended and only awaits its parent (a zombie). */
export async function isAlive(pid: number): Promise<boolean> {
  const state = (await statFields(pid))?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** The fields of /proc/PID/stat from the third, the state, on. */
async function statFields(pid: number): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field, the name, is in parentheses and may hold spaces and parentheses.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}
