// SPDX-License-Identifier: Apache-2.0
/** The firewall against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { schema } from '../../src/cubes/firewall/schema.ts';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { FIREWALL_BUGS } from './fuzz/firewall-bugs.ts';
import { openFirewall } from './fuzz/firewall-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

/** A firewall takes long to load; and bugs need several rule sets. */
const STRETCH = 2_500;

/** What no packet can bring about here. */
const IMPOSSIBLE = new Set([
  'audited', // network policies alone are in audit mode: firewall-policies-random.test.ts
  'SessionTableFull', // the oldest sessions make room
  'RuleSetBroken', // the image writes whole tables
]);

test(`the firewall does with ${PACKETS} random packets what its model does`, async () => {
  const seen = new Set<string>();
  const { differences, packets, changes } = await campaign((random) => openFirewall(random, { seen }), {
    stretch: STRETCH,
  });
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  const names = [
    ...['entry Malformed', 'entry ExtensionHeaders', 'firewall FragmentWithoutFirst'].map(
      (name) => `drop ${name}`,
    ),
    ...schema.dropReasons
      .filter(({ name }) => !IMPOSSIBLE.has(name))
      .map(({ name }) => `drop firewall ${name}`),
    ...schema.counters
      .filter(({ name }) => !IMPOSSIBLE.has(name))
      .map(({ name }) => `count firewall ${name}`),
  ];
  expect([...seen].sort()).toEqual(names.sort());
});

test.each(planted(FIREWALL_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('firewall', bug);
  const { differences } = await campaign((random) => openFirewall(random, { path }), {
    packets: 20_000,
    seed: 1,
    stretch: STRETCH,
  });
  expect(differences).not.toEqual([]);
});
