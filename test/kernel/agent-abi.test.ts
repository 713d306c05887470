// SPDX-License-Identifier: Apache-2.0
/** Agents of two versions of the cube ABI on one node: the newer takes over under traffic, the older refuses. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from '../harness/process.ts';
import type { Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { cubeNode, hubChain, NODE, table } from './support/agent-objects.ts';

/** Value of row 0 by which the test cube notes who passes, in a table that only it writes. */
const NOTE = 669;

let lab: AgentLab;
let agent: AgentClient;
let pods: [Pod, Pod];

async function start(abi: number, env: Record<string, string> = {}): Promise<Settled> {
  agent = await lab.start({ ABI: String(abi), VISIT_SECONDS: '3600', ...env });
  await agent.ask('set', { objects: [...hubChain(), cubeNode(), table('rows', { 0: NOTE })] });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

/** Keys of the table of visits of the first cube, and the map's id. */
async function visits(abi: number): Promise<{ id: number; keys: number[] }> {
  const path = `${lab.bpffs}/cubeplane/${NODE}/v${abi}/cubes/cubeplane-system_front/state/visits_1_16`;
  const { stdout } = await run(['bpftool', '--json', 'map', 'dump', 'pinned', path]);
  const info = await run(['bpftool', '--json', 'map', 'show', 'pinned', path]);
  const list = JSON.parse(stdout) as { formatted: { key: number } }[];
  return {
    id: (JSON.parse(info.stdout) as { id: number }).id,
    keys: list.map(({ formatted }) => formatted.key),
  };
}

/** Versions that have pins. */
const versions = () => [...new Set([...lab.pins().keys()].map((path) => path.split('/')[3]))].sort();

async function meanwhile(work: () => Promise<unknown>): Promise<{ sent: number; received: number }> {
  const to = pods[1].addresses.ipv4 as string;
  const argv = ['timeout', '-s', 'INT', '8', 'ping', '-i', '0.005', to];
  const pinging = pods[0].namespace.exec(argv, { anyStatus: true });
  await work();
  const { stdout } = await pinging;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent), received: Number(received) };
}

beforeAll(async () => {
  lab = await AgentLab.open('two ABIs');
  await start(1);
  pods = [await lab.pod('one', 2), await lab.pod('two', 3)];
  for (const pod of pods) await agent.ask('plug', { request: plugRequest(pod) });
  expect(await pings(...pods)).toBe(6);
}, 60_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

test('the newer one takes over links and state, and no packet is lost', async () => {
  const before = await visits(1);
  expect(before.keys.length).toBeGreaterThanOrEqual(2);
  await agent.kill();
  let settled: Settled | undefined;
  const { sent, received } = await meanwhile(async () => {
    settled = await start(2);
  });
  expect(settled?.health.failure).toBeUndefined();
  expect(settled?.actions).toEqual(expect.arrayContaining(['Flip', 'TakeOverLink', 'RemoveAbi']));
  expect(settled?.actions).not.toContain('Attach');
  expect(sent).toBeGreaterThan(100);
  expect(received).toBe(sent);
  expect(versions()).toEqual(['v2']);
  const after = await visits(2);
  expect(after.id).toBe(before.id);
  expect(after.keys).toEqual(expect.arrayContaining(before.keys));
  expect(await pings(...pods)).toBe(6);
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);

test('it waits for its objects first, and lets the older one work until then', async () => {
  await agent.kill();
  agent = await lab.start({ ABI: '3', VISIT_SECONDS: '3600' });
  const first = await agent.ask<Settled>('settled');
  expect(first.actions).toContain('CreateMaps');
  expect(first.actions).not.toContain('Attach');
  expect(await pings(...pods)).toBe(6);
  await agent.ask('set', { objects: [...hubChain(), cubeNode(), table('rows', { 0: NOTE })] });
  const { sent, received } = await meanwhile(async () => {
    await agent.ask('synced');
    const { actions } = await agent.ask<Settled>('settled');
    expect(actions).toEqual(expect.arrayContaining(['TakeOverLink', 'RemoveAbi']));
    expect(actions).not.toContain('Attach');
  });
  expect(received).toBe(sent);
  expect(versions()).toEqual(['v3']);
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);

test('the older one refuses the pins of the newer, names the version and changes nothing', async () => {
  await agent.kill();
  const before = lab.pins();
  const { health, actions } = await start(1);
  expect(health.failure?.reason).toBe('AbiMismatch');
  expect(health.failure?.message).toContain('holds pins of cube ABI 3, and this agent speaks 1');
  expect(actions).toEqual([]);
  expect(lab.pins()).toEqual(before);
  expect(await pings(...pods)).toBe(6);
}, 60_000);

test('killed after any action on the way, the next one ends it, and packets pass all the time', async () => {
  await agent.kill();
  // a take-over is some 20 actions; each version is one more step
  let abi = 4;
  for (const after of [2, 6, 9, 12, 15, 17, 19]) {
    const victim = await lab.start({
      ABI: String(abi),
      VISIT_SECONDS: '3600',
      CUBEPLANE_FAIL_AFTER: String(after),
    });
    await victim.ask('set', { objects: [...hubChain(), cubeNode(), table('rows', { 0: NOTE })] });
    await victim.ask('synced').catch(() => {});
    await victim.ask('settled').catch(() => {});
    await victim.kill();
    expect([after, await pings(...pods, 1)]).toEqual([after, 2]);
    const { health } = await start(abi);
    expect(health.failure).toBeUndefined();
    expect(versions()).toEqual([`v${abi}`]);
    expect(await pings(...pods, 1)).toBe(2);
    expect(await agent.ask('plan')).toEqual([]);
    await agent.kill();
    abi++;
  }
}, 120_000);
