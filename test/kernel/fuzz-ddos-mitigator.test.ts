// SPDX-License-Identifier: Apache-2.0
/** The DDoS mitigator at both hooks against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { schema } from '../../src/cubes/ddos-mitigator/schema.ts';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { MITIGATOR_BUGS } from './fuzz/mitigator-bugs.ts';
import { openMitigator } from './fuzz/mitigator-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

const HOOKS = [
  { hook: 'TC', object: 'ddos-mitigator' },
  { hook: 'XDP', object: 'ddos-mitigator-xdp' },
] as const;

const STRETCH = 2_000;

test(`the mitigator does with ${PACKETS} random packets at either hook what its model does`, async () => {
  const seen = new Set<string>();
  const { differences, packets, changes } = await campaign((random) => openMitigator(random, { seen }), {
    stretch: STRETCH,
  });
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  const names = [
    ...['Malformed', 'ExtensionHeaders'].map((name) => `drop entry ${name}`),
    ...schema.dropReasons.map(({ name }) => `drop ddos-mitigator ${name}`),
    ...schema.counters.map(({ name }) => `count ddos-mitigator ${name}`),
  ];
  expect([...seen].sort()).toEqual(names.sort());
});

// each at one of the hooks, in turn
const BUGS = MITIGATOR_BUGS.map((bug, i) => ({ ...bug, ...(HOOKS[i % 2] as (typeof HOOKS)[number]) }));

test.each(planted(BUGS))('a planted bug is found at $hook: $what', async ({ hook, object, ...bug }) => {
  const path = planter.build(object, bug);
  const { differences } = await campaign((random) => openMitigator(random, { hook, path }), {
    packets: 20_000,
    seed: 1,
    stretch: STRETCH,
  });
  expect(differences).not.toEqual([]);
});
