// SPDX-License-Identifier: Apache-2.0
/** Counters of one node, read from its pinned maps as any monitoring would. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { COMMON_DROP_REASONS } from '../../../src/api/schemas/drop-reasons.ts';
import { CUBE_TYPES, type CubeTypeName } from '../../../src/cubes/generated/index.ts';
import { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import { names, Pins } from '../../../src/dataplane/kernel/pins.ts';
import { pinNameOf } from '../../../src/dataplane/names.ts';

/** Packets by drop reason; reasons without packets are absent. */
export type Drops = Readonly<Record<string, number>>;

export interface PortCounter {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

/** Sums of a per-CPU array of u64 words: one list of words an entry. */
async function sums(path: string): Promise<number[][]> {
  const map = BpfMap.openPinned(path);
  try {
    const { keys, values, count } = await map.dump();
    const words = map.valueSize / 8;
    const cpus = map.valueStride / map.valueSize;
    const result: number[][] = [];
    for (let entry = 0; entry < count; entry++) {
      const sum = Array.from({ length: words }, () => 0);
      for (let cpu = 0; cpu < cpus; cpu++) {
        for (let word = 0; word < words; word++) {
          const at = entry * map.valueStride + cpu * map.valueSize + word * 8;
          sum[word] = (sum[word] ?? 0) + Number(Buffer.from(values).readBigUInt64LE(at));
        }
      }
      result[Buffer.from(keys).readUInt32LE(entry * 4)] = sum;
    }
    return result;
  } finally {
    map.close();
  }
}

async function countRows(path: string): Promise<number> {
  const map = BpfMap.openPinned(path);
  try {
    return (await map.dump()).count;
  } finally {
    map.close();
  }
}

function named(counts: readonly number[][], reasons: readonly { id: number; name: string }[]): Drops {
  const drops: Record<string, number> = {};
  for (const [id, [count = 0]] of counts.entries()) {
    if (count === 0) continue;
    drops[reasons.find((reason) => reason.id === id)?.name ?? `reason ${id}`] = count;
  }
  return drops;
}

export class Counters {
  readonly pins: Pins;

  constructor(bpffs: string, node: string) {
    this.pins = new Pins(bpffs, node);
  }

  /** What the entry program dropped. */
  async entry(): Promise<Drops> {
    return named(await sums(this.pins.sharedMap('entry_drops')), COMMON_DROP_REASONS);
  }

  /** What a cube (`namespace/name`) dropped. */
  async cube(key: string, type: CubeTypeName): Promise<Drops> {
    const reasons = [...COMMON_DROP_REASONS, ...CUBE_TYPES[type].dropReasons];
    return named(await sums(this.#state(key, 'drops')), reasons);
  }

  /** A cube's own events, by name. */
  async events(key: string, type: CubeTypeName): Promise<Drops> {
    return named(await sums(this.#state(key, 'counters')), CUBE_TYPES[type].counters);
  }

  /** Rows of a map of a cube, in all its instances that are in the kernel. */
  async rows(key: string, map: string): Promise<number> {
    const folder = this.pins.cube(pinNameOf(key));
    let rows = 0;
    for (const instance of this.instances(key)) {
      const path = join(folder, instance, map);
      if (existsSync(path)) rows += await countRows(path);
    }
    return rows;
  }

  /** Instances of a cube that are in the kernel, by the name of their pin; each has a program of its own. */
  instances(key: string): string[] {
    return names(this.pins.cube(pinNameOf(key))).filter((name) => /^\d+_/.test(name));
  }

  /** What passed the ports of a cube, by number of the port. */
  async ports(key: string): Promise<PortCounter[]> {
    return (await sums(this.#state(key, 'port_counters'))).map(
      ([rxPackets = 0, rxBytes = 0, txPackets = 0, txBytes = 0]) => ({
        rxPackets,
        rxBytes,
        txPackets,
        txBytes,
      }),
    );
  }

  /** Pin of a map that a cube keeps over all its instances. */
  #state(key: string, map: string): string {
    const folder = join(this.pins.cube(pinNameOf(key)), 'state');
    const pin = names(folder).find((name) => new RegExp(`^${map}_\\d+_\\w+$`).test(name));
    if (pin === undefined) throw new Error(`no map ${map} of Cube ${key} below ${folder}`);
    return join(folder, pin);
  }
}
