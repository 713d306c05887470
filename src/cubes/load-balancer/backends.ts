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
import { backendCounters as counters } from './generated/codec.ts';

export const ROW = 32;
const IDENTITY = 20; // address, port, protocol, and flags, which the hash leaves out
const FLAGS = 19;
const GENERATION = 20;
const DEADLINE = 24;
const DEPARTURES = 28;
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

/** When a row with this deadline is freed, in seconds: the programs' clock may be some milliseconds behind, so a unit later. */
function freeFrom(deadline: number): number {
  return (deadline + 1) * UNIT;
}

export interface Drain {
  /** Seconds, TCP and SCTP. */
  readonly stream: number;
  /** Seconds. */
  readonly datagram: number;
}

/** Rows lie in chunks of so many, so that growth never copies them. */
const CHUNK_SHIFT = 10;
const CHUNK = 1 << CHUNK_SHIFT;

/** What the next `take` has to write of a row. */
const CHANGED = 1;
/** Live before: its new row is written when no frontend points to it any more. */
const LEAVING = 2;
/** Some service lists it no longer: told before its frontends change, and after. */
const DEPARTING = 4;

/** Programs compare departures in 16 bits, of which 0 is for rows that nobody has departed from. */
const MOST_DEPARTURES = 0xfffe;

const key = new Uint8Array(IDENTITY);

export class Backends {
  readonly max: number;
  readonly #drain: Drain;
  readonly #chunks: Uint8Array[] = [];
  #refs = new Int32Array(CHUNK);
  #ready = new Int32Array(CHUNK);
  /** Of CHANGED, LEAVING and DEPARTING. */
  #marks = new Uint8Array(CHUNK);
  /** Ids that may have a mark. */
  #queue: number[] = [];
  #top = 0;
  #free: number[] = [];
  #freed: number[] = [];
  readonly #index: RowIndex;
  /** id → deadline in the programs' unit, as in the row. */
  readonly #draining = new Map<number, number>();
  #adopting = true;
  now = 0;
  /** How many rows of UDP have been freed: sockets that stay connected to them hear nobody. */
  ended = 0;

  constructor(max: number, drain: Drain) {
    this.max = max;
    this.#drain = drain;
    this.#index = new RowIndex((id) => hashOf(this.#chunk(id), this.#at(id)));
  }

  get used(): number {
    return this.#top - this.#free.length - this.#freed.length;
  }

  get bytes(): number {
    const { byteLength } = this.#marks;
    return this.#chunks.length * CHUNK * ROW + byteLength * 9 + this.#index.bytes;
  }

  #chunk(id: number): Uint8Array {
    return this.#chunks[id >> CHUNK_SHIFT] as Uint8Array;
  }

  #at(id: number): number {
    return (id & (CHUNK - 1)) * ROW;
  }

  #flags(id: number): number {
    return this.#chunk(id)[this.#at(id) + FLAGS] as number;
  }

  #setFlags(id: number, flags: number): void {
    this.#chunk(id)[this.#at(id) + FLAGS] = flags;
  }

  /** Who has an id; undefined while it is free. */
  row(id: number): { address: string; port: number; proto: number } | undefined {
    if (id >= this.#top || !(this.#flags(id) & LIVE)) return undefined;
    const chunk = this.#chunk(id);
    const at = this.#at(id);
    const port = ((chunk[at + 16] as number) << 8) | (chunk[at + 17] as number);
    return { address: getAddress(chunk, at), port, proto: chunk[at + 18] as number };
  }

  #find(hash: number, identity: Uint8Array, at: number): number {
    return this.#index.find(hash, (id) => {
      const chunk = this.#chunk(id);
      // backwards: identities differ in port and host first
      for (let i = FLAGS - 1, row = this.#at(id); i >= 0; i--)
        if (chunk[row + i] !== identity[at + i]) return false;
      return true;
    });
  }

  #mark(id: number, mark: number): void {
    if (this.#marks[id] === 0) this.#queue.push(id);
    this.#marks[id] = (this.#marks[id] as number) | mark;
  }

  #word(id: number, offset: number): number {
    const at = this.#at(id) + offset;
    const rows = this.#chunk(id);
    return (
      ((rows[at] as number) |
        ((rows[at + 1] as number) << 8) |
        ((rows[at + 2] as number) << 16) |
        ((rows[at + 3] as number) << 24)) >>>
      0
    );
  }

  #setWord(id: number, offset: number, value: number): void {
    const at = this.#at(id) + offset;
    const rows = this.#chunk(id);
    rows[at] = value & 255;
    rows[at + 1] = (value >>> 8) & 255;
    rows[at + 2] = (value >>> 16) & 255;
    rows[at + 3] = value >>> 24;
  }

  #reserve(top: number): void {
    while (this.#chunks.length * CHUNK < top) this.#chunks.push(new Uint8Array(CHUNK * ROW));
    if (top > this.#marks.length) {
      const length = Math.max(top, Math.ceil(this.#marks.length * 1.5));
      this.#refs = grown(this.#refs, new Int32Array(length));
      this.#ready = grown(this.#ready, new Int32Array(length));
      this.#marks = grown(this.#marks, new Uint8Array(length));
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
      this.#chunk(id).set(values.subarray(at, at + ROW), this.#at(id));
      if (live) this.#index.add(hashOf(values, at), id);
      else free.push(id);
    }
    for (const id of free.reverse()) this.#free.push(id); // low ids first; too many for one call
  }

  /** The rows of the image that this one follows. */
  adoptFrom(previous: Backends): void {
    const { keys, values } = previous.#packed(Uint32Array.from({ length: previous.#top }, (_, id) => id));
    this.now = previous.now;
    this.adopt(previous.#top, keys, values);
  }

  settle(): void {
    if (!this.#adopting) return;
    this.#adopting = false;
    for (let id = 0; id < this.#top; id++) {
      const flags = this.#flags(id);
      // its agent died between the two writes
      if (this.#word(id, DEPARTURES) & 1) this.#mark(id, DEPARTING);
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
    const hash = hashOf(identity, at);
    let id = this.#find(hash, identity, at);
    if (id < 0) {
      const free = this.#free.pop();
      if (free === undefined && this.#top >= this.max) return -1;
      id = free ?? this.#top;
      this.#reserve(id + 1);
      const chunk = this.#chunk(id);
      const row = this.#at(id);
      for (let i = 0; i < FLAGS; i++) chunk[row + i] = identity[at + i] as number;
      chunk[row + FLAGS] = LIVE;
      this.#setWord(id, DEADLINE, 0);
      this.#index.add(hash, id);
      this.#mark(id, CHANGED);
    } else if (this.#word(id, DEADLINE) !== 0) {
      this.#setWord(id, DEADLINE, 0);
      this.#draining.delete(id);
      this.#mark(id, CHANGED);
    }
    this.#refs[id] = (this.#refs[id] as number) + 1;
    if (ready) {
      this.#ready[id] = (this.#ready[id] as number) + 1;
      if (!(this.#flags(id) & READY)) {
        this.#setFlags(id, LIVE | READY);
        this.#mark(id, CHANGED);
      }
    }
    return id;
  }

  /** One service fewer lists it. */
  release(id: number, ready: boolean): void {
    this.#refs[id] = (this.#refs[id] as number) - 1;
    if (ready) this.#ready[id] = (this.#ready[id] as number) - 1;
    if (this.#adopting) return;
    if (this.#ready[id] === 0 && this.#flags(id) & READY) this.#leaveReady(id);
    if (this.#refs[id] === 0) this.#startDrain(id);
  }

  /**
   * A service, or one knows not which, lists the backend no longer. UDP clients that it still has by this service move if another
   * service lists it; if none does, they follow its drain.
   */
  depart(id: number): void {
    const isShared = (this.#refs[id] as number) > 0 && (this.#flags(id) & LIVE) !== 0;
    if (isShared && this.isDatagram(id)) this.#mark(id, DEPARTING);
  }

  /** Of each backend: frontends changed while nobody looked. */
  departAll(): void {
    for (let id = 0; id < this.#top; id++) this.depart(id);
  }

  isDatagram(id: number): boolean {
    return this.#chunk(id)[this.#at(id) + 18] === UDP;
  }

  #leaveReady(id: number): void {
    this.#setFlags(id, LIVE);
    this.#mark(id, LEAVING);
  }

  #startDrain(id: number): void {
    const drain = this.isDatagram(id) ? this.#drain.datagram : this.#drain.stream;
    // the unit that runs does not count: hardly any of it may be left
    const units = drain === 0 ? 0 : 1 + coarse(drain);
    const deadline = Math.max(1, Math.floor(this.now / UNIT) + units);
    this.#setFlags(id, LIVE);
    this.#setWord(id, DEADLINE, deadline);
    this.#draining.set(id, deadline);
    this.#mark(id, LEAVING);
  }

  /** Frees backends whose deadline is over. Returns the next deadline in seconds. */
  tick(now: number): number | undefined {
    this.now = Math.max(this.now, now);
    let next: number | undefined;
    for (const [id, deadline] of this.#draining) {
      if (this.now < freeFrom(deadline)) {
        next = Math.min(next ?? deadline, deadline);
        continue;
      }
      this.#draining.delete(id);
      const at = this.#at(id);
      if (this.isDatagram(id)) this.ended++;
      this.#index.remove(hashOf(this.#chunk(id), at), id);
      const generation = (this.#word(id, GENERATION) + 1) >>> 0;
      this.#chunk(id).fill(0, at, at + ROW);
      this.#setWord(id, GENERATION, generation || 1);
      this.#mark(id, LEAVING);
      this.#freed.push(id);
    }
    return next === undefined ? undefined : freeFrom(next);
  }

  /**
   * `arriving` before any frontend points to them, `leaving` after none does. A row that both arrives and leaves within one
   * take was never seen by a packet, or is as it was: the last state is written, once.
   */
  take(): { arriving: MapWrite[]; leaving: MapWrite[] } {
    const arriving: number[] = [];
    const leaving: number[] = [];
    const departing: number[] = [];
    for (const id of this.#queue) {
      const marks = this.#marks[id] as number;
      this.#marks[id] = 0;
      if (marks & DEPARTING && this.#flags(id) & LIVE && this.#word(id, DEADLINE) === 0) departing.push(id);
      else (marks & CHANGED ? arriving : leaving).push(id);
    }
    this.#queue = [];
    const freed = this.#freed;
    for (const id of freed) this.#free.push(id);
    this.#freed = [];
    for (const id of departing) this.#setWord(id, DEPARTURES, this.#word(id, DEPARTURES) | 1);
    const before = this.#writes([...arriving, ...departing]);
    for (const id of departing) this.#setWord(id, DEPARTURES, afterDeparture(this.#word(id, DEPARTURES)));
    return { arriving: before, leaving: [...countersOf(freed), ...this.#writes([...leaving, ...departing])] };
  }

  #writes(ids: readonly number[]): MapWrite[] {
    if (ids.length === 0) return [];
    const { keys, values } = this.#packed(Uint32Array.from(ids));
    return [{ map: 'backends', op: 'update', count: ids.length, keys, values }];
  }

  /** Keys and values as the kernel takes them. */
  #packed(ids: Uint32Array): { keys: Uint8Array; values: Uint8Array } {
    const values = new Uint8Array(ids.length * ROW);
    ids.forEach((id, i) => {
      const at = this.#at(id);
      values.set(this.#chunk(id).subarray(at, at + ROW), i * ROW);
    });
    return { keys: new Uint8Array(ids.buffer), values };
  }
}

function afterDeparture(odd: number): number {
  return odd > MOST_DEPARTURES ? 2 : odd + 1;
}

/** Rows that are free count from zero for their next owner. */
function countersOf(ids: readonly number[]): MapWrite[] {
  if (ids.length === 0) return [];
  const keys = new Uint8Array(Uint32Array.from(ids).buffer);
  const values = new Uint8Array(ids.length * counters.valueSize);
  return [{ map: 'backend_counters', op: 'update', count: ids.length, keys, values }];
}

function hashOf(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < FLAGS; i++) key[i] = bytes[at + i] as number;
  return hashBytes(key, 0, IDENTITY);
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

export const PROTOCOLS = { TCP, UDP, SCTP } as const;
