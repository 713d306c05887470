// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  BpfMap,
  type BpfObject,
  loadObject,
  MapFlag,
  MapType,
  possibleCpus,
  Update,
} from '../../src/dataplane/kernel/addon/index.ts';
import { objectPath, u32, u64 } from './fixtures/addon-object.ts';

function hash(maxEntries: number, type: number = MapType.Hash, flags = 0): BpfMap {
  return BpfMap.create({ name: 'test', type, keySize: 4, valueSize: 8, maxEntries, flags });
}

function rows(count: number, keySize = 4, valueSize = 8): { keys: Buffer; values: Buffer } {
  const keys = Buffer.alloc(count * keySize);
  const values = Buffer.alloc(count * valueSize);
  for (let i = 0; i < count; i++) {
    keys.writeUInt32LE(i, i * keySize);
    values.writeUInt32LE(i * 3, i * valueSize);
  }
  return { keys, values };
}

function pairs(dump: { count: number; keys: Buffer; values: Buffer }): [number, number][] {
  const key = dump.keys.length / dump.count;
  const value = dump.values.length / dump.count;
  const list: [number, number][] = [];
  for (let i = 0; i < dump.count; i++) {
    list.push([dump.keys.readUInt32LE(i * key), dump.values.readUInt32LE(i * value)]);
  }
  return list.sort(([a], [b]) => a - b);
}

describe('single elements', () => {
  test('are looked up, updated by flag and deleted', () => {
    using map = hash(4);
    expect(map.lookup(u32(1))).toBeUndefined();
    map.update(u32(1), u64(10n));
    expect(map.lookup(u32(1))).toEqual(u64(10n));
    expect(() => map.update(u32(1), u64(11n), Update.NoExist)).toThrow(
      expect.objectContaining({ code: 'EEXIST', call: 'BPF_MAP_UPDATE_ELEM', object: 'test' }),
    );
    expect(() => map.update(u32(2), u64(11n), Update.Exist)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    map.update(u32(1), u64(12n), Update.Exist);
    map.update(u32(2), u64(20n), Update.NoExist);
    expect([...map.keys()].map((key) => key.readUInt32LE()).sort()).toEqual([1, 2]);
    expect(map.delete(u32(1))).toBe(true);
    expect(map.delete(u32(1))).toBe(false);
  });

  test('of the wrong size are refused before the system call', () => {
    using map = hash(4);
    expect(() => map.lookup(u64(1n))).toThrow('a key of map test has 4 bytes, not 8');
    expect(() => map.update(u32(1), u32(1))).toThrow('a value of map test has 8 bytes, not 4');
    expect(() => map.updateBatchSync(Buffer.alloc(6), u64(1n))).toThrow(/multiples of 4 bytes, not 6/);
    expect(() => map.updateBatchSync(u32(1, 2), u64(1n))).toThrow(/must have 16 bytes, not 8/);
    expect(() => BpfMap.create({ name: 'a-b', type: 1, keySize: 4, valueSize: 4, maxEntries: 1 })).toThrow(
      /map name "a-b"/,
    );
  });

  test('beyond max_entries are refused with a remedy', () => {
    using map = hash(2);
    map.updateBatchSync(u32(1, 2), Buffer.alloc(16));
    expect(() => map.update(u32(3), u64(0n))).toThrow(
      expect.objectContaining({
        code: 'E2BIG',
        remedy: 'the map is full: load it with more entries',
        message: 'BPF_MAP_UPDATE_ELEM test: E2BIG: Argument list too long',
      }),
    );
  });

  test('of a frozen map are read-only', () => {
    using map = hash(2);
    map.freeze();
    expect(() => map.update(u32(3), u64(0n))).toThrow(expect.objectContaining({ code: 'EPERM' }));
  });
});

describe('batches', () => {
  const kinds: [string, number, number, number][] = [
    ['hash', MapType.Hash, 0, 5000],
    ['hash without preallocation', MapType.Hash, MapFlag.NoPrealloc, 5000],
    ['array', MapType.Array, 0, 5000],
    ['LRU hash', MapType.LruHash, 0, 5000],
  ];
  test.each(kinds)('go through a %s', async (_, type, flags, count) => {
    // An LRU hash evicts before it is full; leave it room.
    using map = hash(type === MapType.LruHash ? 4 * count : count, type, flags);
    const { keys, values } = rows(count);
    expect(await map.updateBatch(keys, values)).toBe(count);
    const dump = await map.dump();
    expect(dump.count).toBe(count);
    expect(pairs(dump)).toEqual(Array.from({ length: count }, (_, i) => [i, i * 3]));
    if (type === MapType.Array) return;
    expect(await map.deleteBatch(Buffer.concat([u32(9_999_999), keys]))).toBe(count);
    expect((await map.dump()).count).toBe(0);
  });

  test('that fail say how far they came', async () => {
    using map = hash(10);
    const { keys, values } = rows(12);
    await expect(map.updateBatch(keys, values)).rejects.toMatchObject({
      code: 'E2BIG',
      call: 'BPF_MAP_UPDATE_BATCH',
      detail: 'Argument list too long after 10 of 12 entries',
    });
  });

  test('that are empty do nothing', async () => {
    using map = hash(10);
    expect(await map.updateBatch(Buffer.alloc(0), Buffer.alloc(0))).toBe(0);
    expect(await map.deleteBatch(Buffer.alloc(0))).toBe(0);
    expect(await map.dump()).toMatchObject({ count: 0 });
  });

  test('of 250,000 entries are written, read and deleted whole', async () => {
    const count = 250_000;
    using map = BpfMap.create({
      name: 'big',
      type: MapType.Hash,
      keySize: 40,
      valueSize: 32,
      maxEntries: count,
    });
    const { keys, values } = rows(count, 40, 32);
    expect(await map.updateBatch(keys, values)).toBe(count);
    expect((await map.dump()).count).toBe(count);
    expect(await map.deleteBatch(keys)).toBe(count);
    expect(map.dumpSync().count).toBe(0);
  });
});

describe('maps of other kinds', () => {
  let object: BpfObject;
  beforeAll(async () => {
    object = await loadObject({ path: objectPath('addon') });
  });
  afterAll(() => object.close());

  test('per-CPU values hold a slot a possible CPU', () => {
    const map = object.map('per_cpu');
    expect(map.perCpu).toBe(true);
    expect(map.valueSize).toBe(4);
    expect(map.valueStride).toBe(8 * possibleCpus());
    object.program('count').testRun({ dataIn: Buffer.alloc(64), repeat: 10 });
    const value = map.lookup(u32(0));
    let sum = 0;
    for (let cpu = 0; cpu < possibleCpus(); cpu++) sum += value?.readUInt32LE(cpu * 8) ?? 0;
    expect(sum).toBe(10);
    expect(map.dumpSync()).toEqual({ count: 1, keys: u32(0), values: value });
  });

  test('an LPM trie is filled, matched and dumped', async () => {
    const map = object.map('prefixes');
    const prefix = (length: number, ...address: number[]) =>
      Buffer.concat([u32(length), Buffer.from(address)]);
    const keys = Buffer.concat([prefix(8, 10, 0, 0, 0), prefix(24, 10, 1, 2, 0), prefix(0, 0, 0, 0, 0)]);
    expect(await map.updateBatch(keys, u32(8, 24, 0))).toBe(3);
    expect(map.lookup(prefix(32, 10, 1, 2, 3))).toEqual(u32(24));
    expect(map.lookup(prefix(32, 10, 9, 2, 3))).toEqual(u32(8));
    expect(map.lookup(prefix(32, 11, 9, 2, 3))).toEqual(u32(0));
    const dump = await map.dump();
    expect(dump.count).toBe(3);
    expect([0, 1, 2].map((i) => dump.values.readUInt32LE(4 * i)).sort((a, b) => a - b)).toEqual([0, 8, 24]);
    expect(await map.deleteBatch(dump.keys)).toBe(3);
  });

  test('a prog array, which has no batches, is dumped one by one', async () => {
    const slots = object.map('slots');
    slots.setProgram(2, object.program('count'));
    const id = object.program('count').info().id;
    expect(await slots.dump()).toMatchObject({ count: 1, keys: u32(2), values: u32(id) });
    slots.clearProgram(2);
    expect(slots.dumpSync().count).toBe(0);
  });

  test('a map of maps takes inner maps', () => {
    using inner = hash(4);
    using outer = BpfMap.create({
      name: 'outer',
      type: MapType.ArrayOfMaps,
      keySize: 4,
      valueSize: 4,
      maxEntries: 2,
      innerMap: inner,
    });
    outer.setInner(u32(1), inner);
    expect(outer.lookup(u32(1))).toEqual(u32(inner.info().id));
    using other = hash(8);
    expect(() => inner.setInner(u32(1), other)).toThrow(/is of type 1, not 12 or 13/);
  });

  test('BTF of key and value comes from the map itself', () => {
    const btf = object.map('lengths').btf();
    expect(btf?.btf.readUInt16LE()).toBe(0xeb9f);
    expect(btf?.keyTypeId).toBeGreaterThan(0);
    expect(btf?.valueTypeId).toBeGreaterThan(0);
    using plain = hash(1);
    expect(plain.btf()).toBeUndefined();
  });
});
