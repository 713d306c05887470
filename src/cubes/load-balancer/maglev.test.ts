// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type MaglevBackend, maglevSize, maglevTable } from './maglev.ts';

const backend = (id: number, weight = 1): MaglevBackend => ({
  identity: new Uint8Array(Uint32Array.of(id * 2654435761, id).buffer),
  weight,
});
const backends = (count: number) => Array.from({ length: count }, (_, i) => backend(i + 1));
const shares = (table: Uint32Array, count: number) => {
  const sums = new Array<number>(count).fill(0);
  for (const pick of table) sums[pick] = (sums[pick] ?? 0) + 1;
  return sums.map((sum) => sum / table.length);
};

/** Part of the clients, each a fraction of the table, that change their backend. */
function moved(before: readonly MaglevBackend[], after: readonly MaglevBackend[], sizes = [0, 0]): number {
  const [a, b] = [maglevTable(before, sizes[0] || undefined), maglevTable(after, sizes[1] || undefined)];
  let changes = 0;
  for (let i = 0; i < 10_000; i++) {
    const at = (i + 0.5) / 10_000;
    const one = before[a[Math.floor(at * a.length)] as number];
    const other = after[b[Math.floor(at * b.length)] as number];
    if (one?.identity.join() !== other?.identity.join()) changes++;
  }
  return changes / 10_000;
}

describe('maglevTable', () => {
  test('shares follow the weights', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 12 }), (weights) => {
        const list = weights.map((weight, i) => backend(i + 1, weight));
        const size = 4093;
        const total = weights.reduce((sum, weight) => sum + weight);
        shares(maglevTable(list, size), list.length).forEach((share, i) => {
          expect(Math.abs(share - (weights[i] as number) / total)).toBeLessThan(0.01);
        });
      }),
      { numRuns: 50 },
    );
  });

  test('does not depend on the order of backends', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: 6 }), (order) => {
        const sorted = maglevTable(backends(6), 1021);
        const table = maglevTable(
          order.map((id) => backend(id)),
          1021,
        );
        expect([...table].map((pick) => order[pick])).toEqual([...sorted].map((pick) => pick + 1));
      }),
      { numRuns: 20 },
    );
  });

  test('a backend that goes moves little but its own share', () => {
    for (const count of [4, 8, 10, 16, 20]) {
      const list = backends(count);
      expect(moved(list, list.slice(1))).toBeLessThan(1 / count + 0.12);
    }
  });

  test('a size that follows every number of backends would move nearly everybody', () => {
    const list = backends(10);
    expect(maglevSize(10)).toBe(maglevSize(9));
    expect(moved(list, list.slice(1), [1009, 907])).toBeGreaterThan(0.7);
  });

  test('has at least 100 places a backend, up to the largest table', () => {
    for (const count of [1, 2, 3, 10, 50, 400, 655])
      expect(maglevSize(count)).toBeGreaterThanOrEqual(count * 100);
    expect(maglevSize(5000)).toBe(65537);
    const table = maglevTable(backends(700));
    expect(Math.min(...shares(table, 700)) * 700).toBeGreaterThan(0.9);
  });
});
