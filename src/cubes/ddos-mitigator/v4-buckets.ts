// SPDX-License-Identifier: Apache-2.0

/**
 * What the map of buckets should hold: denied IPv4 sources of full length, 15 a bucket of one cache line. A bucket counts the
 * further addresses that hash to it, which have no room or are allowed, and which the program looks for in the hash map.
 */
import type { MapWrite } from '../cube-type.ts';
import { ALLOW, DENY, type Said } from './said.ts';

/** Slots of struct v4_bucket, and its size in words: the last one counts. */
const SLOTS = 15;
const WORDS = 16;
/** Addresses a bucket where the list is as long as it may be: one bucket in a hundred is too small then. */
const FILLED = 8;

/** As many buckets as a list of that many addresses needs: a power of two. */
export function bucketsFor(maxHosts: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(maxHosts / FILLED)));
}

/** v4_hash() of bpf/ddos-mitigator/check.h; takes the address as the machine reads its bytes, little endian. */
function hash(v4: number): number {
  let mixed = v4;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

export class V4Buckets {
  readonly #map: string;
  readonly #count: number;
  readonly #wanted: Uint32Array;
  readonly #kernel: Uint32Array;
  readonly #changed = new Set<number>();
  /** Adopted buckets are kept until all tables have been set. */
  #isWhole = true;

  constructor(map: string, count: number) {
    this.#map = map;
    this.#count = count;
    this.#wanted = new Uint32Array(count * WORDS);
    this.#kernel = new Uint32Array(count * WORDS);
  }

  /** Buckets that the kernel has. */
  adopt(count: number, keys: Uint8Array, values: Uint8Array): void {
    const [index, words] = [view(keys), view(values)];
    this.#isWhole = false;
    for (let i = 0; i < count; i++) {
      const bucket = index.getUint32(4 * i, true);
      for (let word = 0; word < WORDS; word++) {
        const value = words.getUint32(4 * (i * WORDS + word), true);
        this.#kernel[bucket * WORDS + word] = value;
        if (value !== 0) this.#changed.add(bucket);
      }
    }
  }

  /** What the list says of an address of 4 bytes has become another thing: DENY, ALLOW or 0. */
  change(address: Uint8Array, before: Said, after: Said): void {
    const v4 = view(address).getUint32(0, true);
    if (before === DENY) this.#remove(v4);
    else if (before === ALLOW) this.#elsewhere(this.#bucket(v4), -1);
    if (after === DENY) this.#add(v4);
    else if (after === ALLOW) this.#elsewhere(this.#bucket(v4), 1);
  }

  /** Where the bucket of a denied address is full, the hash map alone has it. */
  #add(v4: number): void {
    const at = this.#bucket(v4);
    const free = v4 === 0 ? -1 : this.#slot(at, 0);
    if (free < 0) this.#elsewhere(at, 1);
    else this.#wanted[at + free] = v4;
  }

  #remove(v4: number): void {
    const at = this.#bucket(v4);
    const slot = v4 === 0 ? -1 : this.#slot(at, v4);
    if (slot < 0) this.#elsewhere(at, -1);
    else this.#wanted[at + slot] = 0;
  }

  /** All tables have been set: what was adopted and is not wanted may go. */
  settle(): void {
    this.#isWhole = true;
  }

  take(): MapWrite[] {
    if (!this.#isWhole) return [];
    const changed = [...this.#changed].filter((bucket) => this.#arrange(bucket)).sort((a, b) => a - b);
    this.#changed.clear();
    if (changed.length === 0) return [];
    const keys = new Uint8Array(4 * changed.length);
    const values = new Uint8Array(4 * WORDS * changed.length);
    const [index, words] = [view(keys), view(values)];
    changed.forEach((bucket, i) => {
      index.setUint32(4 * i, bucket, true);
      for (let word = 0; word < WORDS; word++) {
        const value = this.#wanted[bucket * WORDS + word] as number;
        words.setUint32(4 * (i * WORDS + word), value, true);
        this.#kernel[bucket * WORDS + word] = value;
      }
    });
    return [{ map: this.#map, op: 'update', count: changed.length, keys, values }];
  }

  /** Where the bucket of an address begins. It may be another one than the kernel has, from now on. */
  #bucket(v4: number): number {
    const bucket = hash(v4) & (this.#count - 1);
    this.#changed.add(bucket);
    return bucket * WORDS;
  }

  #slot(at: number, v4: number): number {
    for (let slot = 0; slot < SLOTS; slot++) if (this.#wanted[at + slot] === v4) return slot;
    return -1;
  }

  #elsewhere(at: number, by: 1 | -1): void {
    this.#wanted[at + SLOTS] = (this.#wanted[at + SLOTS] as number) + by;
  }

  /** Leaves addresses where the kernel has them: a packet always finds what stays. Returns whether anything is to be written. */
  #arrange(bucket: number): boolean {
    const at = bucket * WORDS;
    const wanted = this.#wanted.subarray(at, at + WORDS);
    const kernel = this.#kernel.subarray(at, at + WORDS);
    const missing = new Set(wanted.subarray(0, SLOTS));
    missing.delete(0);
    let differs = wanted[SLOTS] !== kernel[SLOTS];
    for (let slot = 0; slot < SLOTS; slot++) {
      const address = kernel[slot] as number;
      const stays = missing.delete(address);
      wanted[slot] = stays ? address : 0;
      if (!stays && address !== 0) differs = true;
    }
    for (const address of missing) {
      wanted[wanted.indexOf(0)] = address;
      differs = true;
    }
    return differs;
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
