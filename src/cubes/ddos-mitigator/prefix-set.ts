// SPDX-License-Identifier: Apache-2.0

import { isMappedV4 } from '../codec/address.ts';
import { FULL_LENGTH, PREFIX_SIZE } from '../codec/prefix.ts';
/**
 * What a pair of maps, hash for full-length prefixes and trie for the others, should hold of one direction. Several tables
 * may name the same prefix, so each row counts who denies and who allows it.
 */
import type { MapWrite } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { ALLOW, DENY, type Kind, type Said } from './said.ts';
import type { V4Buckets } from './v4-buckets.ts';

/** An IPv6 prefix: `::/0` as a key holds the mapped IPv4 addresses too, which it does not mean. */
const IS_V6 = 4;

/** Numbers by row, growing. */
class Counts {
  #counts = new Uint16Array(1024);

  add(row: number, by: 1 | -1): number {
    if (row >= this.#counts.length) {
      const old = this.#counts;
      this.#counts = new Uint16Array(Math.max(row + 1, old.length * 2));
      this.#counts.set(old);
    }
    const count = (this.#counts[row] as number) + by;
    this.#counts[row] = count;
    return count;
  }

  get(row: number): number {
    return this.#counts[row] ?? 0;
  }
}

/** One of the two maps. */
class Rows {
  readonly table: PackedTable;
  readonly #denied = new Counts();
  readonly #allowed = new Counts();
  readonly #value = new Uint8Array(4);

  constructor(map: string, keySize: number, max: number) {
    this.table = new PackedTable(map, keySize, 4, max);
  }

  /** DENY, ALLOW or 0. */
  says(row: number): Said {
    if (row < 0) return 0;
    if (this.#allowed.get(row) > 0) return ALLOW;
    return this.#denied.get(row) > 0 ? DENY : 0;
  }

  /** Number of the row, or -1 when the table is full. */
  add(key: Uint8Array, at: number, kind: Kind, v6: boolean): number {
    const allowed = kind === ALLOW || this.says(this.table.row(key, at)) === ALLOW;
    this.#value[0] = (allowed ? ALLOW : DENY) | (v6 ? IS_V6 : 0);
    const row = this.table.set(key, this.#value, at);
    if (row >= 0) (kind === ALLOW ? this.#allowed : this.#denied).add(row, 1);
    return row;
  }

  /** Returns whether the row is gone. */
  remove(row: number, kind: Kind): boolean {
    (kind === ALLOW ? this.#allowed : this.#denied).add(row, -1);
    if (this.#allowed.get(row) > 0) return false;
    if (this.#denied.get(row) === 0) {
      this.table.deleteRow(row);
      return true;
    }
    this.#value[0] = DENY | ((this.table.value(row)[0] as number) & IS_V6);
    this.table.set(this.table.key(row).slice(), this.#value);
    return false;
  }
}

/** A row as one number: which of the two maps, denied or allowed, IPv6 or not, row. */
const CODES = 8;

export class PrefixSet {
  readonly hosts: PackedTable;
  readonly prefixes: PackedTable;
  readonly #hosts: Rows;
  readonly #prefixes: Rows;
  readonly #buckets: V4Buckets | undefined;
  /** Prefixes shorter than an address, by family. */
  #v4 = 0;
  #v6 = 0;

  /** `buckets`: follow what is said of IPv4 addresses. */
  constructor(
    options: { hosts: string; prefixes: string; maxHosts: number; maxPrefixes: number },
    buckets?: V4Buckets,
  ) {
    this.#buckets = buckets;
    this.#hosts = new Rows(options.hosts, PREFIX_SIZE - 4, options.maxHosts);
    this.#prefixes = new Rows(options.prefixes, PREFIX_SIZE, options.maxPrefixes);
    this.hosts = this.#hosts.table;
    this.prefixes = this.#prefixes.table;
  }

  get hasPrefixesV4(): boolean {
    return this.#v4 > 0;
  }

  get hasPrefixesV6(): boolean {
    return this.#v6 > 0;
  }

  /** Adds a `struct prefix_key`. Returns what `remove` takes, or -1 when there is no room. */
  add(key: Uint8Array, kind: Kind, v6: boolean): number {
    const full = key[0] === FULL_LENGTH;
    const row = full ? this.#addHost(key, kind) : this.#prefixes.add(key, 0, kind, v6);
    if (row < 0) return -1;
    if (!full && v6) this.#v6++;
    else if (!full) this.#v4++;
    return row * CODES + (full ? 0 : 1) + (kind === ALLOW ? 2 : 0) + (v6 ? 4 : 0);
  }

  #addHost(key: Uint8Array, kind: Kind): number {
    const before = this.#hosts.says(this.hosts.row(key, 4));
    const row = this.#hosts.add(key, 4, kind, false);
    if (row >= 0) this.#tellBuckets(row, before);
    return row;
  }

  #tellBuckets(row: number, before: Said): void {
    if (!this.#buckets) return;
    const after = this.#hosts.says(row);
    const key = this.hosts.key(row);
    if (after !== before && isMappedV4(key)) this.#buckets.change(key.subarray(12), before, after);
  }

  remove(code: number): void {
    const kind = code & 2 ? ALLOW : DENY;
    const row = Math.floor(code / CODES);
    if (!(code & 1)) {
      const before = this.#hosts.says(row);
      this.#hosts.remove(row, kind);
      this.#tellBuckets(row, before);
      return;
    }
    this.#prefixes.remove(row, kind);
    if (code & 4) this.#v6--;
    else this.#v4--;
  }

  /**
   * The row that decides about an address of 16 bytes, as the program finds it: its prefix, and whether a code of `add` is
   * of it.
   */
  match(address: Uint8Array): { readonly key: Uint8Array; isOf(code: number): boolean } | undefined {
    const v6 = !isMappedV4(address);
    const key = new Uint8Array(PREFIX_SIZE);
    key.set(address, 4);
    for (let length = FULL_LENGTH; length >= (v6 ? 0 : FULL_LENGTH - 32); length--) {
      if (length < FULL_LENGTH) {
        const at = 4 + (length >> 3);
        key[at] = (key[at] as number) & ~(128 >> (length & 7));
      }
      key[0] = length;
      const full = length === FULL_LENGTH;
      const row = full ? this.hosts.row(key, 4) : this.prefixes.row(key);
      if (row < 0) continue;
      return { key, isOf: (code) => Math.floor(code / CODES) === row && (code & 1) === (full ? 0 : 1) };
    }
    return undefined;
  }

  /** A prefix that goes leaves its place to one that comes: no map ever holds more than its limit. Buckets come last. */
  take(): MapWrite[] {
    const [hosts, prefixes] = [this.hosts.take(), this.prefixes.take()];
    const buckets = this.#buckets?.take() ?? [];
    return [...hosts.deletes, ...prefixes.deletes, ...hosts.updates, ...prefixes.updates, ...buckets];
  }
}
