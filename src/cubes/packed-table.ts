// SPDX-License-Identifier: Apache-2.0

/**
 * The rows that one hash map of the kernel should hold, as bytes: what a JavaScript Map of objects would need twenty times
 * the memory for. Rows lie in chunks of a fixed number, so that growth never copies them; an open-addressed index of 32-bit
 * row numbers finds them by key. Each row knows whether the kernel has it, so that `take` returns only the difference.
 *
 * Invariant: a row is in the index while it is wanted or while the kernel still has it.
 */
import type { MapWrite } from './cube-type.ts';

/** Looked up once: in a context of node:vm, as in tests, each look at a global is a call. */
const { imul, floor, ceil } = Math;

const CHUNK_SHIFT = 10;
const CHUNK = 1 << CHUNK_SHIFT;

const WANTED = 1;
/** The kernel has the key. */
const PRESENT = 2;
/** The value differs from the kernel's. */
const DIRTY = 4;
/** The row number is in the queue of changes. */
const QUEUED = 8;

/** Hash of `length` bytes, a multiple of four, as an unsigned 32-bit number (MurmurHash3's mixing). */
export function hashBytes(bytes: Uint8Array, at: number, length: number): number {
  let hash = 0x9747b28c;
  for (let i = at; i < at + length; i += 4) {
    let word =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    word = imul(word, 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= length;
  hash = imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Row numbers by the hash of their key; the caller compares keys. At most 85 % full, linear probing, no tombstones.
 * Slots hold row + 1.
 */
export class RowIndex {
  #slots = new Int32Array(64);
  #used = 0;
  readonly #hashOf: (row: number) => number;

  constructor(hashOf: (row: number) => number) {
    this.#hashOf = hashOf;
  }

  get bytes(): number {
    return this.#slots.byteLength;
  }

  #place(hash: number): number {
    return floor((hash / 4294967296) * this.#slots.length);
  }

  /** The row for which `same` holds, or -1. */
  find(hash: number, same: (row: number) => boolean): number {
    const slots = this.#slots;
    let place = this.#place(hash);
    for (;;) {
      const row = (slots[place] as number) - 1;
      if (row < 0) return -1;
      if (same(row)) return row;
      if (++place === slots.length) place = 0;
    }
  }

  add(hash: number, row: number): void {
    if ((this.#used + 1) * 20 > this.#slots.length * 17) this.#grow();
    this.#used++;
    this.#put(hash, row);
  }

  #put(hash: number, row: number): void {
    const slots = this.#slots;
    let place = this.#place(hash);
    while (slots[place] !== 0) if (++place === slots.length) place = 0;
    slots[place] = row + 1;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(ceil(old.length * 1.5));
    for (const slot of old) if (slot !== 0) this.#put(this.#hashOf(slot - 1), slot - 1);
  }

  remove(hash: number, row: number): void {
    const slots = this.#slots;
    const length = slots.length;
    let place = this.#place(hash);
    while (slots[place] !== row + 1) if (++place === length) place = 0;
    this.#used--;
    // Moves back what was displaced by the row, so that probing never meets a hole (Knuth 6.4, algorithm R).
    let hole = place;
    for (;;) {
      slots[hole] = 0;
      let next = hole;
      for (;;) {
        if (++next === length) next = 0;
        const other = slots[next] as number;
        if (other === 0) return;
        const home = this.#place(this.#hashOf(other - 1));
        const stays = hole <= next ? hole < home && home <= next : hole < home || home <= next;
        if (!stays) break;
      }
      slots[hole] = slots[next] as number;
      hole = next;
    }
  }
}

export class PackedTable {
  readonly map: string;
  readonly keySize: number;
  readonly valueSize: number;
  /** Most wanted rows. */
  readonly max: number;
  readonly #stride: number;
  readonly #chunks: Uint8Array[] = [];
  readonly #states: Uint8Array[] = [];
  readonly #index: RowIndex;
  #rows = 0;
  #free: number[] = [];
  #queue: number[] = [];
  #wanted = 0;
  /** What the kernel has in rows that are dirty: a value that comes back is not written. */
  #original = new Map<number, Uint8Array>();

  constructor(map: string, keySize: number, valueSize: number, max: number) {
    this.map = map;
    this.keySize = keySize;
    this.valueSize = valueSize;
    this.max = max;
    this.#stride = keySize + valueSize;
    this.#index = new RowIndex((row) => hashBytes(this.#chunk(row), this.#at(row), keySize));
  }

  /** Rows that are wanted. */
  get size(): number {
    return this.#wanted;
  }

  /** Memory in use. */
  get bytes(): number {
    return this.#chunks.length * CHUNK * (this.#stride + 1) + this.#index.bytes;
  }

  #chunk(row: number): Uint8Array {
    return this.#chunks[row >> CHUNK_SHIFT] as Uint8Array;
  }

  #at(row: number): number {
    return (row & (CHUNK - 1)) * this.#stride;
  }

  #state(row: number): number {
    return (this.#states[row >> CHUNK_SHIFT] as Uint8Array)[row & (CHUNK - 1)] as number;
  }

  #setState(row: number, state: number): void {
    (this.#states[row >> CHUNK_SHIFT] as Uint8Array)[row & (CHUNK - 1)] = state;
  }

  #find(key: Uint8Array, at: number): number {
    const length = this.keySize;
    return this.#index.find(hashBytes(key, at, length), (row) => {
      const chunk = this.#chunk(row);
      const start = this.#at(row);
      for (let i = 0; i < length; i++) if (chunk[start + i] !== key[at + i]) return false;
      return true;
    });
  }

  #insert(key: Uint8Array, at: number): number {
    let row = this.#free.pop();
    if (row === undefined) {
      row = this.#rows++;
      if (row >> CHUNK_SHIFT === this.#chunks.length) {
        this.#chunks.push(new Uint8Array(CHUNK * this.#stride));
        this.#states.push(new Uint8Array(CHUNK));
      }
    }
    this.#chunk(row).set(key.subarray(at, at + this.keySize), this.#at(row));
    this.#setState(row, 0);
    this.#index.add(hashBytes(key, at, this.keySize), row);
    return row;
  }

  #queueUp(row: number, state: number): void {
    if (!(state & QUEUED)) this.#queue.push(row);
    this.#setState(row, state | QUEUED);
  }

  /** Number of the wanted row with this key, or -1. Numbers are stable while the row is wanted. */
  row(key: Uint8Array, at = 0): number {
    const row = this.#find(key, at);
    return row >= 0 && this.#state(row) & WANTED ? row : -1;
  }

  /** Number of a row that the kernel has or is to have, wanted or not, or -1. */
  known(key: Uint8Array, at = 0): number {
    return this.#find(key, at);
  }

  /** The value of a row, in place: read only, and only until the next change. */
  value(row: number): Uint8Array {
    const at = this.#at(row) + this.keySize;
    return this.#chunk(row).subarray(at, at + this.valueSize);
  }

  /** The value that the kernel has, where it has the row; as `value`. */
  kernelValue(row: number): Uint8Array {
    return this.#original.get(row) ?? this.value(row);
  }

  key(row: number): Uint8Array {
    const at = this.#at(row);
    return this.#chunk(row).subarray(at, at + this.keySize);
  }

  /** Takes over rows that the kernel has. Those not set before `settle` are deleted then. */
  adopt(count: number, keys: Uint8Array, values: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      let row = this.#find(keys, i * this.keySize);
      if (row < 0) row = this.#insert(keys, i * this.keySize);
      this.#chunk(row).set(
        values.subarray(i * this.valueSize, (i + 1) * this.valueSize),
        this.#at(row) + this.keySize,
      );
      this.#setState(row, PRESENT);
    }
  }

  /** Wants a row. Returns its number, or -1 when the table is full. */
  set(key: Uint8Array, value: Uint8Array, keyAt = 0, valueAt = 0): number {
    let row = this.#find(key, keyAt);
    const is = row < 0 ? 0 : this.#state(row);
    if (!(is & WANTED)) {
      if (this.#wanted >= this.max) return -1;
      this.#wanted++;
    }
    if (row < 0) row = this.#insert(key, keyAt);
    const chunk = this.#chunk(row);
    const start = this.#at(row) + this.keySize;
    let same = (is & PRESENT) !== 0;
    for (let i = 0; i < this.valueSize && same; i++) same = chunk[start + i] === value[valueAt + i];
    if (!same && is & PRESENT && !(is & DIRTY)) this.#original.set(row, this.value(row).slice());
    if (!same) chunk.set(value.subarray(valueAt, valueAt + this.valueSize), start);
    if (same) this.#setState(row, is | WANTED);
    else this.#queueUp(row, is | WANTED | DIRTY);
    return row;
  }

  /** No longer wants a row; nothing happens when it is not wanted. */
  delete(key: Uint8Array, at = 0): void {
    const row = this.#find(key, at);
    if (row >= 0) this.deleteRow(row);
  }

  deleteRow(row: number): void {
    const state = this.#state(row);
    if (!(state & WANTED)) return;
    this.#wanted--;
    this.#queueUp(row, state & ~WANTED);
  }

  /** Deletes adopted rows that nobody has set. */
  settle(): void {
    for (let row = 0; row < this.#rows; row++) {
      const state = this.#state(row);
      if (state & PRESENT && !(state & WANTED)) this.#queueUp(row, state);
    }
  }

  /** Differences since the last take. Order them as the map's readers need. */
  take(): { updates: MapWrite[]; deletes: MapWrite[] } {
    const updates: number[] = [];
    const deletes: number[] = [];
    for (const row of this.#queue) {
      const state = this.#state(row) & ~QUEUED;
      this.#setState(row, state);
      if (state & WANTED) {
        if (state & DIRTY && this.#differs(row)) updates.push(row);
        else this.#setState(row, state & ~DIRTY);
      } else if (state & PRESENT) {
        deletes.push(row);
      } else {
        this.#drop(row);
      }
    }
    this.#queue = [];
    this.#original.clear();
    const result = { updates: this.#pack('update', updates), deletes: this.#pack('delete', deletes) };
    for (const row of updates) this.#setState(row, WANTED | PRESENT);
    for (const row of deletes) this.#drop(row);
    return result;
  }

  #differs(row: number): boolean {
    const original = this.#original.get(row);
    return !original || !this.value(row).every((byte, i) => byte === original[i]);
  }

  #drop(row: number): void {
    this.#index.remove(hashBytes(this.#chunk(row), this.#at(row), this.keySize), row);
    this.#setState(row, 0);
    this.#free.push(row);
  }

  #pack(op: 'update' | 'delete', rows: readonly number[]): MapWrite[] {
    if (rows.length === 0) return [];
    const { keySize } = this;
    const valueSize = op === 'update' ? this.valueSize : 0;
    const keys = new Uint8Array(rows.length * keySize);
    const values = new Uint8Array(rows.length * valueSize);
    rows.forEach((row, i) => {
      const chunk = this.#chunk(row);
      const at = this.#at(row);
      keys.set(chunk.subarray(at, at + keySize), i * keySize);
      if (valueSize > 0) values.set(chunk.subarray(at + keySize, at + keySize + valueSize), i * valueSize);
    });
    return [{ map: this.map, op, count: rows.length, keys, values }];
  }
}
