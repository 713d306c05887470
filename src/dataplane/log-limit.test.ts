// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { LogLimit } from './log-limit.ts';

test('lets a burst through, then so many a second, and says how many it kept back', () => {
  const limit = new LogLimit(2, 3, 1000);
  const allowed = (now: number) => limit.take(now).allowed;
  expect([1000, 1000, 1000, 1000, 1400].map(allowed)).toEqual([true, true, true, false, false]);
  expect(limit.take(1500)).toEqual({ allowed: true, keptBack: 2 });
  expect(limit.take(1999)).toEqual({ allowed: false, keptBack: 0 });
  expect(limit.take(60_000)).toEqual({ allowed: true, keptBack: 1 });
  expect([60_000, 60_000, 60_000].map(allowed)).toEqual([true, true, false]);
});
