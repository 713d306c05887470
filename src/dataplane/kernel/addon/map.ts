// SPDX-License-Identifier: Apache-2.0
import { MapType, Update } from './constants.ts';
import { type Dump, type MapBtf, type MapInfo, native } from './native.ts';
import type { BpfProgram } from './program.ts';
import { Resource } from './resource.ts';

export interface MapOptions {
  /** At most 15 characters of [A-Za-z0-9_.]. */
  name: string;
  /** One of MapType. */
  type: number;
  /** Bytes; 0 for ring buffers. */
  keySize: number;
  /** Bytes; 0 for ring buffers. */
  valueSize: number;
  /** Entries; for ring buffers bytes, a power of two and at least a page. */
  maxEntries: number;
  /** MapFlag bits. */
  flags?: number;
  /** For maps of maps: a map of the kind that they hold. */
  innerMap?: BpfMap;
}

/** A BPF map. Keys and values are bytes; the generated codecs make them. */
export class BpfMap extends Resource {
  /** Throws KernelError. */
  static create(options: MapOptions): BpfMap {
    const { name, innerMap, flags = 0, ...sizes } = options;
    if (!/^[\w.]{1,15}$/.test(name)) {
      throw new TypeError(`map name ${JSON.stringify(name)}: 1 to 15 letters, digits, '_' or '.'`);
    }
    const inner = innerMap ? { innerMap: innerMap.handle } : {};
    return new BpfMap(native.mapCreate({ name, flags, ...sizes, ...inner }));
  }

  /** Throws KernelError: ENOENT when nothing is pinned there, EINVAL when it is no map. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(native.openPinned(path, 'map'));
  }

  /** Throws KernelError ENOENT when there is no such map. */
  static openId(id: number): BpfMap {
    return new BpfMap(native.openById('map', id));
  }

  /** One of MapType. */
  get type(): number {
    return this.shape.type;
  }

  get keySize(): number {
    return this.shape.keySize;
  }

  get valueSize(): number {
    return this.shape.valueSize;
  }

  /**
   * Bytes of a value in lookups, updates and dumps: `valueSize`, or for per-CPU maps one slot a possible CPU, each
   * rounded up to 8 bytes.
   */
  get valueStride(): number {
    return this.shape.valueStride;
  }

  get maxEntries(): number {
    return this.shape.maxEntries;
  }

  get perCpu(): boolean {
    return this.shape.perCpu;
  }

  info(): MapInfo {
    return native.mapInfo(this.handle);
  }

  /** BTF of key and value; undefined for maps made without. */
  btf(): MapBtf | undefined {
    return native.mapBtf(this.handle);
  }

  /** The value, or undefined when the key is absent. */
  lookup(key: Uint8Array): Buffer | undefined {
    this.#checkKey(key);
    return native.mapLookup(this.handle, key);
  }

  /** Throws KernelError: EEXIST, ENOENT by `flag`; E2BIG when full. */
  update(key: Uint8Array, value: Uint8Array, flag: number = Update.Any): void {
    this.#checkKey(key);
    if (value.length !== this.valueStride) {
      throw new TypeError(`a value of map ${this.name} has ${this.valueStride} bytes, not ${value.length}`);
    }
    native.mapUpdate(this.handle, key, value, flag);
  }

  /** Returns whether the key was there. */
  delete(key: Uint8Array): boolean {
    this.#checkKey(key);
    return native.mapDelete(this.handle, key);
  }

  /** The keys one by one. A key deleted meanwhile may make it start again; use `dump` for a whole map. */
  *keys(): Generator<Buffer> {
    let key = native.mapNextKey(this.handle, undefined);
    while (key) {
      yield key;
      key = native.mapNextKey(this.handle, key);
    }
  }

  /** The whole map, off the event loop. Not a snapshot: entries that change meanwhile may or may not be in it. */
  dump(): Promise<Dump> {
    return native.mapDump(this.handle, true);
  }

  dumpSync(): Dump {
    return native.mapDump(this.handle, false);
  }

  /**
   * Writes many entries, off the event loop: packed keys and as many packed values. The arrays must not change until
   * the promise settles. Resolves to the number written. On an error the entries before the failing one are written;
   * the message says how many.
   */
  async updateBatch(keys: Uint8Array, values: Uint8Array, flag: number = Update.Any): Promise<number> {
    this.#checkBatch(keys, values);
    return native.mapUpdateBatch(this.handle, keys, values, flag, true);
  }

  updateBatchSync(keys: Uint8Array, values: Uint8Array, flag: number = Update.Any): number {
    this.#checkBatch(keys, values);
    return native.mapUpdateBatch(this.handle, keys, values, flag, false);
  }

  /**
   * As updateBatch, one by one: entries that are there already (with Update.NoExist) or find no room are passed over.
   * Resolves to the number written.
   */
  async fill(keys: Uint8Array, values: Uint8Array, flag: number = Update.Any): Promise<number> {
    this.#checkBatch(keys, values);
    return native.mapFill(this.handle, keys, values, flag, true);
  }

  /** Deletes many packed keys, off the event loop; absent ones are passed over. Resolves to the number deleted. */
  async deleteBatch(keys: Uint8Array): Promise<number> {
    this.#checkBatch(keys);
    return native.mapDeleteBatch(this.handle, keys, true);
  }

  deleteBatchSync(keys: Uint8Array): number {
    this.#checkBatch(keys);
    return native.mapDeleteBatch(this.handle, keys, false);
  }

  /** Puts a program into a slot of a prog array. */
  setProgram(index: number, program: BpfProgram): void {
    this.#expectType(MapType.ProgArray);
    native.mapSetHandle(this.handle, indexKey(index), program.handle);
  }

  /** The id of the program in a slot of a prog array, undefined when it is empty. */
  programId(index: number): number | undefined {
    this.#expectType(MapType.ProgArray);
    return native.mapLookup(this.handle, indexKey(index))?.readUInt32LE();
  }

  /** Empties a slot of a prog array; returns whether it was filled. */
  clearProgram(index: number): boolean {
    this.#expectType(MapType.ProgArray);
    return native.mapDelete(this.handle, indexKey(index));
  }

  /** Puts a map into a map of maps. The kernel waits for running programs (about 13 ms). */
  setInner(key: Uint8Array, inner: BpfMap): void {
    this.#expectType(MapType.ArrayOfMaps, MapType.HashOfMaps);
    this.#checkKey(key);
    native.mapSetHandle(this.handle, key, inner.handle);
  }

  /** Makes it read-only for user space, for good. */
  freeze(): void {
    native.mapFreeze(this.handle);
  }

  #expectType(...types: number[]): void {
    if (!this.closed && !types.includes(this.type)) {
      throw new TypeError(`map ${this.name} is of type ${this.type}, not ${types.join(' or ')}`);
    }
  }

  #checkKey(key: Uint8Array): void {
    if (!this.closed && key.length !== this.keySize) {
      throw new TypeError(`a key of map ${this.name} has ${this.keySize} bytes, not ${key.length}`);
    }
  }

  #checkBatch(keys: Uint8Array, values?: Uint8Array): void {
    if (this.closed) return; // the native side says so
    if (keys.length % this.keySize !== 0) {
      throw new TypeError(
        `keys of map ${this.name} are multiples of ${this.keySize} bytes, not ${keys.length}`,
      );
    }
    const wanted = (keys.length / this.keySize) * this.valueStride;
    if (values && values.length !== wanted) {
      throw new TypeError(`values of map ${this.name} must have ${wanted} bytes, not ${values.length}`);
    }
  }
}

function indexKey(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}
