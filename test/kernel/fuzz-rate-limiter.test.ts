// SPDX-License-Identifier: Apache-2.0
/** The rate limiter against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { Planter, planted } from './fuzz/planted.ts';
import { RATE_LIMITER_BUGS } from './fuzz/rate-limiter-bugs.ts';
import { openRateLimiter } from './fuzz/rate-limiter-subject.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

/** All that a rate limiter counts. Of the common reasons the others cannot occur: it is alone in its chain, and both ports are linked. */
const OUTCOMES = [
  ...['count limited', 'drop IngressRateExceeded', 'drop EgressRateExceeded'],
  ...['drop entry Malformed', 'drop entry ExtensionHeaders'],
];

test(`the rate limiter does with ${PACKETS} random packets what its model does`, async () => {
  const seen = new Set<string>();
  const { differences, packets, changes } = await campaign((random) => openRateLimiter(random, { seen }));
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  expect([...seen].toSorted()).toEqual(OUTCOMES.toSorted());
});

test.each(planted(RATE_LIMITER_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('rate-limiter', bug);
  const { differences } = await campaign((random) => openRateLimiter(random, { path }), {
    packets: 20_000,
    seed: 1,
  });
  expect(differences).not.toEqual([]);
});
