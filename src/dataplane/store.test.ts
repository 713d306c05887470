// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { Store } from './store.ts';

test('a source that has shown all objects in the middle of a round is believed from the next one on', () => {
  let wakes = 0;
  const store = new Store('node-a', () => wakes++);
  expect(store.beginRound()).toBe(false);
  store.synced();
  expect([store.isSynced, wakes]).toEqual([false, 1]);
  expect([store.beginRound(), store.isSynced]).toEqual([true, true]);
  expect(store.beginRound()).toBe(false);
});
