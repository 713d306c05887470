// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { Backends, PROTOCOLS } from './backends.ts';
import { backends as codec } from './generated/codec.ts';

/** Nanoseconds of the programs' unit of time: they compare the deadline with the time divided by it, rounded down. */
const UNIT = 2 ** 30;

/** Moments within a unit, in ns from its beginning. */
const MOMENTS = [0, 1, 1000, ...Array.from({ length: 200 }, (_, i) => i * 5_368_709), UNIT - 1000];

/** A machine that has just been started, and one that has run for a year. */
const BEGINNINGS = [0, 1, 931, 29_370_880];

const PROTOCOL_DRAINS = [
  ['TCP', 'stream'],
  ['SCTP', 'stream'],
  ['UDP', 'datagram'],
] as const;

/** One backend that a Service lists, of `protocol`. */
function listed(protocol: keyof typeof PROTOCOLS, drain: { stream: number; datagram: number }) {
  const backends = new Backends(16, drain);
  backends.settle();
  const identity = new Uint8Array(19);
  identity[18] = PROTOCOLS[protocol];
  const id = backends.acquire(identity, 0, true);
  backends.take();
  return { backends, id };
}

/** The row as the kernel has it after what `take` says. */
function rowOf(backends: Backends) {
  const { arriving, leaving } = backends.take();
  const write = [...arriving, ...leaving].findLast(({ map }) => map === 'backends');
  if (write?.values === undefined) throw new Error('no row of a backend was written');
  return codec.decodeValue(write.values) as { deadline: number; flags: number };
}

describe.each(PROTOCOL_DRAINS)('a drain of %s', (protocol, member) => {
  test.each([1, 2, 15, 60, 86_400])('of %s s is never shorter, and at most two units longer', (seconds) => {
    for (const beginning of BEGINNINGS)
      for (const moment of MOMENTS) {
        const { backends, id } = listed(protocol, { stream: 0, datagram: 0, [member]: seconds });
        const start = beginning * UNIT + moment;
        backends.tick(start / 1e9);
        backends.release(id, true);
        const lasts = rowOf(backends).deadline * UNIT - start;
        expect(lasts).toBeGreaterThanOrEqual(seconds * 1e9);
        expect(lasts).toBeLessThanOrEqual(seconds * 1e9 + 2 * UNIT);
      }
  });

  test('of 0 s is over at once', () => {
    for (const beginning of BEGINNINGS.slice(1))
      for (const moment of MOMENTS) {
        const { backends, id } = listed(protocol, { stream: 60, datagram: 60, [member]: 0 });
        backends.tick((beginning * UNIT + moment) / 1e9);
        backends.release(id, true);
        expect(rowOf(backends).deadline).toBeLessThanOrEqual(beginning);
      }
  });

  test.each([
    ['the very second that tick named', (next: number) => next],
    ['the next whole second', Math.ceil],
  ])('frees the row at %s, not before', (_, later) => {
    for (let beginning = 0; beginning < 2000; beginning++) {
      const { backends, id } = listed(protocol, { stream: 60, datagram: 60 });
      const start = (beginning * UNIT) / 1e9 + 0.3;
      backends.tick(start);
      backends.release(id, true);
      const next = backends.tick(start) ?? 0;
      expect(next).toBeGreaterThanOrEqual(start + 60);
      backends.take();
      expect(backends.tick(next - 0.001)).toBe(next);
      expect(backends.tick(later(next))).toBeUndefined();
      expect(rowOf(backends).flags).toBe(0);
    }
  });
});
