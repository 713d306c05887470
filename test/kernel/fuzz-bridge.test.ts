// SPDX-License-Identifier: Apache-2.0
/** The bridge against a model of it, frame by frame; and the model against bugs. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { COMMON_DROP_REASONS } from '../../src/api/schemas/drop-reasons.ts';
import { schema } from '../../src/cubes/bridge/schema.ts';
import { BRIDGE_BUGS } from './fuzz/bridge-bugs.ts';
import { BridgeNamespace } from './fuzz/bridge-namespace.ts';
import { PACKETS } from './fuzz/campaign.ts';
import { Planter, planted } from './fuzz/planted.ts';

jest.setTimeout(24 * 3_600_000);

const planter = new Planter();
let namespace: BridgeNamespace;
beforeAll(() => {
  namespace = new BridgeNamespace();
});
afterAll(() => {
  planter.close();
  namespace?.close();
});

/**
 * Common reasons that a bridge can drop for. Not among them: HopLimit, TailCallFailed, ChainNotProgrammed and the like, which
 * are of the graph around it; RewriteFailed, which is a kernel without memory; those of IP, which a bridge does not look at.
 */
const COMMON = ['Malformed', 'ExtensionHeaders', 'NoEdge', 'Unsupported', 'Mtu', 'LinkLocalControl'];

/** The map of addresses makes room for a new one by itself. */
const NEVER_COUNTED = ['learnFailures'];

test(`the bridge does with ${PACKETS} random frames what its model does`, async () => {
  const { differences, packets, changes, outcomes } = await namespace.run();
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(PACKETS);
  expect(changes).toBeGreaterThan(PACKETS / 1_000);
  const named = new Set(COMMON_DROP_REASONS.map(({ name }) => name));
  expect(COMMON.filter((name) => !named.has(name))).toEqual([]);
  const seen = new Set(Object.keys(outcomes).map((name) => name.split(' ').at(-1)));
  const reasons = [...COMMON, ...schema.dropReasons.map(({ name }) => name)];
  expect(reasons.filter((name) => !seen.has(name))).toEqual([]);
  const counters = schema.counters.map(({ name }) => name).filter((name) => !NEVER_COUNTED.includes(name));
  expect(counters.filter((name) => !seen.has(name))).toEqual([]);
});

test.each(planted(BRIDGE_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('bridge', bug);
  const { differences } = await namespace.run({ path, packets: 20_000, seed: 1 });
  expect(differences).not.toEqual([]);
});
