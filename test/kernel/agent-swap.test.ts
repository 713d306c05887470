// SPDX-License-Identifier: Apache-2.0
/**
 * Releases of a cube's program follow each other under traffic: what its tables hold stays, or changes as the type says.
 * Real packets, real agents; a release is another set of object files.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from '../harness/process.ts';
import type { Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { cubeNode, hubChain, NODE, table } from './support/agent-objects.ts';
import { objectPath } from './support/chain.ts';

/** Value of row 0 by which the test cube notes who passes. */
const NOTE = 669;
/** By which release 2 drops. */
const RELEASE = 670;

let lab: AgentLab;
let agent: AgentClient;
let pods: [Pod, Pod];
let generation = 1;

/** A folder with the object files of a release, in which the test cube's program comes from `turn`. */
function release(turn: string): string {
  const folder = join(lab.root, turn);
  mkdirSync(folder, { recursive: true });
  for (const name of ['tcx', 'usage']) copyFileSync(objectPath(name), join(folder, `${name}.o`));
  copyFileSync(objectPath(turn), join(folder, 'turn.o'));
  return folder;
}

async function start(turn: string, layout = 1): Promise<Settled> {
  agent = await lab.start({ OBJECTS: release(turn), TURN_LAYOUT: String(layout), VISIT_SECONDS: '3600' });
  await agent.ask('set', { objects: [...hubChain(), cubeNode(), rowZero(NOTE)] });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

const rowZero = (value: number) => table('rows', { 0: value }, generation++);

/** Rows of the table of visits of the first cube: key → value. */
async function visits(pin: string): Promise<Map<number, object>> {
  const path = `${lab.bpffs}/cubeplane/${NODE}/v1/cubes/cubeplane-system_front/state/${pin}`;
  const { stdout } = await run(['bpftool', '--json', 'map', 'dump', 'pinned', path]);
  const list = JSON.parse(stdout) as { formatted: { key: number; value: object } }[];
  return new Map(list.map(({ formatted }) => [formatted.key, formatted.value]));
}

const pinned = () =>
  [...lab.pins().keys()].flatMap((path) => path.match(/system_front\/state\/(visits_.*)/)?.[1] ?? []);

/** What passes while `work` is done: packets sent and answered. */
async function meanwhile(work: () => Promise<unknown>): Promise<{ sent: number; received: number }> {
  const to = pods[1].addresses.ipv4 as string;
  // ended by SIGINT, at which ping says what it has seen
  const pinging = pods[0].namespace.exec(['timeout', '-s', 'INT', '8', 'ping', '-i', '0.005', to], {
    anyStatus: true,
  });
  await work();
  const { stdout } = await pinging;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent), received: Number(received) };
}

beforeAll(async () => {
  lab = await AgentLab.open('swap');
  await start('turn');
  pods = [await lab.pod('one', 2), await lab.pod('two', 3)];
  for (const pod of pods) await agent.ask('plug', { request: plugRequest(pod) });
  for (let i = 0; i < 3; i++) expect(await pings(...pods, 1)).toBe(2);
}, 60_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

test('another program takes over the same maps, and no packet is lost', async () => {
  const before = lab.pins();
  const seen = [...(await visits('visits_1_16')).keys()];
  expect(seen.length).toBeGreaterThanOrEqual(6);
  await agent.kill();
  let settled: Settled | undefined;
  const { sent, received } = await meanwhile(async () => {
    settled = await start('turn_next');
  });
  expect(settled?.actions).toEqual(expect.arrayContaining(['LoadInstance', 'SetSlot', 'Flip']));
  expect(sent).toBeGreaterThan(100);
  expect(received).toBe(sent);
  const state = [...before].filter(([path]) => path.includes('/state/'));
  const after = lab.pins();
  for (const [path, inode] of state) expect([path, after.get(path)]).toEqual([path, inode]);
  expect([...(await visits('visits_1_16')).keys()]).toEqual(expect.arrayContaining(seen));
  // it is the other program indeed
  await agent.set([rowZero(RELEASE)]);
  expect(await pings(...pods, 1)).toBe(0);
  await agent.set([rowZero(NOTE)]);
  expect(await pings(...pods, 1)).toBe(2);
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);

test('a table of another size keeps its rows, and no packet is lost', async () => {
  const seen = [...(await visits('visits_1_16')).keys()];
  const [front] = hubChain();
  const larger = {
    ...front,
    metadata: { ...front?.metadata, generation: 2 },
    spec: { ...(front?.spec as { turn: object }), turn: { outPorts: [1, 0], label: 0, maxVisits: 64 } },
  };
  const { sent, received } = await meanwhile(async () => {
    const { actions } = await agent.set([larger as never]);
    expect(actions).toEqual(expect.arrayContaining(['LoadInstance', 'Flip', 'CarryRows', 'RemoveStateMaps']));
  });
  expect(received).toBe(sent);
  expect(pinned()).toEqual(['visits_1_64']);
  expect([...(await visits('visits_1_64')).keys()]).toEqual(expect.arrayContaining(seen));
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);

test('rows of another layout are made from the old ones where the type says how', async () => {
  // the table of the first cube has 16 rows again: another size and another layout at once
  const seen = [...(await visits('visits_1_64')).keys()].slice(0, 16);
  await agent.kill();
  const { sent, received } = await meanwhile(() => start('turn_layout', 2));
  expect(received).toBe(sent);
  expect(pinned()).toEqual(['visits_2_16']);
  const rows = await visits('visits_2_16');
  const old = [...rows].filter(([, row]) => (row as { release: number }).release === 1);
  expect(old.length).toBeGreaterThan(0);
  expect(seen).toEqual(expect.arrayContaining(old.map(([key]) => key)));
}, 60_000);

test('and dropped where it does not', async () => {
  await agent.kill();
  const { sent, received } = await meanwhile(() => start('turn_layout', 3));
  expect(received).toBe(sent);
  expect(pinned()).toEqual(['visits_3_16']);
  for (const row of (await visits('visits_3_16')).values()) expect(row).toMatchObject({ release: 3 });
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);
