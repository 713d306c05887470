// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { Store } from './store.ts';
import { pack, packOwn, unpack } from './tables.ts';

test('a source that has shown all objects in the middle of a round is believed from the next one on', () => {
  let wakes = 0;
  const store = new Store('node-a', () => wakes++);
  expect(store.beginRound()).toBe(false);
  store.synced();
  expect([store.isSynced, wakes]).toEqual([false, 1]);
  expect([store.beginRound(), store.isSynced]).toEqual([true, true]);
  expect(store.beginRound()).toBe(false);
});

describe('a store that was restored', () => {
  const meta = (name: string) => ({ namespace: 'ns', name, uid: name, generation: 1 });
  const table = (name: string, row: unknown) =>
    ({ kind: 'CubeTable', metadata: meta(name), spec: { type: 'Service', services: [row] } }) as const;
  const node = (uid: string) => ({ metadata: { name: 'node-a', uid, generation: 1 }, spec: {} });
  const rows = (store: Store) =>
    Object.fromEntries([...store.tables.applied].map(([key, packed]) => [key, unpack(packed)[0]]));

  test('keeps what was saved until the source has shown all, then has what the source said alone', () => {
    const store = new Store('node-a', () => {});
    store.set(table('early', 'new'));
    store.restoreNode(node('saved'));
    store.restore(['early', 'kept', 'changed', 'gone', 'removed'].map((name) => pack(table(name, 'saved'))));
    store.tables.set(packOwn('ports ns/p', 'Service', ['own']));
    const saved = { early: 'saved', kept: 'saved', changed: 'saved', gone: 'saved', removed: 'saved' };
    const keys = (of: Record<string, unknown>) =>
      Object.fromEntries([...Object.entries(of).map(([k, v]) => [`ns/${k}`, v]), ['ports ns/p', 'own']]);
    expect([store.isKnown, store.isSynced, store.node?.metadata.uid]).toEqual([true, false, 'saved']);
    store.tables.take();
    store.set(table('kept', 'saved'));
    store.set(table('changed', 'new'));
    store.set(table('removed', 'saved'));
    store.delete('CubeTable', 'ns', 'removed');
    store.beginRound();
    expect(rows(store)).toEqual(keys(saved));
    store.synced();
    expect(rows(store)).toEqual(keys(saved));
    expect(store.beginRound()).toBe(true);
    expect(rows(store)).toEqual(keys({ early: 'new', kept: 'saved', changed: 'new' }));
    expect([store.isSynced, store.isRestored, store.node]).toEqual([true, false, undefined]);
    // As any other removal, so that the guard counts it.
    expect(store.tables.removals()).toEqual({ removed: 2, of: 5 });
    expect(store.tables.take().map(({ key }) => key)).toEqual(
      expect.arrayContaining(['ns/early', 'ns/changed', 'ns/gone', 'ns/removed']),
    );
    store.set(table('changed', 'newer'));
    expect(rows(store)['ns/changed']).toBe('newer');
  });

  test('believes the source of the node at once', () => {
    const store = new Store('node-a', () => {});
    store.restoreNode(node('saved'));
    store.set({ kind: 'Node', ...node('new') });
    store.synced();
    store.beginRound();
    expect(store.node?.metadata.uid).toBe('new');
  });
});
