// SPDX-License-Identifier: Apache-2.0
/**
 * Agents of two versions of the cube ABI on one node with a cube at XDP: the newer takes over the link under traffic. Who may
 * pass loses no packet, and who is listed gets none through at any moment.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { SourceObject } from '../../src/dataplane/sources/source.ts';
import { createMachine, type Machine } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab } from './support/agent-lab.ts';
import { at, cubeNode, link, meta, NODE } from './support/agent-objects.ts';

let lab: AgentLab;
let agent: AgentClient;
let friend: Machine;
let enemy: Machine;

/** A guard at XDP in front of the node's uplink; behind it is the host. */
function guard(): SourceObject[] {
  const { ipv4, ipv6 } = enemy.addresses;
  const sizes = {
    maxSourceHosts: 16,
    maxSourcePrefixes: 16,
    maxDestinationHosts: 16,
    maxDestinationPrefixes: 16,
    maxSourceBuckets: 16,
    maxSynBuckets: 16,
  };
  const lists = { denySources: [`${ipv4}/32`, `${ipv6}/128`], denyDestinations: [], allowSources: [] };
  const spec = { nodeName: NODE, type: 'DDoSMitigator', hook: 'XDP', ddosMitigator: { ...lists, sizes } };
  return [
    { kind: 'Cube', metadata: meta('guard'), spec },
    link('outside', [{ type: 'Interface', interface: { name: 'eth0' } }, at('guard', 'outside')]),
    link('inside', [at('guard', 'inside'), { type: 'Stack' }]),
  ];
}

async function start(abi: number, env: Record<string, string> = {}): Promise<Settled> {
  agent = await lab.start({ ABI: String(abi), ...env });
  await agent.ask('set', { objects: [...guard(), cubeNode()] });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

/** Versions that have pins. */
const versions = () => [...new Set([...lab.pins().keys()].map((path) => path.split('/')[3]))].sort();

interface Pings {
  sent: number;
  received: number;
}

/** Pings the node until `work` is done. */
async function meanwhile(from: Machine, to: string, work: Promise<unknown>): Promise<Pings> {
  const running = await from.namespace.start(`ping-${++pinging}`, ['ping', '-n', '-i', '0.005', to]);
  await work;
  running.kill('SIGINT');
  await running.exited();
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await running.output()) ?? [];
  return { sent: Number(sent), received: Number(received) };
}
let pinging = 0;

async function pings(from: Machine): Promise<number> {
  let received = 0;
  for (const to of [lab.node.addresses.ipv4, lab.node.addresses.ipv6]) {
    const argv = ['ping', '-n', '-c', '3', '-i', '0.02', '-W', '1', to];
    const { stdout } = await from.namespace.exec(argv, { anyStatus: true });
    received += Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  }
  return received;
}

beforeAll(async () => {
  lab = await AgentLab.open('two ABIs at XDP');
  friend = await createMachine(lab.node.underlay, 'friend', 50);
  enemy = await createMachine(lab.node.underlay, 'enemy', 60);
  expect(await pings(enemy)).toBe(6);
  await start(1);
  expect([await pings(friend), await pings(enemy)]).toEqual([6, 0]);
}, 120_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

test('the newer one waits for its objects, and the list holds meanwhile', async () => {
  await agent.kill();
  agent = await lab.start({ ABI: '2' });
  const { actions } = await agent.ask<Settled>('settled');
  expect(actions).toContain('CreateMaps');
  expect([await pings(friend), await pings(enemy)]).toEqual([6, 0]);
  await agent.ask('set', { objects: [...guard(), cubeNode()] });
  await agent.ask('synced');
  const then = await agent.ask<Settled>('settled');
  expect(then.actions).toEqual(expect.arrayContaining(['TakeOverXdp', 'RemoveAbi']));
  expect(then.actions).not.toContain('AttachXdp');
  expect(versions()).toEqual(['v2']);
  expect([await pings(friend), await pings(enemy)]).toEqual([6, 0]);
}, 60_000);

test('the newer one takes over the link at XDP: no packet is lost, none slips through', async () => {
  await agent.kill();
  const { promise: taken, resolve: done } = Promise.withResolvers<void>();
  const { ipv4, ipv6 } = lab.node.addresses;
  const running = [
    meanwhile(friend, ipv4, taken),
    meanwhile(friend, ipv6, taken),
    meanwhile(enemy, ipv4, taken),
    meanwhile(enemy, ipv6, taken),
  ];
  let settled: Settled;
  try {
    settled = await start(3);
  } finally {
    done();
  }
  const [friend4, friend6, enemy4, enemy6] = (await Promise.all(running)) as [Pings, Pings, Pings, Pings];
  expect(settled.health.failure).toBeUndefined();
  expect(settled.actions).toEqual(expect.arrayContaining(['TakeOverXdp', 'RemoveAbi']));
  expect(settled.actions).not.toContain('AttachXdp');
  for (const { sent, received } of [friend4, friend6]) {
    expect(sent).toBeGreaterThan(20);
    expect(received).toBeGreaterThanOrEqual(sent - 1); // the last one may still be under way
  }
  for (const { sent, received } of [enemy4, enemy6]) {
    expect(sent).toBeGreaterThan(20);
    expect(received).toBe(0);
  }
  expect(versions()).toEqual(['v3']);
  expect([await pings(friend), await pings(enemy)]).toEqual([6, 0]);
  expect(await agent.ask('plan')).toEqual([]);
}, 120_000);

test('killed after any action on the way, the next one ends it, and the list holds all the time', async () => {
  await agent.kill();
  let abi = 4;
  for (const after of [2, 5, 8, 10, 11, 12]) {
    const victim = await lab.start({ ABI: String(abi), CUBEPLANE_FAIL_AFTER: String(after) });
    await victim.ask('set', { objects: [...guard(), cubeNode()] });
    await victim.ask('synced').catch(() => {});
    await victim.ask('settled').catch(() => {});
    await victim.kill();
    expect([after, await pings(friend), await pings(enemy)]).toEqual([after, 6, 0]);
    const { health } = await start(abi);
    expect(health.failure).toBeUndefined();
    expect(versions()).toEqual([`v${abi}`]);
    expect([after, await pings(friend), await pings(enemy)]).toEqual([after, 6, 0]);
    expect(await agent.ask('plan')).toEqual([]);
    await agent.kill();
    abi++;
  }
}, 240_000);

test('an older one without a use for XDP any more leaves nothing there', async () => {
  agent = await lab.start({ ABI: '20' });
  await agent.ask('set', { objects: [cubeNode()] });
  await agent.ask('synced');
  const { health } = await agent.ask<Settled>('settled');
  expect(health.failure).toBeUndefined();
  expect(versions()).toEqual(['v20']);
  expect(await pings(enemy)).toBe(6);
  const { stdout } = await lab.node.namespace.exec(['ip', '-d', 'link', 'show', 'eth0']);
  expect(stdout).not.toContain('xdp');
}, 120_000);
