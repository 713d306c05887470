// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { MapWrite } from '../cube-type.ts';
import { ALLOW, DENY, type Said } from './said.ts';
import { bucketsFor, V4Buckets } from './v4-buckets.ts';

const WORDS = 16;

/** The map as the kernel has it. */
class Kernel {
  readonly words: Uint32Array;

  constructor(buckets: number) {
    this.words = new Uint32Array(buckets * WORDS);
  }

  apply(writes: readonly MapWrite[]): number {
    let count = 0;
    for (const { keys, values, count: rows } of writes) {
      const [index, words] = [new DataView(keys.buffer), new DataView(values.buffer)];
      for (let i = 0; i < rows; i++, count++) {
        for (let word = 0; word < WORDS; word++)
          this.words[index.getUint32(4 * i, true) * WORDS + word] = words.getUint32(
            4 * (i * WORDS + word),
            true,
          );
      }
    }
    return count;
  }

  adoptedBy(buckets: V4Buckets): void {
    const count = this.words.length / WORDS;
    const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer);
    buckets.adopt(count, keys, new Uint8Array(this.words.buffer));
  }

  /** Addresses in slots, and how many are counted beside them. */
  get slots(): number[] {
    return [...this.words].filter((word, i) => i % WORDS < 15 && word !== 0);
  }

  get elsewhere(): number {
    return [...this.words].reduce((sum, word, i) => sum + (i % WORDS === 15 ? word : 0), 0);
  }
}

const bytes = (v4: number): Uint8Array => new Uint8Array(Uint32Array.of(v4).buffer);

/** A repeatable row of numbers. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('a list that fills its buckets has a cache line for every eight addresses, and at least one', () => {
  expect([1, 8, 9, 131072, 1_000_000].map(bucketsFor)).toEqual([1, 1, 2, 16384, 131072]);
});

test('whatever changes, each denied address stands in a slot or is counted, and each allowed one is counted', () => {
  const pick = random(7);
  const buckets = new V4Buckets('source_v4', 4);
  const kernel = new Kernel(4);
  const said = new Map<number, Said>();
  let overflows = 0;
  for (let round = 0; round < 300; round++) {
    for (let i = pick(20); i >= 0; i--) {
      const v4 = pick(90); // 0 among them, which is never in a slot
      const before = said.get(v4) ?? 0;
      const after = ([0, DENY, DENY, ALLOW] as const)[pick(4)] as Said;
      if (before === after) continue;
      buckets.change(bytes(v4), before, after);
      said.set(v4, after);
    }
    kernel.apply(buckets.take());
    const denied = [...said].filter(([, is]) => is === DENY).map(([v4]) => v4);
    const allowed = [...said].filter(([, is]) => is === ALLOW);
    const slots = kernel.slots;
    expect(new Set(slots).size).toBe(slots.length);
    expect(slots.filter((v4) => !denied.includes(v4))).toEqual([]);
    expect(kernel.elsewhere).toBe(denied.length - slots.length + allowed.length);
    if (denied.length - slots.length > 1) overflows++;
  }
  expect(overflows).toBeGreaterThan(0);
});

test('an agent that starts anew writes nothing where the kernel has the same addresses in another order', () => {
  const kernel = new Kernel(2);
  const list = Array.from({ length: 12 }, (_, i) => i + 1);
  const before = new V4Buckets('source_v4', 2);
  for (const v4 of list) before.change(bytes(v4), 0, DENY);
  expect(kernel.apply(before.take())).toBe(2);
  const after = new V4Buckets('source_v4', 2);
  kernel.adoptedBy(after);
  for (const v4 of list.toReversed()) after.change(bytes(v4), 0, DENY);
  after.settle();
  expect(after.take()).toEqual([]);
  const places = kernel.words.slice();
  after.change(bytes(1), DENY, 0);
  expect(kernel.apply(after.take())).toBe(1);
  expect([...kernel.words]).toEqual([...places].map((word, i) => (word === 1 && i % WORDS < 15 ? 0 : word)));
});

test('what the kernel has and nobody wants goes', () => {
  const kernel = new Kernel(2);
  const before = new V4Buckets('source_v4', 2);
  before.change(bytes(1), 0, DENY);
  before.change(bytes(2), 0, ALLOW);
  kernel.apply(before.take());
  const after = new V4Buckets('source_v4', 2);
  kernel.adoptedBy(after);
  expect(after.take()).toEqual([]);
  after.settle();
  kernel.apply(after.take());
  expect([kernel.slots, kernel.elsewhere]).toEqual([[], 0]);
});
