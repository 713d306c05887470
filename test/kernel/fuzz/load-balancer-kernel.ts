// SPDX-License-Identifier: Apache-2.0
/** What the maps of a load balancer hold, read for the comparison with its model. */
import type { Balancer } from '../support/balancer.ts';
import type { Choices, ModelBackend } from './load-balancer-model.ts';
import { type ModelServices, type Place, placeOf } from './load-balancer-services.ts';
import {
  type Affinity,
  decodeHalf,
  encodeHalf,
  type Half,
  type State,
  TABLES,
  type Table,
} from './load-balancer-state.ts';
import { UDP } from './load-balancer-tuple.ts';

const LIVE = 1;
const READY = 2;
const ROW = 32;
const KEY = 40;
const HALF = 56;
const AFFINITY = 12;

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Rows that the agent writes. */
export class Rows {
  readonly #balancer: Balancer;
  readonly #gone: (protocol: number) => boolean;
  readonly #live = new Set<number>();
  /** Which backends each Service listed at the last reading. */
  #listed: ModelServices['listed'] = new Map();
  backends = new Map<number, ModelBackend>();
  /** Numbers of what shares affinity, by the model's name. */
  groups = new Map<string, number>();

  constructor(balancer: Balancer) {
    this.#balancer = balancer;
    const { drainSeconds, udpDrainSeconds } = balancer.spec;
    // any other time to drain lies after the end of the test
    this.#gone = (protocol) => (protocol === UDP ? udpDrainSeconds : drainSeconds) === 0;
  }

  isLive(id: number): boolean {
    return this.#live.has(id);
  }

  /** Where the sessions that backends were picked for are counted otherwise. */
  countDifferences(picked: ReadonlyMap<number, number>): string[] {
    const { keys, values, count } = this.#balancer.cube.map('backend_counters').dumpSync();
    return Array.from({ length: count }, (_, i): [number, number] => [
      keys.readUInt32LE(i * 4),
      Number(values.readBigUInt64LE(i * 8)),
    ])
      .filter(([id, sessions]) => sessions !== (picked.get(id) ?? 0))
      .map(
        ([id, sessions]) => `backend ${id}: model ${picked.get(id) ?? 0} new sessions, kernel ${sessions}`,
      );
  }

  /** Reads all rows; returns where they differ from what the services ask for. */
  read({ frontends, backends, listed }: ModelServices): string[] {
    const left = new Set<Place>();
    for (const [name, places] of this.#listed)
      for (const place of places) if (!listed.get(name)?.has(place)) left.add(place);
    this.#listed = listed;
    return [...this.#readBackends(backends, left), ...this.#readFrontends(frontends)];
  }

  /** @param left by a Service since the last reading. */
  #readBackends(wanted: ReadonlyMap<Place, boolean>, left: ReadonlySet<Place>): string[] {
    const found: string[] = [];
    const live = new Map<Place, { takes: boolean; deadline: number }>();
    const { keys, values, count } = this.#balancer.cube.map('backends').dumpSync();
    const before = this.backends;
    this.backends = new Map();
    this.#live.clear();
    for (let i = 0; i < count; i++) {
      const row = values.subarray(i * ROW, (i + 1) * ROW);
      const flags = row.readUInt8(19);
      const [port, protocol, deadline] = [row.readUInt16BE(16), row.readUInt8(18), row.readUInt32LE(24)];
      const address = row.toString('latin1', 0, 16);
      const place = placeOf(address, port, protocol);
      const isLive = (flags & LIVE) !== 0;
      const takes = (flags & READY) !== 0;
      const isGone = !isLive || (deadline !== 0 && this.#gone(protocol));
      const generation = row.readUInt32LE(20);
      const id = keys.readUInt32LE(i * 4);
      const departures = row.readUInt32LE(28);
      this.backends.set(id, { address, port, place, generation, isGone, takes, departures });
      const known = before.get(id);
      const same = known?.generation === generation ? known.departures : 0;
      const departs = protocol === UDP && wanted.has(place) && left.has(place);
      if (departures % 2 !== 0 || departures > same !== departs)
        found.push(`backend ${id}: ${departures} departures after ${same}, one more: ${departs}`);
      if (!isLive) continue;
      this.#live.add(keys.readUInt32LE(i * 4));
      if (live.has(place)) found.push(`two rows of backend ${bytesOf(place).toString('hex')}`);
      live.set(place, { takes, deadline });
    }
    for (const [place, takes] of wanted) {
      const row = live.get(place);
      if (row?.deadline !== 0 || row.takes !== takes) {
        found.push(`backend ${bytesOf(place).toString('hex')} takes ${takes}: ${JSON.stringify(row)}`);
      }
    }
    for (const [place, row] of live) {
      if (!wanted.has(place) && (row.deadline === 0 || row.takes))
        found.push(`nobody lists backend ${bytesOf(place).toString('hex')}: ${JSON.stringify(row)}`);
    }
    return found;
  }

  #readFrontends(wanted: ModelServices['frontends']): string[] {
    const found: string[] = [];
    const { keys, values, count } = this.#balancer.cube.map('frontends').dumpSync();
    if (count !== wanted.size) found.push(`${count} frontends, not ${wanted.size}`);
    const names = new Map<number, string>();
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * 24, (i + 1) * 24);
      const frontend = wanted.get(
        placeOf(key.toString('latin1', 0, 16), key.readUInt16BE(16), key.readUInt8(18)),
      );
      const value = values.subarray(i * 24, (i + 1) * 24);
      if (!frontend) {
        found.push(`a frontend that nobody asks for: ${key.toString('hex')}`);
        continue;
      }
      if ((value.readUInt32LE(4) === 0) !== (frontend.candidates.size === 0))
        found.push('picks without candidates');
      const group = value.readUInt32LE(8);
      if (group === 0) continue;
      if ((names.get(group) ?? frontend.group) !== frontend.group)
        found.push(`two groups have number ${group}`);
      names.set(group, frontend.group);
      this.groups.set(frontend.group, group);
    }
    return found;
  }
}

/** Rows that the program writes. */
export class Halves implements Choices {
  readonly #balancer: Balancer;
  readonly #rows: Rows;

  constructor(balancer: Balancer, rows: Rows) {
    this.#balancer = balancer;
    this.#rows = rows;
  }

  half(table: Table, key: string): Half | undefined {
    const value = this.#balancer.cube.map(table).lookup(bytesOf(key));
    return value ? decodeHalf(value) : undefined;
  }

  write(table: Table, key: string, half: Half | undefined): void {
    const map = this.#balancer.cube.map(table);
    if (half) map.update(bytesOf(key), encodeHalf(half));
    else map.delete(bytesOf(key));
  }

  writeAffinity(key: string, { backend, generation, seen }: Affinity): void {
    const value = Buffer.alloc(AFFINITY);
    [backend, generation, seen].forEach((word, i) => {
      value.writeUInt32LE(word, 4 * i);
    });
    this.#balancer.cube.map('affinity').update(this.#affinityKey(key), value);
  }

  #affinityKey(key: string): Buffer {
    const bytes = Buffer.alloc(24);
    bytes.write(key.slice(0, 16), 0, 'latin1');
    bytes.writeUInt32LE(this.#rows.groups.get(key.slice(16)) ?? 0, 16);
    return bytes;
  }

  /** What differs among the rows that one packet was concerned with. */
  differences(state: State): string[] {
    const found: string[] = [];
    for (const table of TABLES) {
      const map = this.#balancer.cube.map(table);
      for (const key of state.touched[table]) {
        const difference = differs(table, key, state.sessions[table].get(key), map.lookup(bytesOf(key)));
        if (difference) found.push(difference);
      }
    }
    for (const key of state.touchedAffinities) {
      const actual = this.#balancer.cube.map('affinity').lookup(this.#affinityKey(key));
      const expected = state.affinities.get(key);
      const words = expected && [expected.backend, expected.generation, expected.seen].join();
      const seen = actual && [0, 4, 8].map((at) => actual.readUInt32LE(at)).join();
      if (words !== seen)
        found.push(`affinity ${bytesOf(key).toString('hex')}: model ${words}, kernel ${seen}`);
    }
    return found;
  }

  /** What differs among all sessions. */
  allDifferences(state: State): string[] {
    const found: string[] = [];
    for (const table of TABLES) {
      const { keys, values, count } = this.#balancer.cube.map(table).dumpSync();
      const expected = state.sessions[table];
      if (count !== expected.size) found.push(`${table}: model ${expected.size} halves, kernel ${count}`);
      for (let i = 0; i < count; i++) {
        const key = keys.toString('latin1', i * KEY, (i + 1) * KEY);
        const difference = differs(table, key, expected.get(key), values.subarray(i * HALF, (i + 1) * HALF));
        if (difference) found.push(difference);
      }
    }
    const affinities = this.#balancer.cube.map('affinity').dumpSync().count;
    if (affinities !== state.affinities.size)
      found.push(`affinity: model ${state.affinities.size} clients, kernel ${affinities}`);
    return found.slice(0, 10);
  }
}

function differs(
  table: Table,
  key: string,
  expected: Half | undefined,
  actual: Buffer | undefined,
): string | undefined {
  if (!expected && !actual) return undefined;
  if (expected && actual && encodeHalf(expected).equals(actual)) return undefined;
  const words = (half: Half | undefined) =>
    half && JSON.stringify({ ...half, frontend: bytesOf(half.frontend).toString('hex') });
  const theirs = actual && decodeHalf(actual);
  return `${table} ${bytesOf(key).toString('hex')}:\n  model  ${words(expected)}\n  kernel ${words(theirs)}`;
}
