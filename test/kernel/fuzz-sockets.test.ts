// SPDX-License-Identifier: Apache-2.0
/** The socket load balancer against a model of it, call by call of real sockets; and the model against bugs. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { schema } from '../../src/cubes/socket-lb/schema.ts';
import { campaign } from './fuzz/campaign.ts';
import { Planter, planted } from './fuzz/planted.ts';
import { Samples } from './fuzz/samples.ts';
import { SOCKET_BUGS } from './fuzz/sockets-bugs.ts';
import { openSocketsLab, type SocketsLab } from './fuzz/sockets-lab.ts';
import { openSockets } from './fuzz/sockets-subject.ts';

jest.setTimeout(24 * 3_600_000);

/** Calls, and changes among them. The rest of the environment is that of fuzz/campaign.ts. */
const CALLS = Number(process.env.CUBEPLANE_FUZZ_CALLS ?? 6_000);
/** Of one configuration's history. */
const STRETCH = 600;

/** What no call can bring about here: the tables are whole, sockets have room for options, and none is bound. */
const IMPOSSIBLE = new Set(['BackendInvalid', 'untracked', 'PortOfService']);

let lab: SocketsLab;
const planter = new Planter();

beforeAll(async () => {
  lab = await openSocketsLab();
});
afterAll(async () => {
  planter.close();
  await lab?.lab.close();
});

test(`the socket load balancer does with ${CALLS} random calls what its model allows`, async () => {
  const seen = new Set<string>();
  const samples = new Samples();
  const { differences, packets } = await campaign((random) => openSockets(random, lab, { seen, samples }), {
    packets: CALLS,
    stretch: STRETCH,
    ...(process.env.CUBEPLANE_FUZZ_SEED ? { seed: Number(process.env.CUBEPLANE_FUZZ_SEED) } : {}),
  });
  expect(differences.join('\n')).toBe('');
  expect(packets).toBeGreaterThanOrEqual(CALLS);
  const names = [...schema.dropReasons, ...schema.counters].map(({ name }) => name);
  expect([...seen].sort()).toEqual(names.filter((name) => !IMPOSSIBLE.has(name)).sort());
});

test.each(planted(SOCKET_BUGS))('a planted bug is found: $what', async (bug) => {
  const path = planter.build('socket-lb', bug);
  const samples = new Samples();
  const { differences } = await campaign((random) => openSockets(random, lab, { path, samples }), {
    packets: 12_000,
    seed: 1,
    stretch: STRETCH,
  });
  expect(differences).not.toEqual([]);
});
