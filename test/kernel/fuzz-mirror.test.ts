// SPDX-License-Identifier: Apache-2.0
/** The mirror against a model of it, packet by packet, with copies that are really sent; and the model against bugs. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { runJson } from './fixtures/run-json.ts';
import { type CampaignResult, PACKETS, SEED } from './fuzz/campaign.ts';
import { MIRROR_BUGS } from './fuzz/mirror-bugs.ts';
import { DEVICES } from './fuzz/mirror-subject.ts';
import { Planter, planted } from './fuzz/planted.ts';

const HOURS = 24 * 3_600_000;
jest.setTimeout(HOURS);

const namespace = `fuzz-mirror-${process.pid}`;
const inside = ['nsenter', `--net=/run/netns/${namespace}`];
const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });
const planter = new Planter();
let devices: string;

beforeAll(() => {
  ip('netns', 'add', namespace);
  const ifindexOf = (name: string) => {
    ip('-n', namespace, 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-peer`);
    if (name !== 'lost') ip('-n', namespace, 'link', 'set', name, 'up');
    return Number(ip('-n', namespace, '-o', 'link', 'show', name).split(':')[0]);
  };
  devices = JSON.stringify(Object.fromEntries(DEVICES.map((name) => [name, ifindexOf(name)])));
});
afterAll(() => {
  planter.close();
  ip('netns', 'del', namespace);
});

const run = async (options: { packets: number; seed: number }, path?: string) =>
  (await runJson(
    '../fuzz/mirror-child.ts',
    inside,
    [devices, JSON.stringify(options), ...(path === undefined ? [] : [path])],
    HOURS,
  )) as CampaignResult & { seen: string[] };

/**
 * All that a mirror counts. Of the common reasons the others cannot occur: it is alone in its chain and both its ports are linked
 * (NoEdge, HopLimit, TailCallFailed), and what happens to a copy drops no packet (RedirectFailed).
 */
const OUTCOMES = [
  ...['count matched', 'count copies', 'count copyFailures', 'count notSampled'],
  ...['drop FromCopyPort', 'drop entry Malformed', 'drop entry ExtensionHeaders'],
];

test(`the mirror does with ${PACKETS} random packets what its model does`, async () => {
  const { differences, packets, changes, seen } = await run({ packets: PACKETS, seed: SEED });
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  expect(seen.toSorted()).toEqual(OUTCOMES.toSorted());
});

test.each(planted(MIRROR_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('mirror', bug);
  const { differences } = await run({ packets: 20_000, seed: 1 }, path);
  expect(differences).not.toEqual([]);
});
