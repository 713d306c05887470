// SPDX-License-Identifier: Apache-2.0
/** A container runtime's side of CNI: where it looks, and how it calls a plugin. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from './netns.ts';
import type { Node } from './topology.ts';

export interface CniPlaces {
  readonly confDir: string;
  readonly binDir: string;
  readonly socket: string;
}

/** Folders and socket of a node's CNI, below its lab's own. */
export function cniPlaces({ namespace }: Pick<Node, 'namespace'>): CniPlaces {
  const root = join(namespace.lab.directory, `cni-${namespace.name}`);
  return { confDir: join(root, 'net.d'), binDir: join(root, 'bin'), socket: join(root, 'cni.sock') };
}

/** Flags of `cubeplane up` that make the agent serve its plugin there. */
export function cniFlags(node: Pick<Node, 'namespace'>): string[] {
  const { confDir, binDir, socket } = cniPlaces(node);
  return ['--cni', '--cni-conf-dir', confDir, '--cni-bin-dir', binDir, '--cni-socket', socket];
}

export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly ({ readonly type: string } & Readonly<Record<string, unknown>>)[];
}

/** The network that a runtime uses: the first list of the folder by name. Undefined: the node has none yet. */
export function readNetworkList(confDir: string): NetworkList | undefined {
  let names: string[];
  try {
    names = readdirSync(confDir);
  } catch {
    return undefined;
  }
  const first = names.filter((name) => name.endsWith('.conflist')).sort()[0];
  if (first === undefined) return undefined;
  return JSON.parse(readFileSync(join(confDir, first), 'utf8')) as NetworkList;
}

/** Starts a plugin on a node, as a runtime does: variables, and the configuration on standard input. */
export function startPlugin(
  node: Namespace,
  plugin: string,
  variables: Readonly<Record<string, string | undefined>>,
  input: string,
): ChildProcess {
  const env = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));
  const [first = '', ...rest] = node.wrap([plugin]);
  const child = spawn(first, rest, { env: { PATH: process.env.PATH, ...env }, stdio: 'pipe' });
  child.stdin?.on('error', () => {}).end(input);
  return child;
}

/** What a plugin has said when it ends. */
export async function pluginAnswer(child: ChildProcess): Promise<{ status: number; stdout: string }> {
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
  return { status, stdout: Buffer.concat(chunks).toString() };
}
