// SPDX-License-Identifier: Apache-2.0
/** What a load balancer remembers: halves of sessions and affinities, as its maps hold them. */

/** Flags of a half, as they stand in the map. */
export const ESTABLISHED = 1;
export const REPLIED = 2;
export const CLOSED_BY_CLIENT = 4;
export const CLOSED_BY_SERVER = 8;
export const RESET = 16;
/** It began in the middle of a connection: there is no SYN-ACK to acknowledge. */
export const MIDSTREAM = 32;
export const CLOSING = CLOSED_BY_CLIENT | CLOSED_BY_SERVER | RESET;

/** `own` of a half. */
export const HAIRPIN = 1;
export const PORT_CHANGED = 2;
export const MASQUERADED = 4;
/** The backend has a connection of its own that looks like it. */
export const TAKEN = 8;

export const TABLES = ['established', 'embryonic'] as const;
export type Table = (typeof TABLES)[number];

export const otherTable = (table: Table): Table => (table === 'established' ? 'embryonic' : 'established');

/** One direction of a session. The key is what {@link keyOf} makes of the packets of that direction. */
export interface Half {
  /** Of its last packet, in units of 2^30 ns since the boot. */
  readonly seen: number;
  readonly proof: number;
  readonly flags: number;
  readonly own: number;
  /** Of a client's UDP packets: departures of the backend that it has heard of. */
  readonly mark: number;
  /** Row of the backend, and its generation. */
  readonly backend: number;
  readonly generation: number;
  /** Of the client's packets: its port as the backend sees it; of replies: the client's own. */
  readonly port: number;
  /** Of replies: where the client sent its packets to. */
  readonly frontendPort: number;
  readonly frontend: string;
  /** Of replies to a source that stands for the client: the client. */
  readonly client: string;
}

export const NO_ADDRESS = '\0'.repeat(16);

export function encodeHalf(half: Half): Buffer {
  const bytes = Buffer.alloc(56);
  bytes.writeUInt32LE(half.seen, 0);
  bytes.writeUInt32LE(half.proof, 4);
  bytes[8] = half.flags;
  bytes[9] = half.own;
  bytes.writeUInt16LE(half.mark, 10);
  bytes.writeUInt32LE(half.backend, 12);
  bytes.writeUInt32LE(half.generation, 16);
  bytes.writeUInt16BE(half.port, 20);
  bytes.writeUInt16BE(half.frontendPort, 22);
  bytes.write(half.frontend, 24, 'latin1');
  bytes.write(half.client, 40, 'latin1');
  return bytes;
}

export function decodeHalf(bytes: Buffer): Half {
  return {
    seen: bytes.readUInt32LE(0),
    proof: bytes.readUInt32LE(4),
    flags: bytes.readUInt8(8),
    own: bytes.readUInt8(9),
    mark: bytes.readUInt16LE(10),
    backend: bytes.readUInt32LE(12),
    generation: bytes.readUInt32LE(16),
    port: bytes.readUInt16BE(20),
    frontendPort: bytes.readUInt16BE(22),
    frontend: bytes.toString('latin1', 24, 40),
    client: bytes.toString('latin1', 40, 56),
  };
}

/** Whether two halves of one key are of one session. */
export function isSame(a: Half, b: Half): boolean {
  return (
    a.port === b.port &&
    a.frontendPort === b.frontendPort &&
    a.frontend === b.frontend &&
    a.client === b.client &&
    a.backend === b.backend &&
    a.generation === b.generation
  );
}

/** Which backend a client keeps. */
export interface Affinity {
  readonly backend: number;
  readonly generation: number;
  readonly seen: number;
}

/** Tables of which the changes of one packet can be taken back, and which tell what the packet looked at. */
export class State {
  readonly sessions: Record<Table, Map<string, Half>> = { established: new Map(), embryonic: new Map() };
  /** By client and group. */
  readonly affinities = new Map<string, Affinity>();
  readonly touched: Record<Table, Set<string>> = { established: new Set(), embryonic: new Set() };
  readonly touchedAffinities = new Set<string>();
  #undo: (() => void)[] = [];

  begin(): void {
    this.#undo = [];
    for (const table of TABLES) this.touched[table].clear();
    this.touchedAffinities.clear();
  }

  rollBack(): void {
    for (const undo of this.#undo.reverse()) undo();
    this.begin();
  }

  get(table: Table, key: string): Half | undefined {
    this.touched[table].add(key);
    return this.sessions[table].get(key);
  }

  set(table: Table, key: string, half: Half | undefined): void {
    const map = this.sessions[table];
    const before = this.get(table, key);
    if (half === before) return;
    this.#undo.push(() => put(map, key, before));
    put(map, key, half);
  }

  affinity(key: string): Affinity | undefined {
    this.touchedAffinities.add(key);
    return this.affinities.get(key);
  }

  setAffinity(key: string, value: Affinity): void {
    const before = this.affinity(key);
    this.#undo.push(() => put(this.affinities, key, before));
    this.affinities.set(key, value);
  }
}

function put<Value>(map: Map<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
