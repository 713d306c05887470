// SPDX-License-Identifier: Apache-2.0
/**
 * Where things of one node are pinned:
 *
 *   BPFFS/cubeplane/NODE/v1/node/MAP                     maps that all programs share
 *                          /programs/entry_HASH, dry_HASH, copies_HASH
 *                          /cubes/CUBE/state/MAP_VERSION_SIZE
 *                          /cubes/CUBE/SLOT_HASH/MAP     maps of one instance
 *                          /cubes/CUBE/SLOT_HASH/run_PROGRAM
 *                          /cubes/CUBE/SLOT_HASH/program  pinned last: the instance is complete
 *                          /links/INTERFACE, INTERFACE_out at its egress
 *                          /xdp/INTERFACE               the same at XDP, with programs/xdp_HASH
 *                          /cgroup/CUBE_PROGRAM         of a cube at a cgroup
 *
 * `v1` is the version of the cube ABI: programs of two versions never share an array.
 */
import { mkdirSync, readdirSync, rmdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { CUBE_ABI } from '../layout.ts';
import { pinNameOf, splitInstanceKey } from '../names.ts';
import type { Instance } from '../state.ts';
import { unpin } from './addon/index.ts';

/** BPF_FS_MAGIC of linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Of bpf/include/flow-maps.h. */
const FLOW_CACHE_MAPS = ['flow_records', 'flow_state', 'flow_places', 'flow_cpu'] as const;

/** What agents of before had in their place: nobody reads it any more. */
export const FORMER_MAPS = ['flow_cache', 'flow_counters'] as const;

/** Those of the entry program alone. */
const ENTRY_MAPS = ['slot_ports', 'slot_counters'] as const;

/** Maps of bpf/include/maps.h, in the order they are pinned; the prog array comes last. */
export const SHARED_MAPS = [
  'edges',
  'node_config',
  'attachments',
  'attachment_counters',
  'entry_drops',
  'pods',
  'overlay_sources',
  'host_addresses',
  'fragments',
  'work',
  'events',
  'trace_filter',
  'flow_config',
  'flow_limits',
  'flow_events',
  ...FLOW_CACHE_MAPS,
  ...ENTRY_MAPS,
  'punts',
  'punt_scratch',
  'punt_buckets',
  'punt_counters',
  'injected',
  'slots',
] as const;

/**
 * Those of SHARED_MAPS that agents of before did not have. Where only these are missing, the others are in force and are read as
 * they are: the agent makes the new ones beside them.
 */
export const LATER_MAPS: ReadonlySet<string> = new Set([
  'flow_config',
  'flow_limits',
  'flow_events',
  ...FLOW_CACHE_MAPS,
  ...ENTRY_MAPS,
]);

/** Which of SHARED_MAPS the objects of a kind do not have. */
const WITHOUT: Readonly<Record<'entry' | 'cube' | 'xdp', ReadonlySet<string>>> = {
  entry: new Set(),
  cube: new Set(ENTRY_MAPS),
  xdp: new Set([...ENTRY_MAPS, ...FLOW_CACHE_MAPS]),
};

/** Those that only programs at XDP have: pinned with the first of them. */
export const XDP_MAPS = ['xdp_packet', 'xdp_slots'] as const;

export function isBpffs(path: string): boolean {
  try {
    return statfsSync(path).type === BPF_FS_MAGIC;
  } catch {
    return false;
  }
}

export class Pins {
  /** Folder of the node, over all ABI versions. */
  readonly nodeRoot: string;
  readonly root: string;
  /** Version of the cube ABI that `root` is for. */
  readonly abi: number;

  constructor(bpffs: string, nodeName: string, abi = CUBE_ABI) {
    this.abi = abi;
    this.nodeRoot = join(bpffs, 'cubeplane', pinNameOf(nodeName));
    this.root = join(this.nodeRoot, `v${abi}`);
  }

  sharedMap(name: string): string {
    return join(this.root, 'node', name);
  }

  /** Paths of the shared maps that a program uses, by name. */
  sharedMaps(of: keyof typeof WITHOUT): Record<string, string> {
    const maps = SHARED_MAPS.filter((map) => !WITHOUT[of].has(map));
    return Object.fromEntries(maps.map((map) => [map, this.sharedMap(map)]));
  }

  program(name: 'entry' | 'dry' | 'copies' | 'xdp', hash: string): string {
    return join(this.root, 'programs', `${name}_${hash}`);
  }

  cube(pin: string): string {
    return join(this.root, 'cubes', pin);
  }

  stateMap(cube: string, pin: string): string {
    return join(this.cube(cube), 'state', pin);
  }

  instance(key: string): string {
    const { cube, slot, hash } = splitInstanceKey(key);
    return join(this.cube(cube), `${slot}_${hash}`);
  }

  /** A program of the instance's object beside the cube itself, as one that reclaims sessions. */
  helper(key: string, name: string): string {
    return join(this.instance(key), `run_${name}`);
  }

  /** A map of an instance, whichever class it is of. */
  mapOf(key: string, instance: Pick<Instance, 'cubePin' | 'stateMaps'> | undefined, map: string): string {
    const pin = instance?.stateMaps.get(map);
    return pin === undefined ? join(this.instance(key), map) : this.stateMap(instance?.cubePin ?? '', pin);
  }

  /** Of a program of a cube at a cgroup. */
  cgroupLink(pin: string): string {
    return join(this.root, 'cgroup', pin);
  }

  xdpLink(pin: string): string {
    return join(this.root, 'xdp', pin);
  }

  link(pin: string): string {
    return join(this.root, 'links', pin);
  }

  /** Makes the folders. Throws AgentError AbiMismatch when a newer agent has pins here. */
  prepare(): void {
    const other = names(this.nodeRoot).filter((name) => /^v\d+$/.test(name) && name !== `v${this.abi}`);
    const newer = other.find((name) => Number(name.slice(1)) > this.abi);
    if (newer !== undefined) {
      throw new AgentError(
        'AbiMismatch',
        `${join(this.nodeRoot, newer)} holds pins of cube ABI ${newer.slice(1)}, and this agent speaks ${this.abi}`,
        'start the newer agent again, or remove everything with its down command first',
      );
    }
    for (const folder of ['node', 'programs', 'cubes', 'links', 'xdp', 'cgroup']) {
      mkdirSync(join(this.root, folder), { recursive: true, mode: 0o700 });
    }
  }
}

/** Entries of a folder; none when it is not there. */
export function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Unpins everything in a folder, those named first before the others, and removes it. */
export function removeFolder(folder: string, first: readonly string[] = []): void {
  const all = names(folder);
  for (const name of [...first.filter((n) => all.includes(n)), ...all.filter((n) => !first.includes(n))]) {
    unpin(join(folder, name));
  }
  removeIfEmpty(folder);
}

export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
  }
}
