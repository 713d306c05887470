// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PackedTable } from './packed-table.ts';

const key = (n: number) => new Uint8Array(Uint32Array.of(n * 2654435761).buffer);
const value = (n: number) => new Uint8Array(Uint32Array.of(n, n + 1).buffer);

/** Applies what a table says to a kernel's map of hex keys. */
function apply(kernel: Map<string, string>, table: PackedTable): number {
  const { updates, deletes } = table.take();
  let rows = 0;
  for (const { op, count, keys, values } of [...deletes, ...updates]) {
    rows += count;
    for (let i = 0; i < count; i++) {
      const at = Buffer.from(keys.subarray(i * 4, i * 4 + 4)).toString('hex');
      if (op === 'delete') expect(kernel.delete(at)).toBe(true);
      else kernel.set(at, Buffer.from(values.subarray(i * 8, i * 8 + 8)).toString('hex'));
    }
  }
  return rows;
}

describe('PackedTable', () => {
  test('is a map whose differences lead the kernel to it', () => {
    const operation = fc.record({
      kind: fc.constantFrom('set', 'set', 'delete', 'take'),
      key: fc.integer({ min: 0, max: 60 }),
      value: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const table = new PackedTable('m', 4, 8, 1000);
        const kernel = new Map<string, string>();
        const model = new Map<number, number>();
        for (const one of operations) {
          if (one.kind === 'set') {
            expect(table.set(key(one.key), value(one.value))).toBeGreaterThanOrEqual(0);
            model.set(one.key, one.value);
          } else if (one.kind === 'delete') {
            table.delete(key(one.key));
            model.delete(one.key);
          } else {
            apply(kernel, table);
          }
          expect(table.size).toBe(model.size);
        }
        apply(kernel, table);
        expect(apply(kernel, table)).toBe(0);
        const wanted = [...model].map(([k, v]) => [
          Buffer.from(key(k)).toString('hex'),
          Buffer.from(value(v)).toString('hex'),
        ]);
        expect([...kernel].sort()).toEqual(wanted.sort());
        for (const [k, v] of model) expect(table.value(table.row(key(k)))).toEqual(value(v));
      }),
    );
  });

  test('adopted rows that nobody wants are deleted, the others are not written', () => {
    const table = new PackedTable('m', 4, 8, 10);
    table.adopt(2, Buffer.concat([key(1), key(2)]), Buffer.concat([value(1), value(2)]));
    table.set(key(1), value(9));
    table.set(key(1), value(1));
    table.settle();
    const { updates, deletes } = table.take();
    expect(updates).toEqual([]);
    expect(deletes).toMatchObject([{ map: 'm', op: 'delete', count: 1, keys: key(2) }]);
  });

  test('refuses rows beyond its size, but takes other values for those it has', () => {
    const table = new PackedTable('m', 4, 8, 2);
    expect([table.set(key(1), value(1)), table.set(key(2), value(2)), table.set(key(3), value(3))]).toEqual([
      0, 1, -1,
    ]);
    expect(table.set(key(2), value(7))).toBe(1);
    table.delete(key(1));
    expect(table.set(key(3), value(3))).toBeGreaterThanOrEqual(0);
  });

  test('250,000 rows cost their bytes and a quarter', () => {
    const table = new PackedTable('m', 4, 32, 250_000);
    const row = new Uint8Array(32);
    for (let i = 0; i < 250_000; i++) table.set(key(i), row);
    expect(table.size).toBe(250_000);
    expect(table.bytes / (250_000 * 36)).toBeLessThan(1.25);
    expect(table.row(key(123_456))).toBe(123_456);
    expect(table.row(key(250_001))).toBe(-1);
  });
});
