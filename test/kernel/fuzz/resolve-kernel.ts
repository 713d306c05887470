// SPDX-License-Identifier: Apache-2.0
/**
 * What a router that finds MACs itself has in the kernel: rows, records, buckets. Time passes there by letting all that is
 * noted grow older, since nobody can put the clock forward.
 */
import type { ImageChange } from '../../../src/cubes/cube-type.ts';
import { neighbours as codec, heardCounts } from '../../../src/cubes/router/generated/codec.ts';
import { puntEvent } from '../../../src/dataplane/generated/tcx.ts';
import { RingBuffer } from '../../../src/dataplane/kernel/addon/index.ts';
import { mappedBytes } from '../support/bytes.ts';
import { type Chain, type ChainCube, sumPerCpu, u32 } from '../support/chain.ts';
import { TestInjector } from '../support/injector.ts';
import { addressOf } from './parse-model.ts';
import type { Waiting } from './resolve-agent-model.ts';
import { type Buckets, type HeardCount, keyOf, type Row } from './resolve-program-model.ts';
import type { Resumed } from './router-model.ts';

/** A second of the kernel's tables, in ns. */
export const UNIT = 1n << 30n;
const STATES = { 1: 'Incomplete', 2: 'Resolved', 3: 'Failed', 4: 'Static' } as const;
/** Where a row has times: all, and the one that the agent writes. */
const TIMES = [8, 12, 16] as const;
const [STALE_AT] = TIMES;
const KINDS = ['packets', 'heard'] as const;
/** RESUME_* of bpf/router/resolve.h. */
export const RESUME: Readonly<Record<Resumed, bigint>> = { send: 1n, unreachable: 2n, discard: 3n };

type NeighbourValue = ReturnType<typeof codec.decodeValue>;

export class ResolveKernel {
  readonly #chain: Chain;
  readonly #cube: ChainCube;
  readonly #injector: TestInjector;
  readonly #ring: RingBuffer;
  /** Units that the agent's clock is ahead of the kernel's. */
  #ahead = 0;

  private constructor(chain: Chain, cube: ChainCube, injector: TestInjector) {
    this.#chain = chain;
    this.#cube = cube;
    this.#injector = injector;
    this.#ring = new RingBuffer(chain.shared('punts'), () => undefined);
    this.#ring.unref();
  }

  static async open(chain: Chain, cube: ChainCube): Promise<ResolveKernel> {
    const injector = await TestInjector.open(chain);
    return new ResolveKernel(chain, cube, injector);
  }

  /** The agent's clock less the kernel's, in seconds. */
  get ahead(): number {
    return (this.#ahead * Number(UNIT)) / 1e9;
  }

  /** Of the agent's seconds the kernel's unit. */
  unitOf(seconds: number): number {
    // to the microsecond, which a sum of such seconds may be off by
    return (Math.ceil((seconds * 1e9) / Number(UNIT) - 1e-6) - this.#ahead) >>> 0;
  }

  rows(): Map<string, Row> {
    return new Map(this.#dump().map(({ name, value }) => [name, rowOf(value)]));
  }

  heard(): Map<string, HeardCount> {
    const { keys, values, count } = this.#cube.map(heardCounts.name).dumpSync();
    return new Map(
      Array.from({ length: count }, (_, i) => [
        nameOf(keys.subarray(i * heardCounts.keySize)),
        heardCounts.decodeValue(values, i * heardCounts.valueSize),
      ]),
    );
  }

  /** As the agent finds them when it starts, by its own clock. */
  snapshot(): { keys: Buffer; values: Buffer; count: number } {
    const { keys, values, count } = this.#cube.map(codec.name).dumpSync();
    const moved = Buffer.from(values);
    for (let at = 0; at < moved.length; at += codec.valueSize) shift(moved, at, this.#ahead, [STALE_AT]);
    return { keys, values: moved, count };
  }

  #dump(): { name: string; key: Uint8Array; value: NeighbourValue }[] {
    const { keys, values, count } = this.#cube.map(codec.name).dumpSync();
    return Array.from({ length: count }, (_, i) => {
      const key = keys.subarray(i * codec.keySize, (i + 1) * codec.keySize);
      return { name: nameOf(key), key, value: codec.decodeValue(values, i * codec.valueSize) };
    });
  }

  /** Lets that many units pass for everything that is noted there. */
  pass(units: number): void {
    this.#ahead += units;
    const { keys, values, count } = this.#cube.map(codec.name).dumpSync();
    for (let at = 0; at < values.length; at += codec.valueSize) shift(values, at, -units, TIMES);
    if (count > 0) this.#cube.map(codec.name).updateBatchSync(keys, values);
    const heard = this.#cube.map(heardCounts.name).dumpSync();
    for (let at = 0; at < heard.values.length; at += heardCounts.valueSize)
      shift(heard.values, at, -units, [0]);
    if (heard.count > 0) this.#cube.map(heardCounts.name).updateBatchSync(heard.keys, heard.values);
    for (const kind of KINDS) {
      const full = this.buckets()[kind] - UNIT * BigInt(units);
      this.fill(kind, full < 0n ? 0n : full);
    }
  }

  /** Writes what an image wants; returns the names of the rows that it wrote. */
  write({ writes, afterGrace }: ImageChange): Set<string> {
    const names = new Set<string>();
    for (const { map, op, keys, values } of [...writes, ...afterGrace]) {
      const table = this.#cube.map(map);
      if (op === 'delete') {
        table.deleteBatchSync(keys);
        continue;
      }
      if (map !== codec.name) {
        table.updateBatchSync(keys, values);
        continue;
      }
      const moved = Buffer.from(values);
      for (let at = 0; at < moved.length; at += codec.valueSize) shift(moved, at, -this.#ahead, [STALE_AT]);
      table.updateBatchSync(keys, moved);
      for (let at = 0; at < keys.length; at += codec.keySize) names.add(nameOf(keys.subarray(at)));
    }
    return names;
  }

  /** Records since the last call. */
  records(): Buffer[] {
    const records: Buffer[] = [];
    for (let some = this.#ring.consume(); some.length > 0; some = this.#ring.consume())
      records.push(...some.map((one) => Buffer.from(one)));
    return records;
  }

  #bucket(kind: keyof Buckets): Buffer {
    return u32(this.#cube.slot * KINDS.length + KINDS.indexOf(kind));
  }

  buckets(): Buckets {
    const read = (kind: keyof Buckets) =>
      this.#chain.shared('punt_buckets').lookup(this.#bucket(kind))?.readBigUInt64LE(0) ?? 0n;
    return { packets: read('packets'), heard: read('heard') };
  }

  fill(kind: keyof Buckets, full: bigint): void {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(full);
    this.#chain.shared('punt_buckets').update(this.#bucket(kind), value);
  }

  /** What was sent to the agent, and what not, by kind. */
  punted(): Map<string, number> {
    const found = new Map<string, number>();
    for (const kind of KINDS) {
      const value = this.#chain.shared('punt_counters').lookup(this.#bucket(kind)) ?? Buffer.alloc(0);
      const [sent = 0, limited = 0, lost = 0] = sumPerCpu(value, 3);
      for (const [name, count] of Object.entries({ sent, limited, lost }))
        found.set(`${kind} ${name}`, count);
    }
    return found;
  }

  /** Sends a packet in again, as the agent does by its device. */
  resume({ port, frame }: Waiting, how: Resumed): ReturnType<Chain['shoot']> {
    const to = { slot: this.#cube.slot, port, metadata: RESUME[how] };
    return this.#chain.shootBy(this.#injector.program, this.#injector.request(frame, to));
  }

  close(): void {
    this.#injector.close();
    this.#ring.close();
  }
}

/** Of a record: what the agent's own code takes, and its head. */
export function headOf(record: Buffer): {
  code: number;
  port: number;
  length: number;
  packet: Buffer;
  ns: bigint;
} {
  const { code, port, length, captured, time } = puntEvent.decode(record);
  return { code, port, length, packet: record.subarray(puntEvent.size, puntEvent.size + captured), ns: time };
}

function nameOf(key: Uint8Array): string {
  const { addr, port } = codec.decodeKey(key);
  return keyOf(port, addressOf(mappedBytes(addr)));
}

function rowOf({ state, mac, staleAt, used, toldAt, told }: NeighbourValue): Row {
  const name = STATES[state as keyof typeof STATES];
  return { state: name, mac, staleAt, used, toldAt, told };
}

function shift(values: Buffer, at: number, by: number, fields: readonly number[]): void {
  for (const field of fields) {
    values.writeUInt32LE((values.readUInt32LE(at + field) + by) >>> 0, at + field);
  }
}
