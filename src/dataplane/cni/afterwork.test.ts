// SPDX-License-Identifier: Apache-2.0
import { describe, expect, jest, test } from '@jest/globals';
import { Afterwork, MOST_IDLE, nextWork, QUIET_MS } from './afterwork.ts';

const { remove, settle } = QUIET_MS;
const log = { debug() {}, info() {}, warn() {}, error() {} };

describe('what comes next', () => {
  test.each<[string, number, number, number | undefined, ReturnType<typeof nextWork>]>([
    ['nothing waits', 0, 0, 10_000, undefined],
    ['a call is under way', 1, 1, undefined, undefined],
    ['a call has just ended', 1, 0, 5, { waitMs: remove - 5 }],
    ['it is quiet enough to delete', 1, 1, remove, { do: 'remove' }],
    ['it is not quiet enough for a link', 0, 1, remove, { waitMs: settle - remove }],
    ['it is quiet', 0, 1, settle, { do: 'settle' }],
    ['it is quiet, and pairs wait too', 1, 1, settle, { do: 'remove' }],
  ])('%s', (_, idle, unsettled, quietMs, expected) => {
    expect(nextWork({ idle, unsettled }, quietMs)).toEqual(expected);
  });
});

describe('afterwork', () => {
  test('stands back while a call is under way, and gives each new interface its link after it', async () => {
    const followed: string[] = [];
    const all = Promise.withResolvers<void>();
    const afterwork = new Afterwork(
      {
        followDevice: async (device) => {
          followed.push(device);
          if (followed.length === 2) all.resolve();
        },
      },
      log,
    );
    await afterwork.before(async () => {
      afterwork.settle('cp1');
      afterwork.settle('cp2');
      afterwork.settle('cp1');
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(followed).toEqual([]);
    });
    expect(afterwork.waiting).toEqual({ idle: 0, unsettled: 2 });
    await all.promise;
    expect(followed).toEqual(['cp1', 'cp2']);
    await afterwork.stop();
  });

  test('does the rest at once when it ends, also after what fails', async () => {
    const followDevice = jest.fn(async () => {
      throw new Error('not now');
    });
    const afterwork = new Afterwork({ followDevice }, log);
    afterwork.settle('cp1');
    afterwork.settle('cp2');
    await afterwork.stop();
    expect(followDevice).toHaveBeenCalledTimes(2);
    expect(afterwork.waiting).toEqual({ idle: 0, unsettled: 0 });
    expect(afterwork.remove({ device: 'cp1', ifindex: 1 })).toBe(false);
  });

  test('takes no more pairs than it can delete in a while', async () => {
    const deleted: number[] = [];
    const afterwork = new Afterwork({ followDevice: async () => {} }, log, async ({ ifindex }) => {
      deleted.push(ifindex);
    });
    await afterwork.before(async () => {
      for (let i = 1; i <= MOST_IDLE; i++)
        expect(afterwork.remove({ device: `cp${i}`, ifindex: i })).toBe(true);
      expect(afterwork.remove({ device: 'cp0', ifindex: 1000 })).toBe(false);
      expect(deleted).toEqual([]);
    });
    await afterwork.stop();
    expect(deleted).toHaveLength(MOST_IDLE);
    expect(afterwork.waiting).toEqual({ idle: 0, unsettled: 0 });
  });
});
