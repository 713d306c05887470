// SPDX-License-Identifier: Apache-2.0
/** The NAT against a model of it, packet by packet; and the model against bugs. */
import { afterAll, expect, jest, test } from '@jest/globals';
import { schema } from '../../src/cubes/nat/schema.ts';
import { campaign, PACKETS } from './fuzz/campaign.ts';
import { NAT_BUGS } from './fuzz/nat-bugs.ts';
import { NatLab } from './fuzz/nat-lab.ts';
import { openNat } from './fuzz/nat-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
afterAll(() => planter.close());

/** What cannot be brought about here, and why. */
const OUT_OF_REACH = new Set([
  'drop nat SessionTableFull', // the table of new sessions makes room; only a kernel without memory refuses
]);

/** Of the reasons of all cubes those that a NAT can have in a chain without faults. */
const COMMON = ['drop entry Malformed', 'drop entry ExtensionHeaders'];
const COMMON_OF_NAT = ['FragmentWithoutFirst', 'RewriteFailed', 'SpoofedSource'].map(
  (name) => `drop nat ${name}`,
);

test(`the NAT does with ${PACKETS} random packets what its model does, and all that it can do is among it`, async () => {
  const lab = await NatLab.open();
  try {
    const { differences, packets, changes } = await campaign((random) => openNat(lab, random));
    expect(differences.join('\n')).toBe('');
    expect(packets).toBeGreaterThanOrEqual(PACKETS);
    expect(changes).toBeGreaterThan(PACKETS / 1_000);
    const reasons = schema.dropReasons.map(({ name }) => `drop nat ${name}`);
    const counters = schema.counters.map(({ name }) => `count nat ${name}`);
    const all = [...COMMON, ...COMMON_OF_NAT, ...reasons, ...counters];
    expect(all.filter((name) => !lab.seen.has(name))).toEqual([...OUT_OF_REACH]);
  } finally {
    lab.close();
  }
});

test.each(planted(NAT_BUGS))('a planted bug is found: $what', async (bug) => {
  const lab = await NatLab.open(planter.build('nat', bug));
  try {
    const { differences } = await campaign((random) => openNat(lab, random), { packets: 20_000, seed: 1 });
    expect(differences).not.toEqual([]);
  } finally {
    lab.close();
  }
});
