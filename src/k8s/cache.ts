// SPDX-License-Identifier: Apache-2.0

/** One change of a cache, told to listeners after it was made. */
export type CacheChange<T> =
  | { type: 'added'; key: string; value: T }
  | { type: 'updated'; key: string; value: T; old: T }
  | { type: 'deleted'; key: string; old: T };

/** What an entry was and is, as far as it was there and is there. */
export function sidesOf<T>(change: CacheChange<T>): T[] {
  const before = change.type === 'added' ? [] : [change.old];
  return change.type === 'deleted' ? before : [...before, change.value];
}

export type CacheListener<T> = (change: CacheChange<T>) => void;

/** Gives the index values under which an entry is found, for example the Service that a slice belongs to. */
export type IndexFunction<T> = (value: T, key: string) => Iterable<string>;

interface Entry<T> {
  resourceVersion: string;
  value: T;
}

/**
 * The last known state of one collection, by `namespace/name`. It holds what the reflector's transform made of each
 * object, so that a reader of ten thousand tables keeps packed rows and not parsed JSON.
 *
 * Only a reflector writes. Reads are synchronous and never wait. Listeners run at once and must be cheap: they mark
 * something dirty, usually by adding a key to a work queue.
 */
export class Cache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #indexes = new Map<string, { of: IndexFunction<T>; keys: Map<string, Set<string>> }>();
  readonly #listeners = new Set<CacheListener<T>>();
  readonly #whenSynced = Promise.withResolvers<void>();
  #synced = false;

  constructor(indexes: Record<string, IndexFunction<T>> = {}) {
    for (const [name, of] of Object.entries(indexes)) this.#indexes.set(name, { of, keys: new Map() });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** True once a whole list has been read. It stays true while the connection is away. */
  get hasSynced(): boolean {
    return this.#synced;
  }

  /** Settles with the first whole list. */
  get synced(): Promise<void> {
    return this.#whenSynced.promise;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.value;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  keys(): MapIterator<string> {
    return this.#entries.keys();
  }

  *values(): Generator<T> {
    for (const entry of this.#entries.values()) yield entry.value;
  }

  *entries(): Generator<[string, T]> {
    for (const [key, entry] of this.#entries) yield [key, entry.value];
  }

  /** Keys that an index holds under a value, in no order. Throws when the cache has no such index. */
  keysBy(index: string, value: string): ReadonlySet<string> {
    return this.#index(index).keys.get(value) ?? NO_KEYS;
  }

  /** Entries that an index holds under a value. */
  by(index: string, value: string): T[] {
    const found: T[] = [];
    for (const key of this.keysBy(index, value)) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) found.push(entry.value);
    }
    return found;
  }

  /** Every value that an index knows. */
  indexValues(index: string): MapIterator<string> {
    return this.#index(index).keys.keys();
  }

  /** Calls back for every change from now on; the function returned ends it. */
  onChange(listener: CacheListener<T>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writer: the version of an entry, to leave out what has not changed over a relist. */
  versionOf(key: string): string | undefined {
    return this.#entries.get(key)?.resourceVersion;
  }

  /** Writer: a new version with the value as it was. */
  touch(key: string, resourceVersion: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.resourceVersion = resourceVersion;
  }

  /** Writer: stores an entry. */
  set(key: string, resourceVersion: string, value: T): void {
    const before = this.#entries.get(key);
    if (before !== undefined) this.#unindex(key, before.value);
    this.#entries.set(key, { resourceVersion, value });
    for (const { of, keys } of this.#indexes.values()) {
      for (const at of of(value, key)) {
        const set = keys.get(at);
        if (set === undefined) keys.set(at, new Set([key]));
        else set.add(key);
      }
    }
    this.#tell(
      before === undefined
        ? { type: 'added', key, value }
        : { type: 'updated', key, value, old: before.value },
    );
  }

  /** Writer: removes an entry; nothing happens when it is not there. */
  delete(key: string): void {
    const before = this.#entries.get(key);
    if (before === undefined) return;
    this.#unindex(key, before.value);
    this.#entries.delete(key);
    this.#tell({ type: 'deleted', key, old: before.value });
  }

  /** Writer: a whole list was read; what is not in it is gone. Returns how many entries were removed. */
  finishList(seen: ReadonlySet<string>): number {
    let removed = 0;
    for (const key of [...this.#entries.keys()]) {
      if (seen.has(key)) continue;
      this.delete(key);
      removed++;
    }
    this.#synced = true;
    this.#whenSynced.resolve();
    return removed;
  }

  #index(name: string): { of: IndexFunction<T>; keys: Map<string, Set<string>> } {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new Error(`this cache has no index "${name}"`);
    return index;
  }

  #unindex(key: string, value: T): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const at of of(value, key)) {
        const set = keys.get(at);
        set?.delete(key);
        if (set?.size === 0) keys.delete(at);
      }
    }
  }

  #tell(change: CacheChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}

const NO_KEYS: ReadonlySet<string> = new Set();
