// SPDX-License-Identifier: Apache-2.0
/** Clusters that outlive the command that started them: what `up` leaves for the other commands. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupProcesses, cgroupRoot } from '../../test/harness/cgroup.ts';
import { detachedLabs, type Lab, labDirectory, openLab, removeLab } from '../../test/harness/lab.ts';
import { run } from '../../test/harness/process.ts';

/** Nodes of a light one are network namespaces; those of a real one machines with kubelet and containerd. */
export type Kind = 'light' | 'real';

export interface State {
  /** For programs of this machine. */
  readonly kubeconfig: string;
  /** For programs in the cluster's own network. */
  readonly insideKubeconfig: string;
  readonly kubectl: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly address: string;
    /** What it is, for people. */
    readonly place: string;
    /** Command line in front of a program that is to be the node's. */
    readonly enter: readonly string[];
  }[];
  /** More lines for `status`, in two columns. */
  readonly notes: Readonly<Record<string, string>>;
}

export interface Found {
  readonly id: string;
  readonly state: State;
}

const FILE = 'cluster-state.json';

const purposeOf = (kind: Kind, name: string): string =>
  kind === 'light' ? `npm run cluster ${name}` : `npm run real cluster ${name}`;

/** The one of this name, where it is up. */
export async function find(kind: Kind, name: string): Promise<Found | undefined> {
  for (const id of await detachedLabs(purposeOf(kind, name))) {
    const state = await stateOf(id);
    if (state !== undefined) return { id, state };
  }
  return undefined;
}

async function stateOf(id: string): Promise<State | undefined> {
  const text = await readFile(join(labDirectory(id), FILE), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as State);
}

/** Starts one, after what an interrupted `up` of this name left is removed. What it has made goes when it fails. */
export async function create(kind: Kind, name: string, start: (lab: Lab) => Promise<State>): Promise<void> {
  for (const id of await detachedLabs(purposeOf(kind, name))) {
    process.stderr.write(`removing what an "up" that was interrupted left behind (${id})\n`);
    await removeLab(id);
  }
  const lab = await openLab(purposeOf(kind, name), { detached: true });
  try {
    await writeFile(join(lab.directory, FILE), JSON.stringify(await start(lab)));
  } catch (failure) {
    await lab.close();
    throw failure;
  }
  lab.release();
}

/** Removes all of this name, complete or not; how many there were. */
export async function remove(kind: Kind, name: string): Promise<number> {
  const ids = await detachedLabs(purposeOf(kind, name));
  for (const id of ids) await removeLab(id);
  return ids.length;
}

/** Lines for people, and whether its API server answers. */
export async function describe({ id, state }: Found): Promise<{ ready: boolean; lines: string[] }> {
  const question = ['--request-timeout=5s', 'get', '--raw=/readyz'];
  const answer = await run([state.kubectl, `--kubeconfig=${state.kubeconfig}`, ...question], {
    anyStatus: true,
  });
  const processes = await cgroupProcesses(join(await cgroupRoot(), `cpl-${id}`)).catch(() => []);
  const ready = answer.status === 0;
  const rows = {
    state: `${ready ? 'ready' : 'not ready'}, ${processes.length} processes`,
    kubeconfig: state.kubeconfig,
    kubectl: state.kubectl,
    ...Object.fromEntries(state.nodes.map(({ name, address, place }) => [name, `${address}, ${place}`])),
    ...state.notes,
    logs: `${labDirectory(id)}/*/*.log`,
  };
  return { ready, lines: Object.entries(rows).map(([key, value]) => `${key.padEnd(11)} ${value}`) };
}

/** Runs a program on this terminal, to its end; its status. */
export async function foreground([program = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: 'inherit' });
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
