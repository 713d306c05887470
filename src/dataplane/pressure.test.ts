// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { type MapUsage, pressureOf } from './pressure.ts';

const usage = (used: number, extra: Partial<MapUsage> = {}): MapUsage => ({
  cube: 'infra/nat',
  map: 'sessions',
  used,
  max: 1000,
  isCache: false,
  ...extra,
});

test('a map appears at 80 %, is Full at 100 %, and goes below 70 %', () => {
  expect(pressureOf([usage(799)], [])).toEqual([]);
  const high = [{ cube: 'infra/nat', map: 'sessions', level: 'High' as const, maxEntries: 1000 }];
  expect(pressureOf([usage(800)], [])).toEqual(high);
  expect(pressureOf([usage(1000)], high)).toEqual([{ ...high[0], level: 'Full' }]);
  expect(pressureOf([usage(700)], high)).toEqual(high);
  expect(pressureOf([usage(699)], high)).toEqual([]);
});

test('a cache is always full, and no map without entries is', () => {
  expect(pressureOf([usage(1000, { isCache: true }), usage(0, { max: 0 })], [])).toEqual([]);
});

test('the status holds the fullest 256', () => {
  const many = Array.from({ length: 300 }, (_, i) => usage(820 + (i % 100), { map: `m${i}` }));
  const list = pressureOf(many, []);
  expect(list).toHaveLength(256);
  expect(list.map(({ map }) => map)).not.toContain('m0');
});
