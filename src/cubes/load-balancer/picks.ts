// SPDX-License-Identifier: Apache-2.0

/**
 * The array of picks: segments of backend ids. A segment that a frontend of the kernel may point to is never written;
 * a change makes a new one, and the old one's places are used again only after the next `take`, whose writes run when
 * those of the one before, and the grace behind them, are over.
 */
import type { MapWrite } from '../cube-type.ts';

interface Extent {
  base: number;
  size: number;
}

export class Picks {
  readonly max: number;
  #mirror = new Uint32Array(1024);
  /** Places below it have been given out. */
  #top = 0;
  /** Free places by size of the extent. */
  #free = new Map<number, number[]>();
  #freePlaces = 0;
  #pending: Extent[] = [];
  /** Segments, by base, that the kernel has not got. */
  readonly #unwritten = new Set<number>();
  /** Users of a segment, by base; parked ones want it but no frontend of the kernel points to it. Size 0 has none. */
  readonly #users = new Map<number, { readonly size: number; users: number; parked: number }>();
  #used = 0;
  /** Segments of the kernel that no frontend has claimed yet: base → size. */
  readonly #adopted = new Map<number, number>();

  constructor(max: number) {
    this.max = max;
  }

  get used(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#mirror.byteLength;
  }

  #reserve(top: number): void {
    if (top > this.#mirror.length) {
      const grown = new Uint32Array(Math.min(this.max, Math.max(top, Math.ceil(this.#mirror.length * 1.5))));
      grown.set(this.#mirror);
      this.#mirror = grown;
    }
    this.#top = Math.max(this.#top, top);
  }

  /** The array as the kernel has it: `values` are the ids of places 0, 1, … in order of `keys`. */
  adopt(count: number, keys: Uint8Array, values: Uint8Array): void {
    const places = new DataView(keys.buffer, keys.byteOffset);
    const ids = new DataView(values.buffer, values.byteOffset);
    for (let i = 0; i < count; i++) {
      const id = ids.getUint32(i * 4, true);
      const place = places.getUint32(i * 4, true);
      if (id === 0 && place >= this.#mirror.length) continue;
      if (place >= this.#mirror.length) {
        const grown = new Uint32Array(Math.min(this.max, Math.max(place + 1, this.#mirror.length * 2)));
        grown.set(this.#mirror);
        this.#mirror = grown;
      }
      this.#mirror[place] = id;
    }
  }

  /** Keeps a segment that a frontend of the kernel points to from being given out. */
  adoptSegment(base: number, size: number): void {
    if (size === 0 || base + size > this.max || this.#users.has(base)) return;
    this.#adopted.set(base, size);
    this.#reserve(base + size);
  }

  /** Ends adoption: places below the top that no segment covers are free. */
  settle(): void {
    for (const [base, size] of this.#adopted) {
      this.#pending.push({ base, size });
    }
    const taken = [
      ...[...this.#users].map(([base, { size }]) => ({ base, size })),
      ...this.#pending,
      ...[...this.#free].flatMap(([size, bases]) => bases.map((base) => ({ base, size }))),
    ].sort((a, b) => a.base - b.base);
    let end = 0;
    for (const { base, size } of taken) {
      if (base > end) this.#release({ base: end, size: base - end });
      end = Math.max(end, base + size);
    }
    this.#adopted.clear();
  }

  #release({ base, size }: Extent): void {
    const bases = this.#free.get(size);
    if (bases) bases.push(base);
    else this.#free.set(size, [base]);
    this.#freePlaces += size;
  }

  #pop(size: number): number | undefined {
    const bases = this.#free.get(size);
    const base = bases?.pop();
    if (bases?.length === 0) this.#free.delete(size);
    if (base !== undefined) this.#freePlaces -= size;
    return base;
  }

  /** Free places of exactly this size, then new ones, then a part of larger ones, merged where they touch. */
  #allocate(size: number): number {
    const exact = this.#pop(size);
    if (exact !== undefined) return exact;
    if (this.#top + size <= this.max) {
      const base = this.#top;
      this.#reserve(base + size);
      return base;
    }
    if (this.#freePlaces < size) return -1;
    const extents = [...this.#free]
      .flatMap(([length, bases]) => bases.map((base) => ({ base, size: length })))
      .sort((a, b) => a.base - b.base);
    this.#free.clear();
    this.#freePlaces = 0;
    const merged: Extent[] = [];
    for (const extent of extents) {
      const last = merged.at(-1);
      if (last && last.base + last.size === extent.base) last.size += extent.size;
      else merged.push({ ...extent });
    }
    let found = -1;
    for (const extent of merged) {
      if (found < 0 && extent.size >= size) {
        found = extent.base;
        if (extent.size > size) this.#release({ base: extent.base + size, size: extent.size - size });
      } else {
        this.#release(extent);
      }
    }
    return found;
  }

  holds(base: number, ids: Uint32Array): boolean {
    const adopted = this.#adopted.get(base) ?? this.#users.get(base)?.size;
    if (adopted !== ids.length) return false;
    for (let i = 0; i < ids.length; i++) if (this.#mirror[base + i] !== ids[i]) return false;
    return true;
  }

  /** One more frontend points to a segment that is there. */
  share(base: number, size: number): void {
    if (size === 0) return;
    this.#adopted.delete(base);
    const entry = this.#users.get(base);
    if (entry) {
      entry.users++;
      return;
    }
    this.#users.set(base, { size, users: 1, parked: 0 });
    this.#used += size;
  }

  /** A new segment. Returns its base, or -1 when there is no room. */
  add(ids: Uint32Array): number {
    if (ids.length === 0) return 0;
    const base = this.#allocate(ids.length);
    if (base < 0) return -1;
    this.#mirror.set(ids, base);
    this.#unwritten.add(base);
    this.share(base, ids.length);
    return base;
  }

  /** A frontend points to it no more. */
  drop(base: number, size: number): void {
    if (size === 0) return;
    const entry = this.#users.get(base);
    if (!entry || --entry.users > 0) return;
    this.#users.delete(base);
    this.#unwritten.delete(base);
    this.#used -= size;
    this.#pending.push({ base, size });
  }

  /** One of its users waits for its place among the frontends (true), or has got it (false). */
  park(base: number, size: number, parked: boolean): void {
    const entry = size === 0 ? undefined : this.#users.get(base);
    if (entry) entry.parked += parked ? 1 : -1;
  }

  take(): MapWrite[] {
    const due = [...this.#unwritten].flatMap((base) => {
      const entry = this.#users.get(base);
      return entry && entry.users > entry.parked ? [{ base, size: entry.size }] : [];
    });
    const count = due.reduce((sum, { size }) => sum + size, 0);
    const keys = new Uint32Array(count);
    const values = new Uint32Array(count);
    let at = 0;
    for (const { base, size } of due) {
      for (let i = 0; i < size; i++) keys[at + i] = base + i;
      values.set(this.#mirror.subarray(base, base + size), at);
      at += size;
      this.#unwritten.delete(base);
    }
    for (const extent of this.#pending) this.#release(extent);
    this.#pending = [];
    if (count === 0) return [];
    const bytes = (words: Uint32Array) => new Uint8Array(words.buffer);
    return [{ map: 'picks', op: 'update', count, keys: bytes(keys), values: bytes(values) }];
  }
}
