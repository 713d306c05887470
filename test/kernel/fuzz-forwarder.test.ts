// SPDX-License-Identifier: Apache-2.0
/** The forwarder against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { FORWARDER_BUGS } from './fuzz/forwarder-bugs.ts';
import { openForwarder } from './fuzz/forwarder-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

/**
 * All that a forwarder counts. Of the common reasons the others cannot occur: it is alone in its chain (HopLimit,
 * TailCallFailed), sends to no device (RedirectFailed), and its punts are taken at once (PuntLost).
 */
const OUTCOMES = [
  ...['count matched', 'count unmatched', 'drop DroppedByRule', 'drop DroppedByDefault'],
  ...[
    'drop Punted',
    'drop PuntLimited',
    'drop NoEdge',
    'drop entry Malformed',
    'drop entry ExtensionHeaders',
  ],
];

test(`the forwarder does with ${PACKETS} random packets what its model does`, async () => {
  const seen = new Set<string>();
  const { differences, packets, changes } = await campaign((random) => openForwarder(random, { seen }));
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  expect([...seen].toSorted()).toEqual(OUTCOMES.toSorted());
});

test.each(planted(FORWARDER_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('forwarder', bug);
  const { differences } = await campaign((random) => openForwarder(random, { path }), {
    packets: 20_000,
    seed: 1,
  });
  expect(differences).not.toEqual([]);
});
