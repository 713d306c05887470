// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { WorkQueue } from './work-queue.ts';

describe('WorkQueue', () => {
  it('runs a key once for many additions before it starts', async () => {
    const runs: string[] = [];
    const queue = new WorkQueue({
      name: 't',
      handler: async (key) => {
        runs.push(key);
        return undefined;
      },
    });
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    queue.start();
    await queue.idle();
    expect(runs).toEqual(['a', 'b']);
  });

  it('never runs one key twice at the same time, and runs it again for a change during its run', async () => {
    let inside = 0;
    let most = 0;
    let runs = 0;
    const queue: WorkQueue = new WorkQueue({
      name: 't',
      concurrency: 8,
      handler: async () => {
        most = Math.max(most, ++inside);
        if (++runs === 1) for (let i = 0; i < 5; i++) queue.add('a');
        await sleep(5);
        inside--;
        return undefined;
      },
    });
    queue.start();
    queue.add('a');
    await queue.idle();
    expect({ most, runs }).toEqual({ most: 1, runs: 2 });
  });

  it('works on no more keys at the same time than its concurrency', async () => {
    let inside = 0;
    let most = 0;
    const queue = new WorkQueue({
      name: 't',
      concurrency: 3,
      handler: async () => {
        most = Math.max(most, ++inside);
        await sleep(2);
        inside--;
        return undefined;
      },
    });
    queue.start();
    for (let i = 0; i < 20; i++) queue.add(`k${i}`);
    await queue.idle();
    expect(most).toBe(3);
  });

  it('brings a failed key back with growing delays and lets others pass', async () => {
    const at: number[] = [];
    const order: string[] = [];
    const queue = new WorkQueue({
      name: 't',
      concurrency: 1,
      backoff: { baseMs: 20, maxMs: 1000, random: () => 1 },
      handler: async (key) => {
        order.push(key);
        if (key === 'bad') {
          at.push(performance.now());
          if (at.length < 4) throw new Error('not yet');
        }
        return undefined;
      },
    });
    queue.start();
    queue.add('bad');
    queue.add('good');
    await sleep(10);
    // A change does not shorten a delay of less than a second.
    queue.add('bad');
    expect(order).toEqual(['bad', 'good']);
    await queue.idle();
    const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    expect(gaps).toHaveLength(3);
    expect(gaps[0]).toBeGreaterThanOrEqual(19);
    expect(gaps[1]).toBeGreaterThanOrEqual(39);
    expect(gaps[2]).toBeGreaterThanOrEqual(79);
    expect(queue.stats()).toMatchObject({ failed: 3, done: 2, failing: 0 });
  });

  it('lets a change shorten a long delay after a failure to a second', async () => {
    const at: number[] = [];
    const queue = new WorkQueue({
      name: 't',
      backoff: { baseMs: 60_000, maxMs: 60_000 },
      handler: async () => {
        at.push(performance.now());
        if (at.length === 1) throw new Error('refused');
        return undefined;
      },
    });
    queue.start();
    queue.add('a');
    await sleep(20);
    queue.add('a');
    await queue.idle();
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(990);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeLessThan(3000);
  });

  it('runs the first change at once and gathers those that follow within the spacing', async () => {
    const at: number[] = [];
    const queue = new WorkQueue({
      name: 't',
      spacingMs: 1000,
      handler: async () => {
        at.push(performance.now());
        return undefined;
      },
    });
    queue.start();
    const start = performance.now();
    for (let i = 0; i < 5; i++) {
      queue.add('a');
      await sleep(2);
    }
    await queue.idle();
    expect(at).toHaveLength(2);
    // From the first change on: a busy machine may let the handler notice the time later than its spacing began.
    expect((at[1] ?? 0) - start).toBeGreaterThanOrEqual(999);
    expect(at[0]).toBeLessThan(at[1] ?? 0);
  });

  it('runs a key again when the handler asks, and addAfter keeps the earlier wish', async () => {
    let runs = 0;
    const queue = new WorkQueue({
      name: 't',
      handler: async () => (++runs < 3 ? { againAfterMs: 5 } : undefined),
    });
    queue.start();
    queue.addAfter('a', 10_000);
    queue.addAfter('a', 1);
    queue.addAfter('a', 10_000);
    await queue.idle();
    expect(runs).toBe(3);
  });

  it('stops: forgets what waits, tells handlers, waits for them', async () => {
    let told = false;
    let ended = false;
    const queue = new WorkQueue({
      name: 't',
      concurrency: 1,
      handler: async (_, signal) => {
        await sleep(10_000, undefined, { signal }).catch(() => {
          told = true;
        });
        await sleep(5);
        ended = true;
        return undefined;
      },
    });
    queue.start();
    queue.add('a');
    queue.add('b');
    await sleep(5);
    await queue.stop();
    queue.add('c');
    expect({ told, ended, stats: queue.stats() }).toMatchObject({
      told: true,
      ended: true,
      stats: { waiting: 0, running: 0 },
    });
  });
});
