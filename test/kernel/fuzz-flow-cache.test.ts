// SPDX-License-Identifier: Apache-2.0
/** Chains with what is known of flows beside the same chains without: the same packets, frames and sums; and planted bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { FLOW_CACHE_BUGS } from './fuzz/flow-cache-bugs.ts';
import { FlowCacheSubject } from './fuzz/flow-cache-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

/** Each seed loads six programs. */
const STRETCH = 10_000;
/** Each goes through two chains of three cubes, which takes four times as long as through one cube. */
const MOST = Math.ceil(PACKETS / 4);
const planter = new Planter();
afterAll(() => planter.close());

test(`of ${MOST} random packets each fares as it would without what is known of flows`, async () => {
  let replayed = 0;
  const { differences, packets, changes } = await campaign(
    async (random) => {
      const subject = await FlowCacheSubject.open(random);
      const close = subject.close.bind(subject);
      subject.close = () => {
        replayed += subject.replayed;
        close();
      };
      return subject;
    },
    { packets: MOST, stretch: STRETCH, isTimed: true },
  );
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(MOST);
  expect(changes).toBeGreaterThan(MOST / 1000);
  console.log(`${replayed} of ${packets} packets went by a record`);
  expect(replayed).toBeGreaterThan(packets / 10);
});

test.each(planted(FLOW_CACHE_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build(bug.object, bug);
  const { differences } = await campaign((random) => FlowCacheSubject.open(random, { [bug.object]: path }), {
    packets: 4 * STRETCH,
    stretch: STRETCH,
  });
  expect(differences).not.toEqual([]);
});
