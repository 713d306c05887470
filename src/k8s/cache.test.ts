// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import { Cache, type CacheChange } from './cache.ts';

interface Pod {
  node: string;
}

const byNode = { node: (pod: Pod) => [pod.node] };

describe('Cache', () => {
  it('tells listeners what changed, with the value before', () => {
    const cache = new Cache<Pod>();
    const changes: CacheChange<Pod>[] = [];
    const end = cache.onChange((change) => changes.push(change));
    cache.set('a', '1', { node: 'x' });
    cache.set('a', '2', { node: 'y' });
    cache.delete('a');
    cache.delete('a');
    end();
    cache.set('b', '3', { node: 'z' });
    expect(changes).toEqual([
      { type: 'added', key: 'a', value: { node: 'x' } },
      { type: 'updated', key: 'a', value: { node: 'y' }, old: { node: 'x' } },
      { type: 'deleted', key: 'a', old: { node: 'y' } },
    ]);
  });

  it('keeps indexes exact over changes and deletions', () => {
    const cache = new Cache<Pod>(byNode);
    cache.set('a', '1', { node: 'x' });
    cache.set('b', '1', { node: 'x' });
    cache.set('a', '2', { node: 'y' });
    expect([...cache.keysBy('node', 'x')]).toEqual(['b']);
    expect(cache.by('node', 'y')).toEqual([{ node: 'y' }]);
    cache.delete('b');
    expect([...cache.indexValues('node')]).toEqual(['y']);
    expect(() => cache.by('zone', 'x')).toThrow('no index "zone"');
  });

  it('removes what a whole list no longer holds, and only then is synced', async () => {
    const cache = new Cache<Pod>(byNode);
    cache.set('a', '1', { node: 'x' });
    cache.set('b', '1', { node: 'x' });
    expect(cache.hasSynced).toBe(false);
    expect(cache.finishList(new Set(['b']))).toBe(1);
    await cache.synced;
    expect([...cache.keys()]).toEqual(['b']);
    expect([...cache.keysBy('node', 'x')]).toEqual(['b']);
  });
});
