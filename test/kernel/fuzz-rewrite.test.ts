// SPDX-License-Identifier: Apache-2.0
/** The parser and cube_rewrite(), which every cube that translates relies on, against models; and these against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { Planter, planted } from './fuzz/planted.ts';
import { REWRITE_BUGS } from './fuzz/rewrite-bugs.ts';
import { openRewriter } from './fuzz/rewrite-subject.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

test(`${PACKETS} random packets are read and changed as their models say`, async () => {
  const { differences, packets } = await campaign(openRewriter);
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
});

test.each(planted(REWRITE_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('rewriter', bug);
  const { differences } = await campaign((random) => openRewriter(random, path), {
    packets: 20_000,
    seed: 1,
  });
  expect(differences).not.toEqual([]);
});
