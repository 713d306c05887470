// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { SourceObject } from './sources/source.ts';
import { pack, TableStore, unpack } from './tables.ts';

function table(name: string, rows: unknown[], slice?: object): SourceObject {
  return {
    kind: 'CubeTable',
    metadata: { namespace: 'ns', name, uid: name, generation: 1 },
    spec: { type: 'Service', services: rows, ...(slice === undefined ? {} : { slice }) },
  };
}

const slice = (index: number, count: number, revision: string) => ({ owner: 'web', index, count, revision });

function inForce(store: TableStore): Record<string, unknown> {
  return Object.fromEntries([...store.applied].map(([key, packed]) => [key, unpack(packed)[0]]));
}

describe('tables', () => {
  test('are in force at once where they stand alone', () => {
    const store = new TableStore();
    expect(store.set(pack(table('a', [1])))).toBe(true);
    expect(store.set(pack(table('a', [1])))).toBe(false);
    store.set(pack(table('a', [2])));
    expect(inForce(store)).toEqual({ 'ns/a': 2 });
    expect(store.take().map(({ key, before }) => [key, before])).toEqual([['ns/a', undefined]]);
    store.delete('ns/a');
    expect(store.take()).toMatchObject([{ key: 'ns/a', after: undefined }]);
    expect(store.take()).toEqual([]);
  });

  test('that are slices come into force together, and the revision before stays until then', () => {
    const store = new TableStore();
    store.set(pack(table('s0', ['old 0'], slice(0, 1, 'r1'))));
    expect(inForce(store)).toEqual({ 'ns/s0': 'old 0' });
    store.set(pack(table('s0', ['new 0'], slice(0, 2, 'r2'))));
    expect(inForce(store)).toEqual({ 'ns/s0': 'old 0' });
    store.set(pack(table('s1', ['new 1'], slice(1, 2, 'r2'))));
    expect(inForce(store)).toEqual({ 'ns/s0': 'new 0', 'ns/s1': 'new 1' });
    store.set(pack(table('s1', ['newer 1'], slice(1, 2, 'r2'))));
    expect(inForce(store)).toEqual({ 'ns/s0': 'new 0', 'ns/s1': 'newer 1' });
    store.delete('ns/s1');
    expect(inForce(store)).toEqual({ 'ns/s0': 'new 0', 'ns/s1': 'newer 1' });
    store.delete('ns/s0');
    expect(inForce(store)).toEqual({});
  });

  test('tell each change once, whatever the order in which they come', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            name: fc.constantFrom('a', 'b', 'c'),
            value: fc.option(fc.integer()),
            take: fc.boolean(),
          }),
        ),
        (steps) => {
          const store = new TableStore();
          const told = new Map<string, unknown>();
          const listen = () => {
            for (const { key, after } of store.take()) {
              if (after === undefined) told.delete(key);
              else told.set(key, unpack(after)[0]);
            }
          };
          for (const { name, value, take } of steps) {
            if (value === null) store.delete(`ns/${name}`);
            else store.set(pack(table(name, [value])));
            if (take) listen();
          }
          listen();
          expect(Object.fromEntries(told)).toEqual(inForce(store));
        },
      ),
    );
  });

  test('count what a take would remove', () => {
    const store = new TableStore();
    for (let i = 0; i < 20; i++) store.set(pack(table(`t${i}`, [i])));
    store.take();
    for (let i = 0; i < 15; i++) store.delete(`ns/t${i}`);
    store.set(pack(table('another', [1])));
    expect(store.removals()).toEqual({ removed: 15, of: 20 });
  });

  test('a change of all identities is no disappearance', () => {
    const identity = (name: string) =>
      pack({ ...table(name, []), spec: { type: 'Identity', identities: [{ id: 1, namespace: 'a' }] } });
    const store = new TableStore();
    store.set(pack(table('web', [1])));
    for (let i = 0; i < 20; i++) store.set(identity(`before-${i}`));
    expect(store.removals()).toEqual({ removed: 0, of: 0 });
    store.take();
    for (let i = 0; i < 20; i++) store.set(identity(`after-${i}`));
    for (let i = 0; i < 20; i++) store.delete(`ns/before-${i}`);
    expect(store.removals()).toEqual({ removed: 0, of: 1 });
    store.delete('ns/web');
    expect(store.removals()).toEqual({ removed: 1, of: 1 });
  });
});
