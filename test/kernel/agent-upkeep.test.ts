// SPDX-License-Identifier: Apache-2.0
/** Tables that only programs write: how full they are, and that rows which are over go. Real packets, a real agent. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { cubeNode, hubChain, NODE, table } from './support/agent-objects.ts';

/** Value of row 0 by which the test cube notes each flow in a table of 16 rows. */
const NOTE = 669;

let lab: AgentLab;
let agent: AgentClient;
let pods: [Pod, Pod];

interface Pressure {
  cube: string;
  map: string;
  level: string;
  maxEntries: number;
}

/** Waits until the status of the node says of its maps what is asked for. */
async function pressure(wanted: (list: Pressure[]) => boolean): Promise<Pressure[]> {
  const end = Date.now() + 45_000;
  for (;;) {
    const { statuses } = await agent.ask<Settled>('settled');
    const list: Pressure[] = statuses[`CubeNode ${NODE}`]?.mapPressure ?? [];
    if (wanted(list)) return list;
    if (Date.now() > end) throw new Error(`it stayed ${JSON.stringify(list)}\n${agent.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

beforeAll(async () => {
  lab = await AgentLab.open('upkeep');
  agent = await lab.start();
  await agent.ask('set', { objects: [...hubChain(), cubeNode(), table('rows', { 0: NOTE })] });
  await agent.ask('synced');
  await agent.ask<Settled>('settled');
  pods = [await lab.pod('one', 2), await lab.pod('two', 3)];
  for (const pod of pods) await agent.ask('plug', { request: plugRequest(pod) });
}, 60_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

test('a table that fills up is in the status of the node until its rows are reclaimed', async () => {
  expect(await pressure((list) => list.length === 0)).toEqual([]);
  // each call is two flows; the table holds 16
  for (let i = 0; i < 12; i++) expect(await pings(...pods, 1)).toBe(2);
  const list = await pressure((all) => all.filter(({ map }) => map === 'visits').length === 2);
  expect(list).toEqual(
    expect.arrayContaining([
      { cube: 'cubeplane-system/front', map: 'visits', level: expect.any(String), maxEntries: 16 },
      { cube: 'cubeplane-system/hub', map: 'visits', level: expect.any(String), maxEntries: 16 },
    ]),
  );
  await agent.set([table('rows', { 0: 1 }, 2)]);
  await pressure((all) => all.every(({ map }) => map !== 'visits'));
  expect(agent.stderr).toMatch(/reclaimed rows .*"program":"reclaim_visits".*"removed":[1-9]/);
  expect(await agent.ask('plan')).toEqual([]);
}, 120_000);
