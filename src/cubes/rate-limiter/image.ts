// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one rate limiter should hold. Buckets are written before the addresses that lead to them, and only where
 * their rates change: what the program has taken from the others stays taken.
 */
import type { Limit, RateLimiter } from '../../api/generated/types.ts';
import type { CubeImage, ImageChange, MapWrite, Problem } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { ADDRESSES, type Assignment, assign, nameOf, SPEC } from './assign.ts';
import { type BucketRates, bucketRates } from './bucket.ts';
import { buckets as bucketsCodec, limitDrops, limits as limitsCodec } from './generated/codec.ts';

const DIRECTIONS = ['ingress', 'egress'] as const;

export class RateLimiterImage implements CubeImage {
  readonly #max: number;
  readonly #sources = new Map<string, readonly Limit[]>();
  readonly #addresses: PackedTable;
  /** What the kernel has: address → number, number of a bucket → its rates. */
  #held: ReadonlyMap<string, number> = new Map();
  readonly #rates = new Map<number, BucketRates>();
  /** Buckets to write. */
  readonly #fresh = new Map<number, BucketRates>();
  /** Undefined: something has changed since. */
  #assignment: Assignment | undefined;

  constructor({ limits, maxLimits }: RateLimiter) {
    this.#max = maxLimits;
    this.#sources.set(SPEC, limits);
    const { name, keySize, valueSize } = limitsCodec;
    this.#addresses = new PackedTable(name, keySize, valueSize, maxLimits * ADDRESSES);
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    if (map === limitsCodec.name) {
      this.#addresses.adopt(count, keys, values);
      const held = new Map<string, number>();
      for (let i = 0; i < count; i++) {
        const address = Buffer.from(keys.subarray(i * limitsCodec.keySize, (i + 1) * limitsCodec.keySize));
        held.set(address.toString('latin1'), limitsCodec.decodeValue(values, i * limitsCodec.valueSize));
      }
      this.#held = held;
    } else {
      for (let i = 0; i < count; i++) {
        const { perByte, tolerance } = bucketsCodec.decodeValue(values, i * bucketsCodec.valueSize);
        this.#rates.set(bucketsCodec.decodeKey(keys, i * bucketsCodec.keySize), { perByte, tolerance });
      }
    }
  }

  setTable(key: string, rows: readonly unknown[] | undefined): readonly Problem[] {
    if (rows === undefined) this.#sources.delete(key);
    else this.#sources.set(key, rows as readonly Limit[]);
    this.#assignment = undefined;
    return []; // whom an address belongs to may change with any other table
  }

  problems(): readonly Problem[] {
    return this.#assign().problems;
  }

  settle(): void {
    this.#assign();
    this.#addresses.settle();
  }

  tick(): undefined {
    return undefined;
  }

  take(): ImageChange {
    this.#assign();
    const { updates, deletes } = this.#addresses.take();
    return { writes: [...this.#takeBuckets(), ...updates, ...deletes], afterGrace: [] };
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    const { limits } = this.#assign();
    return {
      [limitsCodec.name]: { used: this.#addresses.size, max: this.#max * ADDRESSES },
      [bucketsCodec.name]: {
        used: limits.length * DIRECTIONS.length,
        max: this.#max * DIRECTIONS.length,
      },
    };
  }

  nameObject(_kind: string, id: bigint): string | undefined {
    const [place, bit] = [Number(id) >> 1, Number(id) & 1];
    const direction = DIRECTIONS[bit as 0 | 1];
    const found = this.#assign().limits.find(({ number }) => number === place)?.limit;
    return found?.[direction] === undefined ? undefined : `${direction} limit of ${nameOf(found)}`;
  }

  #assign(): Assignment {
    if (this.#assignment !== undefined) return this.#assignment;
    const assignment = assign(this.#sources, this.#held, this.#max);
    const key = new Uint8Array(limitsCodec.keySize);
    const value = new Uint8Array(limitsCodec.valueSize);
    for (const { limit, number, isKept } of assignment.limits)
      for (const [i, direction] of DIRECTIONS.entries())
        this.#want(number * DIRECTIONS.length + i, bucketRates(limit[direction]), isKept);
    for (const [address, number] of assignment.addresses) {
      key.set(Buffer.from(address, 'latin1'));
      limitsCodec.encodeValue(number, value);
      this.#addresses.set(key, value);
    }
    for (const address of this.#held.keys())
      if (!assignment.addresses.has(address)) this.#addresses.delete(Buffer.from(address, 'latin1'));
    this.#held = assignment.addresses;
    this.#assignment = assignment;
    return assignment;
  }

  #want(bucket: number, rates: BucketRates, isKept: boolean): void {
    const now = this.#rates.get(bucket);
    if (isKept && now?.perByte === rates.perByte && now.tolerance === rates.tolerance) return;
    this.#rates.set(bucket, rates);
    this.#fresh.set(bucket, rates);
  }

  #takeBuckets(): MapWrite[] {
    const count = this.#fresh.size;
    if (count === 0) return [];
    const keys = new Uint8Array(count * bucketsCodec.keySize);
    const values = new Uint8Array(count * bucketsCodec.valueSize);
    let i = 0;
    for (const [bucket, rates] of this.#fresh) {
      bucketsCodec.encodeKey(bucket, keys, i * bucketsCodec.keySize);
      bucketsCodec.encodeValue({ ...rates, full: 0n }, values, i++ * bucketsCodec.valueSize);
    }
    this.#fresh.clear();
    const drops = new Uint8Array(count * limitDrops.valueSize);
    return [
      { map: limitDrops.name, op: 'update', count, keys, values: drops },
      { map: bucketsCodec.name, op: 'update', count, keys, values },
    ];
  }
}
