// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { Reclaimer, type ReclaimTask } from './reclaimer.ts';

const task = (program: string, share?: number): ReclaimTask => ({ key: 'infra_nat/1_abc', program, share });
const run = (ms: number, removed = 0) => ({ seen: 10, removed, ms });

test('each table is looked at every 30 seconds, one at a time, and who waits longest is first', () => {
  const reclaimer = new Reclaimer();
  const [one, two] = [task('one'), task('two')];
  expect(reclaimer.next([one], 0)).toBeUndefined();
  expect(reclaimer.next([one, two], 1000)).toBeUndefined();
  expect(reclaimer.next([one, two], 30_000)).toBe(one);
  reclaimer.ran(one, run(1), 30_000);
  expect(reclaimer.next([one, two], 30_500)).toBeUndefined();
  expect(reclaimer.next([one, two], 70_000)).toBe(two);
  reclaimer.ran(two, run(1), 70_000);
  expect(reclaimer.next([one, two], 70_000)).toBe(one);
});

test('a table that is nearly full is looked at every 2 seconds', () => {
  const reclaimer = new Reclaimer();
  const full = task('one', 0.8);
  expect(reclaimer.next([full], 0)).toBeUndefined();
  expect(reclaimer.next([full], 2000)).toBe(full);
  reclaimer.ran(full, run(1), 2000);
  expect(reclaimer.next([full], 3999)).toBeUndefined();
  expect(reclaimer.next([full], 4000)).toBe(full);
  expect(reclaimer.next([task('one', 0.79)], 4000)).toBeUndefined();
});

test('a table that takes long is looked at so seldom that it takes 1 % of the time, full or not', () => {
  const reclaimer = new Reclaimer();
  const large = task('one', 1);
  reclaimer.next([large], 0);
  reclaimer.ran(large, run(1500), 10_000);
  expect(reclaimer.next([large], 159_999)).toBeUndefined();
  expect(reclaimer.next([large], 160_000)).toBe(large);
});

test('what is gone is forgotten, and the sums of others stay', () => {
  const reclaimer = new Reclaimer();
  const [one, two] = [task('one'), task('two')];
  reclaimer.next([one, two], 0);
  for (const ms of [2, 3]) reclaimer.ran(one, run(ms, 5), 100);
  reclaimer.ran(two, run(1, 1), 100);
  reclaimer.next([one], 200);
  expect([...reclaimer.totals]).toEqual([
    ['infra_nat/1_abc one', { runs: 2, removed: 10, ms: 5, last: { seen: 10, removed: 5, ms: 3 } }],
  ]);
});
