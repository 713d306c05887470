// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { keyOf } from './objects.ts';
import type { SourceObject } from './sources/source.ts';

export interface Slice {
  readonly owner: string;
  readonly index: number;
  readonly count: number;
  readonly revision: string;
}

/**
 * A CubeTable as it is kept: its rows are deflated JSON, parsed only when they are applied. The JSON of 250,000 backends is
 * 35 MB, deflated 5 MB.
 */
export interface PackedTable {
  readonly key: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly type: string;
  readonly slice: Slice | undefined;
  /** Of this agent: every cube that selects its type gets it. */
  readonly isOwn?: boolean;
  /** One character a byte: thousands of small buffers would leave holes in malloc's heap, strings are moved together. */
  readonly rows: string;
}

export interface TableChange {
  readonly key: string;
  readonly before: PackedTable | undefined;
  readonly after: PackedTable | undefined;
}

/** Member of `CubeTable.spec` by its type. */
const MEMBERS: Readonly<Record<string, string>> = {
  Service: 'services',
  Route: 'routes',
  Policy: 'policies',
  Identity: 'identities',
  Rule: 'rules',
  Prefix: 'prefixes',
  Limit: 'limits',
  Announcement: 'announcements',
};

export function pack(object: SourceObject): PackedTable {
  const spec = object.spec as { type: string; slice?: Partial<Slice> } & Record<string, unknown>;
  const own = (spec[MEMBERS[spec.type] ?? ''] ?? []) as readonly unknown[];
  const file = spec.prefixFile as { name: string; list: string } | undefined;
  // a file that the source has not read: who gets the row says so
  const rows = file === undefined ? own : [...own, { file: file.name, list: file.list }];
  const slice = spec.slice;
  return {
    key: keyOf(object.metadata),
    namespace: object.metadata.namespace ?? '',
    labels: object.metadata.labels,
    type: spec.type,
    slice: slice && {
      owner: slice.owner ?? '',
      index: slice.index ?? 0,
      count: slice.count ?? 1,
      revision: slice.revision ?? '',
    },
    rows: deflated(JSON.stringify(rows)),
  };
}

/** A table that no object stands behind. */
export function packOwn(key: string, type: string, rows: readonly unknown[]): PackedTable {
  const none = { namespace: '', labels: undefined, slice: undefined };
  return { key, ...none, type, isOwn: true, rows: deflated(JSON.stringify(rows)) };
}

export function unpack(table: PackedTable): readonly unknown[] {
  return JSON.parse(inflateRawSync(Buffer.from(table.rows, 'latin1'), ZLIB).toString()) as unknown[];
}

/** Small tables, so a small window: its memory is taken and given back at each call. */
const ZLIB = { level: 1, windowBits: 12, memLevel: 4, chunkSize: 8192 } as const;

function deflated(text: string): string {
  return deflateRawSync(text, ZLIB).toString('latin1');
}

function equal(a: PackedTable, b: PackedTable): boolean {
  return a.rows === b.rows && isDeepStrictEqual(a.slice, b.slice) && isDeepStrictEqual(a.labels, b.labels);
}

interface Group {
  readonly members: Set<string>;
  /** Keys of the set in force. */
  applied: Set<string>;
}

/**
 * All CubeTables, and which of them are in force. The slices of one owner come into force together, when all slices of
 * one revision are there; until then the revision before stays, although its slices may have been overwritten.
 */
export class TableStore {
  readonly #stored = new Map<string, PackedTable>();
  readonly #applied = new Map<string, PackedTable>();
  readonly #groups = new Map<string, Group>();
  /** What was in force at the last take, for keys that may have changed since. */
  readonly #before = new Map<string, PackedTable | undefined>();

  /** Of #applied, those that removals() counts. */
  #counted = 0;

  /** Tables in force. */
  get applied(): ReadonlyMap<string, PackedTable> {
    return this.#applied;
  }

  get size(): number {
    return this.#stored.size;
  }

  /** Of all tables that objects stand behind. */
  keys(): string[] {
    return [...this.#stored.values()].flatMap(({ key, isOwn }) => (isOwn === true ? [] : [key]));
  }

  /** Takes all tables out that objects stand behind. */
  drain(): PackedTable[] {
    const tables = this.keys().flatMap((key) => this.#stored.get(key) ?? []);
    for (const { key } of tables) this.delete(key);
    return tables;
  }

  /** Returns whether anything is in force now that was not. */
  set(table: PackedTable): boolean {
    const old = this.#stored.get(table.key);
    if (old !== undefined && equal(old, table)) return false;
    this.#stored.set(table.key, table);
    if (old !== undefined && groupOf(old) !== groupOf(table)) this.#leave(old);
    return this.#join(table);
  }

  delete(key: string): boolean {
    const old = this.#stored.get(key);
    if (old === undefined) return false;
    this.#stored.delete(key);
    return this.#leave(old);
  }

  /** What came into force or went since the last call. */
  take(): TableChange[] {
    const changes: TableChange[] = [];
    for (const [key, before] of this.#before) {
      const after = this.#applied.get(key);
      if (after !== before) changes.push({ key, before, after });
    }
    this.#before.clear();
    return changes;
  }

  /**
   * What the next take would remove, and how many tables were in force before. Identities do not count: one more label in a
   * policy replaces most of them, and without a policy there are none.
   */
  removals(): { removed: number; of: number } {
    let [removed, added] = [0, 0];
    for (const [key, before] of this.#before) {
      const after = this.#applied.get(key);
      if (isCounted(before) && !after) removed++;
      if (!before && isCounted(after)) added++;
    }
    return { removed, of: this.#counted + removed - added };
  }

  #join(table: PackedTable): boolean {
    const name = groupOf(table);
    if (name === undefined) return this.#put(table.key, table);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { members: new Set(), applied: new Set() };
      this.#groups.set(name, group);
    }
    group.members.add(table.key);
    return this.#settle(name, group, table.slice?.revision);
  }

  #leave(table: PackedTable): boolean {
    const name = groupOf(table);
    if (name === undefined) return this.#put(table.key, undefined);
    const group = this.#groups.get(name);
    if (group === undefined) return false;
    group.members.delete(table.key);
    return this.#settle(name, group, undefined);
  }

  #settle(name: string, group: Group, newest: string | undefined): boolean {
    if (group.members.size === 0) {
      this.#groups.delete(name);
      return this.#apply(group, []);
    }
    const revisions = new Map<string, PackedTable[]>();
    for (const key of group.members) {
      const table = this.#stored.get(key);
      if (table?.slice === undefined) continue;
      const list = revisions.get(table.slice.revision);
      if (list === undefined) revisions.set(table.slice.revision, [table]);
      else list.push(table);
    }
    const order = newest === undefined ? [...revisions.keys()] : [newest, ...revisions.keys()];
    for (const revision of order) {
      const tables = revisions.get(revision);
      if (tables !== undefined && isComplete(tables)) return this.#apply(group, tables);
    }
    return false;
  }

  #apply(group: Group, tables: readonly PackedTable[]): boolean {
    const now = new Set(tables.map((table) => table.key));
    let changed = false;
    for (const table of tables) changed = this.#put(table.key, table) || changed;
    for (const key of group.applied) if (!now.has(key)) changed = this.#put(key, undefined) || changed;
    group.applied = now;
    return changed;
  }

  #put(key: string, table: PackedTable | undefined): boolean {
    const before = this.#applied.get(key);
    if (before === table) return false;
    if (!this.#before.has(key)) this.#before.set(key, before);
    if (isCounted(before)) this.#counted--;
    if (isCounted(table)) this.#counted++;
    if (table === undefined) this.#applied.delete(key);
    else this.#applied.set(key, table);
    return true;
  }
}

const isCounted = (table: PackedTable | undefined): boolean =>
  table !== undefined && table.type !== 'Identity' && table.isOwn !== true;

function groupOf(table: PackedTable): string | undefined {
  return table.slice && `${table.namespace} ${table.type} ${table.slice.owner}`;
}

function isComplete(tables: readonly PackedTable[]): boolean {
  const indexes = new Set(tables.map((table) => table.slice?.index));
  const count = tables[0]?.slice?.count ?? 1;
  for (let i = 0; i < count; i++) if (!indexes.has(i)) return false;
  return tables.every((table) => table.slice?.count === count);
}
