// SPDX-License-Identifier: Apache-2.0

/**
 * Backends by identity: address, port and protocol, shared by all services that list them. Each has an id, which is its place
 * in the array map, for as long as a session may hold it:
 *
 *   live      some service lists it
 *   draining  nobody does; sessions go on until the deadline that the row holds
 *   free      generation raised, so that a session of before is not taken for one of the next owner
 *
 * A free id is given out again only after the `take` that wrote the free row, so no packet sees a row change its
 * owner.
 */
import { getAddress } from '../codec/address.ts';
import type { MapWrite } from '../cube-type.ts';
import { hashBytes, RowIndex } from '../packed-table.ts';

export const ROW = 32;
const IDENTITY = 20; // address, port, protocol, and flags, which the hash leaves out
const FLAGS = 19;
const GENERATION = 20;
const DEADLINE = 24;
const LIVE = 1;
const READY = 2;
const TCP = 6;
const UDP = 17;
const SCTP = 132;

/** 2^30 ns, the programs' unit of time, in seconds. */
const UNIT = 2 ** 30 / 1e9;

/** A duration in the programs' unit, rounded up. */
export function coarse(seconds: number): number {
  return Math.ceil(seconds / UNIT);
}

export interface Drain {
  /** Seconds, TCP and SCTP. */
  readonly stream: number;
  /** Seconds. */
  readonly datagram: number;
}

const key = new Uint8Array(IDENTITY);

export class Backends {
  readonly max: number;
  readonly #drain: Drain;
  #rows = new Uint8Array(64 * ROW);
  #refs = new Int32Array(64);
  #ready = new Int32Array(64);
  #top = 0;
  #free: number[] = [];
  #freed: number[] = [];
  readonly #index: RowIndex;
  #changed = new Set<number>();
  /** Live before: their new rows are written when no frontend points to them any more. */
  #leaving = new Set<number>();
  /** id → deadline in the programs' unit, as in the row. */
  readonly #draining = new Map<number, number>();
  #adopting = true;
  now = 0;

  constructor(max: number, drain: Drain) {
    this.max = max;
    this.#drain = drain;
    this.#index = new RowIndex((id) => this.#hash(this.#rows, id * ROW));
  }

  get used(): number {
    return this.#top - this.#free.length - this.#freed.length;
  }

  get bytes(): number {
    return this.#rows.byteLength + this.#refs.byteLength + this.#ready.byteLength + this.#index.bytes;
  }

  #hash(bytes: Uint8Array, at: number): number {
    for (let i = 0; i < FLAGS; i++) key[i] = bytes[at + i] as number;
    return hashBytes(key, 0, IDENTITY);
  }

  /** Who has an id; undefined while it is free. */
  row(id: number): { address: string; port: number; proto: number } | undefined {
    const at = id * ROW;
    if (id >= this.#top || !((this.#rows[at + FLAGS] as number) & LIVE)) return undefined;
    const port = ((this.#rows[at + 16] as number) << 8) | (this.#rows[at + 17] as number);
    return { address: getAddress(this.#rows, at), port, proto: this.#rows[at + 18] as number };
  }

  #find(identity: Uint8Array, at: number): number {
    const rows = this.#rows;
    return this.#index.find(this.#hash(identity, at), (id) => {
      // backwards: identities differ in port and host first
      for (let i = FLAGS - 1, row = id * ROW; i >= 0; i--)
        if (rows[row + i] !== identity[at + i]) return false;
      return true;
    });
  }

  #word(id: number, offset: number): number {
    const at = id * ROW + offset;
    const rows = this.#rows;
    return (
      ((rows[at] as number) |
        ((rows[at + 1] as number) << 8) |
        ((rows[at + 2] as number) << 16) |
        ((rows[at + 3] as number) << 24)) >>>
      0
    );
  }

  #setWord(id: number, offset: number, value: number): void {
    const at = id * ROW + offset;
    this.#rows[at] = value & 255;
    this.#rows[at + 1] = (value >>> 8) & 255;
    this.#rows[at + 2] = (value >>> 16) & 255;
    this.#rows[at + 3] = value >>> 24;
  }

  #reserve(top: number): void {
    if (top * ROW > this.#rows.length) {
      const length = Math.max(top, Math.min(this.max, Math.ceil((this.#rows.length / ROW) * 1.25)));
      const rows = new Uint8Array(length * ROW);
      const refs = new Int32Array(length);
      const ready = new Int32Array(length);
      rows.set(this.#rows);
      refs.set(this.#refs);
      ready.set(this.#ready);
      this.#rows = rows;
      this.#refs = refs;
      this.#ready = ready;
    }
    this.#top = Math.max(this.#top, top);
  }

  /** The rows of the kernel. Those that no service lists before `settle` drain. */
  adopt(count: number, keys: Uint8Array, values: Uint8Array): void {
    const ids = new DataView(keys.buffer, keys.byteOffset);
    const free: number[] = [];
    for (let i = 0; i < count; i++) {
      const id = ids.getUint32(i * 4, true);
      const at = i * ROW;
      const live = ((values[at + FLAGS] as number) & LIVE) !== 0;
      const touched =
        live || values.subarray(at + GENERATION, at + GENERATION + 4).some((byte) => byte !== 0);
      if (!touched || id >= this.max) continue;
      for (let hole = this.#top; hole < id; hole++) free.push(hole);
      this.#reserve(id + 1);
      this.#rows.set(values.subarray(at, at + ROW), id * ROW);
      if (live) this.#index.add(this.#hash(this.#rows, id * ROW), id);
      else free.push(id);
    }
    for (const id of free.reverse()) this.#free.push(id); // low ids first; too many for one call
  }

  /** The rows of the image that this one follows. */
  adoptFrom(previous: Backends): void {
    const keys = Uint32Array.from({ length: previous.#top }, (_, id) => id);
    this.now = previous.now;
    this.adopt(previous.#top, new Uint8Array(keys.buffer), previous.#rows.slice(0, previous.#top * ROW));
  }

  settle(): void {
    if (!this.#adopting) return;
    this.#adopting = false;
    for (let id = 0; id < this.#top; id++) {
      const flags = this.#rows[id * ROW + FLAGS] as number;
      if (!(flags & LIVE) || (this.#refs[id] as number) > 0) {
        if (flags & READY && this.#ready[id] === 0) this.#leaveReady(id);
        continue;
      }
      const deadline = this.#word(id, DEADLINE);
      if (deadline === 0) this.#startDrain(id);
      else this.#draining.set(id, deadline);
    }
  }

  /**
   * One more service lists the backend: `identity` holds its address, port and protocol from `at` on as in the row. Returns
   * its id, or -1 when the table is full.
   */
  acquire(identity: Uint8Array, at: number, ready: boolean): number {
    let id = this.#find(identity, at);
    if (id < 0) {
      const free = this.#free.pop();
      if (free === undefined && this.#top >= this.max) return -1;
      id = free ?? this.#top;
      this.#reserve(id + 1);
      for (let i = 0; i < FLAGS; i++) this.#rows[id * ROW + i] = identity[at + i] as number;
      this.#rows[id * ROW + FLAGS] = LIVE;
      this.#setWord(id, DEADLINE, 0);
      this.#index.add(this.#hash(this.#rows, id * ROW), id);
      this.#changed.add(id);
    } else if (this.#word(id, DEADLINE) !== 0) {
      this.#setWord(id, DEADLINE, 0);
      this.#draining.delete(id);
      this.#leaving.delete(id);
      this.#changed.add(id);
    }
    this.#refs[id] = (this.#refs[id] as number) + 1;
    if (ready) {
      this.#ready[id] = (this.#ready[id] as number) + 1;
      if (!((this.#rows[id * ROW + FLAGS] as number) & READY)) {
        this.#rows[id * ROW + FLAGS] = LIVE | READY;
        this.#leaving.delete(id);
        this.#changed.add(id);
      }
    }
    return id;
  }

  /** One service fewer lists it. */
  release(id: number, ready: boolean): void {
    this.#refs[id] = (this.#refs[id] as number) - 1;
    if (ready) this.#ready[id] = (this.#ready[id] as number) - 1;
    if (this.#adopting) return;
    if (this.#ready[id] === 0 && (this.#rows[id * ROW + FLAGS] as number) & READY) this.#leaveReady(id);
    if (this.#refs[id] === 0) this.#startDrain(id);
  }

  #leaveReady(id: number): void {
    this.#rows[id * ROW + FLAGS] = LIVE;
    this.#leaving.add(id);
  }

  #startDrain(id: number): void {
    const proto = this.#rows[id * ROW + 18] as number;
    const drain = proto === UDP ? this.#drain.datagram : this.#drain.stream;
    const deadline = Math.max(1, Math.floor(this.now / UNIT) + coarse(drain));
    this.#rows[id * ROW + FLAGS] = LIVE;
    this.#setWord(id, DEADLINE, deadline);
    this.#draining.set(id, deadline);
    this.#leaving.add(id);
  }

  /** Frees backends whose deadline is over. Returns the next deadline in seconds. */
  tick(now: number): number | undefined {
    this.now = Math.max(this.now, now);
    let next: number | undefined;
    const passed = Math.floor(this.now / UNIT);
    for (const [id, deadline] of this.#draining) {
      if (passed <= deadline) {
        next = Math.min(next ?? deadline, deadline);
        continue;
      }
      this.#draining.delete(id);
      this.#index.remove(this.#hash(this.#rows, id * ROW), id);
      const generation = (this.#word(id, GENERATION) + 1) >>> 0;
      this.#rows.fill(0, id * ROW, (id + 1) * ROW);
      this.#setWord(id, GENERATION, generation || 1);
      this.#leaving.add(id);
      this.#freed.push(id);
    }
    return next === undefined ? undefined : (next + 1) * UNIT;
  }

  /** `arriving` before any frontend points to them, `leaving` after none does. */
  take(): { arriving: MapWrite[]; leaving: MapWrite[] } {
    const arriving = this.#pack(this.#changed);
    const leaving = this.#pack(this.#leaving, this.#changed);
    this.#changed = new Set();
    this.#leaving = new Set();
    for (const id of this.#freed) this.#free.push(id);
    this.#freed = [];
    return { arriving, leaving };
  }

  /**
   * A row that both arrives and leaves within one take was never seen by a packet, or is as it was: the last
   * state is written, once.
   */
  #pack(ids: ReadonlySet<number>, except?: ReadonlySet<number>): MapWrite[] {
    const list = except ? [...ids].filter((id) => !except.has(id)) : [...ids];
    if (list.length === 0) return [];
    const keys = Uint32Array.from(list);
    const values = new Uint8Array(list.length * ROW);
    list.forEach((id, i) => {
      values.set(this.#rows.subarray(id * ROW, (id + 1) * ROW), i * ROW);
    });
    return [{ map: 'backends', op: 'update', count: list.length, keys: new Uint8Array(keys.buffer), values }];
  }
}

export const PROTOCOLS = { TCP, UDP, SCTP } as const;
