// SPDX-License-Identifier: Apache-2.0
/** What the agent made of the kernel, apart from what packets change: to compare before and after. */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CUBES } from '../../../src/cubes/generated/registry.ts';
import { BpfMap, MapType } from '../../../src/dataplane/kernel/addon/index.ts';
import { run } from '../../harness/process.ts';
import type { Node } from '../../harness/topology.ts';

/** Maps of the node and of all cubes that programs write. */
const SHARED_BY_PROGRAMS = [
  ...['attachment_counters', 'entry_drops', 'fragments', 'work', 'events', 'flow_events', 'flow_limits'],
  ...['flow_records', 'flow_state', 'flow_places', 'flow_cpu'],
  ...['punts', 'punt_scratch', 'punt_buckets', 'punt_counters'],
  ...['port_counters', 'drops', 'counters'],
];
const OF_CUBES = [...CUBES.values()].flatMap(({ maps }) =>
  Object.entries(maps)
    .filter(([, { writer }]) => writer === 'program')
    .map(([name]) => name),
);
/** A state map's pin goes on with `_VERSION_SIZE`. */
const WRITTEN_BY_PACKETS = new RegExp(`^(${[...SHARED_BY_PROGRAMS, ...OF_CUBES].join('|')})(_\\d+_\\w+)?$`);

/** Pin → id of what is pinned there, and a hash of the rows of maps that user space writes. */
export type KernelState = Readonly<Record<string, string>>;

export async function kernelState(pins: string, node: Node): Promise<KernelState> {
  const state: Record<string, string> = {};
  for (const path of pinned(pins)) {
    const name = path.slice(pins.length + 1);
    state[name] = basename(path) === 'slots' ? 'prog array' : await describe(path);
  }
  for (const link of await node.namespace.ipJson('link show')) {
    state[`device ${link.ifname}`] = `${link.ifindex} ${link.address} ${link.mtu}`;
  }
  return state;
}

/** Paths of all pins below a folder, in order. */
export function pinned(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? pinned(path) : [path];
    });
}

async function describe(path: string): Promise<string> {
  // An inode of the BPF file system stands for one object: it is another one when something else is pinned.
  const inode = `inode ${statSync(path).ino}`;
  if (WRITTEN_BY_PACKETS.test(basename(path)) || !(await isMap(path))) return inode;
  const map = BpfMap.openPinned(path);
  try {
    const { count, keys, values } = await map.dump();
    const digest = createHash('sha256');
    // Arrays come in order of their keys; the rows of others are sorted. Some arrays have a million rows.
    if (map.type === MapType.Array) digest.update(values);
    else for (const row of rowsOf(map, count, keys, values).sort()) digest.update(`${row}\n`);
    return `${inode}, ${count} rows, ${digest.digest('hex').slice(0, 16)}`;
  } finally {
    map.close();
  }
}

function rowsOf(map: BpfMap, count: number, keys: Buffer, values: Buffer): string[] {
  return Array.from({ length: count }, (_, i) => {
    const key = keys.subarray(i * map.keySize, (i + 1) * map.keySize);
    const value = values.subarray(i * map.valueStride, (i + 1) * map.valueStride);
    return `${key.toString('hex')} ${value.toString('hex')}`;
  });
}

async function isMap(path: string): Promise<boolean> {
  try {
    BpfMap.openPinned(path).close();
    return true;
  } catch {
    return false;
  }
}

/** Numbers of all programs, maps and links of BPF on this machine, for leaks. */
export async function bpfObjects(kind: 'prog' | 'map' | 'link'): Promise<number[]> {
  const { stdout } = await run(['bpftool', '-j', kind, 'show']);
  return (JSON.parse(stdout) as { id: number }[]).map(({ id }) => id);
}

const KINDS = ['prog', 'map', 'link'] as const;

/** What was ever seen pinned below a folder: what of it is not pinned any more must be gone from the kernel. */
export class PinnedObjects {
  readonly #folder: string;
  readonly #seen = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Notes what is pinned now: `prog 17`, `map 4`. */
  async look(): Promise<ReadonlySet<string>> {
    const now = new Set<string>();
    for (const kind of KINDS) {
      const { stdout } = await run(['bpftool', '-j', '-f', kind, 'show']);
      for (const { id, pinned: paths = [] } of JSON.parse(stdout) as { id: number; pinned?: string[] }[])
        if (paths.some((path) => path.startsWith(this.#folder))) now.add(`${kind} ${id}`);
    }
    if (now.size === 0) throw new Error(`nothing is pinned below ${this.#folder}`);
    for (const one of now) this.#seen.add(one);
    return now;
  }

  /** What is in the kernel without a pin; the kernel may take a while to free what is let go. */
  async leaked(timeoutMs = 30_000): Promise<string[]> {
    const pinnedNow = await this.look();
    const gone = [...this.#seen].filter((one) => !pinnedNow.has(one));
    for (const deadline = Date.now() + timeoutMs; ; await sleep(200)) {
      const there = new Set<string>();
      for (const kind of KINDS) for (const id of await bpfObjects(kind)) there.add(`${kind} ${id}`);
      const left = gone.filter((one) => there.has(one));
      if (left.length === 0 || Date.now() > deadline) return left;
    }
  }
}
