// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { usageEvent } from '../generated/usage.ts';
import { BpfMap, type BpfObject, type BpfProgram, KernelError, loadObject, MapType } from './addon/index.ts';

/** How many entries the hash maps of the kernel hold, by its own counters: bpf/entry/usage.bpf.c. */
export class UsageReader {
  readonly #object: BpfObject;
  readonly #program: BpfProgram;

  private constructor(object: BpfObject) {
    this.#object = object;
    this.#program = object.program('usage');
  }

  /** Rejects with KernelError where the kernel is older than 6.6. */
  static async open(objects: string): Promise<UsageReader> {
    return new UsageReader(await loadObject({ path: join(objects, 'usage.o') }));
  }

  /** Map id → entries, for all hash maps of the system, LRU ones too. Takes below a millisecond. */
  read(): ReadonlyMap<number, number> {
    const bytes = this.#program.readIterator();
    const used = new Map<number, number>();
    for (let at = 0; at < bytes.length; at += usageEvent.size) {
      const event = usageEvent.decode(bytes, at);
      used.set(event.id, event.used);
    }
    return used;
  }

  close(): void {
    this.#object.close();
  }
}

export interface MapIdentity {
  readonly id: number;
  readonly max: number;
  /** A hash map, whose entries the kernel counts. */
  readonly isCounted: boolean;
}

const COUNTED: readonly number[] = [MapType.Hash, MapType.PerCpuHash, MapType.LruHash, MapType.LruPerCpuHash];

/** What a pinned map is to the kernel; undefined when nothing is pinned there. Throws KernelError. */
export function mapIdentity(path: string): MapIdentity | undefined {
  let map: BpfMap;
  try {
    map = BpfMap.openPinned(path);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { id, maxEntries, type } = map.info();
    return { id, max: maxEntries, isCounted: COUNTED.includes(type) };
  } finally {
    map.close();
  }
}
