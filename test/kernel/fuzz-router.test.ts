// SPDX-License-Identifier: Apache-2.0
/** The router against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { Planter, planted } from './fuzz/planted.ts';
import type { Random } from './fuzz/random.ts';
import { RESOLVE_BUGS } from './fuzz/resolve-bugs.ts';
import { ROUTER_BUGS } from './fuzz/router-bugs.ts';
import { openResolvingRouter } from './fuzz/router-resolve-subject.ts';
import { openRouter } from './fuzz/router-subject.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

test(`the router does with ${PACKETS} random packets what its model does`, async () => {
  const { differences, packets, changes } = await campaign(openRouter);
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
});

test.each(planted(ROUTER_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('router', bug);
  const { differences } = await campaign((random) => openRouter(random, path), { packets: 20_000, seed: 1 });
  expect(differences).not.toEqual([]);
});

test(`a router that finds MACs itself does with ${PACKETS} random packets what its model does`, async () => {
  const { differences, packets, changes } = await campaign(openResolvingRouter, { isTimed: true });
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
});

test.each(planted(RESOLVE_BUGS))('a planted bug in how MACs are found is seen: $what', async (bug) => {
  const path = planter.build('router', bug);
  const open = (random: Random) => openResolvingRouter(random, path);
  const { differences } = await campaign(open, { packets: 20_000, seed: 1 });
  expect(differences).not.toEqual([]);
});
