// SPDX-License-Identifier: Apache-2.0
import { unlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { run } from '../harness/process.ts';
import { deletePodInterface, type Pod } from '../harness/topology.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { at, cube, cubeNode, hubChain, link, NODE, pods, table } from './support/agent-objects.ts';

let lab: AgentLab;
let agent: AgentClient;
let first: Pod;
let second: Pod;

const objects = [...hubChain(), cubeNode(), table('rows', { 1: 10, 2: 20 })];

async function startWith(env: Record<string, string> = {}): Promise<Settled> {
  agent = await lab.start(env);
  await agent.ask('set', { objects });
  await agent.ask('synced');
  return await agent.ask<Settled>('settled');
}

/** Rows of the map that the test cube gets from tables. */
async function rows(name: string): Promise<Record<number, number>> {
  const path = `${lab.bpffs}/cubeplane/${NODE}/v1/cubes/cubeplane-system_${name}/state/rows_1_64`;
  const { stdout } = await run(['bpftool', '--json', 'map', 'dump', 'pinned', path]);
  const list = JSON.parse(stdout) as { formatted: { key: number; value: number } }[];
  return Object.fromEntries(list.map(({ formatted }) => [formatted.key, formatted.value]));
}

beforeAll(async () => {
  lab = await AgentLab.open('agent test');
}, 120_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

describe('an agent with a chain of two cubes', () => {
  test('loads it and says so', async () => {
    const { health, statuses, actions } = await startWith();
    expect(health.failure).toBeUndefined();
    expect(actions).toEqual(
      expect.arrayContaining(['CreateMaps', 'LoadEntry', 'LoadInstance', 'Flip', 'Grace']),
    );
    const { conditions, ports, program } = statuses['Cube cubeplane-system/front'];
    expect(conditions.map((c: { type: string; status: string }) => `${c.type}=${c.status}`)).toEqual([
      'Accepted=True',
      'ResolvedRefs=True',
      'Programmed=True',
      'Ready=True',
    ]);
    expect(ports).toEqual([
      { name: 'a', peer: 'Pods', state: 'Up' },
      { name: 'b', peer: 'hub/in', state: 'Up' },
    ]);
    expect(program).toEqual({ tag: expect.stringMatching(/^[0-9a-f]{16}$/), abi: 1 });
    expect(statuses[`CubeNode ${NODE}`].abi).toBe(1);
    expect(await rows('front')).toEqual({ 1: 10, 2: 20 });
  }, 120_000);

  test('plugs two pods, and they reach each other over IPv4 and IPv6', async () => {
    first = await lab.pod('one', 2);
    second = await lab.pod('two', 3);
    for (const pod of [first, second]) await agent.ask('plug', { request: plugRequest(pod) });
    expect(await pings(first, second)).toBe(6);
    expect(await agent.ask('plan')).toEqual([]);
  }, 120_000);

  test('plugs the same pod again without a change', async () => {
    await quiet();
    await agent.ask('plug', { request: plugRequest(first) });
    const { actions } = await agent.ask<Settled>('settled');
    expect(actions).not.toContain('Attach');
    expect(actions).not.toContain('WriteRows');
  });

  test('writes changed rows in place, additions at once and removals after a grace', async () => {
    await quiet();
    const { actions } = await agent.set([table('rows', { 1: 11, 3: 30 }, 2)]);
    expect(actions).toEqual(['WriteMap', 'WriteMap']);
    const after: string[] = [];
    await waitFor(async () => {
      after.push(...(await agent.ask<Settled>('settled')).actions);
      return after.length >= 3;
    });
    expect(after).toEqual(['Grace', 'WriteMap', 'WriteMap']);
    expect(await rows('front')).toEqual({ 1: 11, 3: 30 });
    await agent.set([table('rows', { 1: 10, 2: 20 }, 3)]);
  });

  test('reports a row that a cube cannot take, and takes the others', async () => {
    const { statuses } = await agent.set([table('odd', { 4: 1313, 5: 50 })]);
    const resolved = statuses['Cube cubeplane-system/hub'].conditions.find(
      (c: { type: string }) => c.type === 'ResolvedRefs',
    );
    expect(resolved).toMatchObject({ status: 'False', reason: 'TableInvalid' });
    expect(resolved.message).toContain('CubeTable cubeplane-system/odd: row 4 has the value 1313; change it');
    expect((await rows('hub'))[5]).toBe(50);
    const after = await agent.set([], [['CubeTable', 'cubeplane-system', 'odd']]);
    expect(after.statuses['Cube cubeplane-system/hub'].conditions[1]).toMatchObject({ status: 'True' });
  });

  test('changes a spec by a new program in a new slot, and keeps state and counters', async () => {
    await quiet();
    const before = lab.pins();
    const { actions } = await agent.set([cube('front', { outPorts: [1, 0], label: 7 }, { generation: 2 })]);
    expect(actions.filter((op) => op !== 'WriteMap')).toEqual([
      'LoadInstance',
      'SetSlot',
      'PinProgram',
      'WriteEdges',
      'Flip',
      'Grace',
      'ClearSlot',
      'RemoveInstance',
    ]);
    const state = [...before].filter(([path]) => path.includes('/state/'));
    const after = lab.pins();
    for (const [path, inode] of state) expect([path, after.get(path)]).toEqual([path, inode]);
    expect(await pings(first, second)).toBe(6);
    expect(await agent.ask('plan')).toEqual([]);
    await agent.set([cube('front', { outPorts: [1, 0] }, { generation: 3 })]);
  }, 120_000);

  test('leaves the kernel as it is for a spec that it refuses', async () => {
    const before = lab.pins();
    const { statuses } = await agent.set([
      cube('front', { outPorts: [0], refused: true }, { generation: 4 }),
    ]);
    const byType = Object.fromEntries(
      statuses['Cube cubeplane-system/front'].conditions.map((c: { type: string }) => [c.type, c]),
    );
    expect(byType.Accepted).toMatchObject({ status: 'False', reason: 'Conflict', observedGeneration: 4 });
    expect(byType.Accepted.message).toBe('spec.turn.refused: it asks to be refused; set it to false');
    expect(byType.Stalled).toMatchObject({ status: 'True' });
    expect(byType.Programmed.message).toContain('The kernel holds generation 3, not 4');
    expect(lab.pins()).toEqual(before);
    expect(await pings(first, second)).toBe(6);
    await agent.set([cube('front', { outPorts: [1, 0] }, { generation: 5 })]);
  });

  test('follows an interface that is deleted and made again', async () => {
    const linkInode = lab.pins().get(`/cubeplane/${NODE}/v1/links/${second.hostDevice}`);
    await deletePodInterface(second);
    await waitFor(async () => !lab.pins().has(`/cubeplane/${NODE}/v1/links/${second.hostDevice}`));
    await run([
      'ip',
      'link',
      'add',
      second.hostDevice,
      'netns',
      lab.node.namespace.kernelName,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      second.namespace.kernelName,
    ]);
    await lab.node.namespace.ip(`link set ${second.hostDevice} up`);
    await second.namespace.ip(
      'link set eth0 up',
      `address add ${second.addresses.ipv4}/32 dev eth0`,
      `address add ${second.addresses.ipv6}/128 dev eth0 nodad`,
      'route add default via 10.244.1.1 dev eth0 onlink',
      'route add default via fd00:244:1::1 dev eth0 onlink',
    );
    await agent.ask('plug', { request: plugRequest(second) });
    expect(lab.pins().get(`/cubeplane/${NODE}/v1/links/${second.hostDevice}`)).not.toBe(linkInode);
    expect(await pings(first, second)).toBe(6);
  }, 120_000);

  test('is adopted after a SIGKILL: the same pins, and nothing to do', async () => {
    await agent.set([cube('front', { outPorts: [1, 0] }, { generation: 5 })]);
    await quiet();
    const before = lab.pins();
    await agent.kill();
    expect(await pings(first, second)).toBe(6);
    const { actions, health } = await startWith();
    expect(health.failure).toBeUndefined();
    expect(actions).toEqual([]);
    expect(lab.pins()).toEqual(before);
    expect(health.pods).toBe(2);
    expect(await agent.ask('plan')).toEqual([]);
    expect(await rows('front')).toEqual({ 1: 10, 2: 20 });
  }, 120_000);

  test('makes the maps that an agent before it did not have, beside those in force', async () => {
    await quiet();
    await agent.kill();
    const folder = `/cubeplane/${NODE}/v1/node/`;
    const later = ['flow_config', 'flow_limits', 'flow_events'];
    for (const map of later) unlinkSync(`${lab.bpffs}${folder}${map}`);
    const before = lab.pins();
    const { actions, health } = await startWith();
    expect(health.failure).toBeUndefined();
    expect(actions).toEqual(['AddMaps']);
    const after = lab.pins();
    for (const map of later) expect(after.has(`${folder}${map}`)).toBe(true);
    for (const [pin, inode] of before) expect([pin, after.get(pin)]).toEqual([pin, inode]);
    expect(await pings(first, second)).toBe(6);
    expect(await agent.ask('plan')).toEqual([]);
    expect(await rows('front')).toEqual({ 1: 10, 2: 20 });
  }, 120_000);

  test('lets go of maps that only an agent before it had, also when that one was killed on the way', async () => {
    await quiet();
    await agent.kill();
    const before = lab.pins();
    const former = ['flow_cache', 'flow_counters'];
    for (const name of former) {
      const path = `${lab.bpffs}/cubeplane/${NODE}/v1/node/${name}`;
      const type = ['type', 'array', 'key', '4', 'value', '4', 'entries', '1', 'name', name];
      await run(['bpftool', 'map', 'create', path, ...type]);
    }
    expect(lab.pins().size).toBe(before.size + former.length);
    const { actions, health } = await startWith();
    expect(health.failure).toBeUndefined();
    expect(actions).toEqual(['AddMaps']);
    expect(lab.pins()).toEqual(before);
    expect(await pings(first, second)).toBe(6);
    expect(await agent.ask('plan')).toEqual([]);
  }, 120_000);

  test('runs on what was committed while its source is silent, and removes nothing', async () => {
    await agent.stop();
    agent = await lab.start();
    const before = lab.pins();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await agent.ask<Settled>('settled')).actions).toEqual([]);
    expect(lab.pins()).toEqual(before);
    expect(await pings(first, second)).toBe(6);
    await agent.ask('set', { objects });
    await agent.ask('synced');
    expect((await agent.ask<Settled>('settled')).actions).toEqual([]);
  }, 120_000);

  test('holds a mass disappearance until somebody confirms it', async () => {
    await quiet();
    const many = Array.from({ length: 24 }, (_, i) => table(`many-${i}`, { [i + 10]: i }));
    await agent.set(many);
    const gone = many.map(({ metadata }) => ['CubeTable', 'cubeplane-system', metadata.name] as const);
    const held = await agent.set([], gone);
    expect(held.statuses[`CubeNode ${NODE}`].conditions).toContainEqual(
      expect.objectContaining({
        type: 'Stalled',
        message: expect.stringContaining('24 of 25 tables disappeared at once'),
      }),
    );
    expect(Object.keys(await rows('hub'))).toHaveLength(26);
    const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const allow = [process.execPath, cli, 'allow-removal', '--node', NODE, '--state-dir', lab.state];
    expect((await run(allow)).stdout).toBe(`node ${NODE}: let go: 24 of 25 tables\n`);
    await waitFor(async () => {
      await agent.ask('settled');
      return Object.keys(await rows('hub')).length === 2;
    });
    expect(await rows('hub')).toEqual({ 1: 10, 2: 20 });
    expect((await run(allow)).stdout).toBe(`node ${NODE}: nothing is held back\n`);
  }, 120_000);

  test('lets many tables go at once where the operator has written the routes of its Node', async () => {
    await quiet();
    const many = Array.from({ length: 24 }, (_, i) => table(`many-${i}`, { [i + 10]: i }));
    const metadata = {
      name: `node.${NODE}.0`,
      namespace: 'cubeplane-system',
      uid: 'uid-routes',
      generation: 1,
    };
    const routes = { kind: 'CubeTable' as const, metadata, spec: { type: 'Route', routes: [] } };
    const node = {
      kind: 'Node' as const,
      metadata: { name: NODE, uid: 'uid-of-node', generation: 1 },
      spec: {},
      status: {},
    };
    await agent.set([...many, routes, node]);
    const gone = many.map(({ metadata: { name } }) => ['CubeTable', 'cubeplane-system', name] as const);
    const { statuses } = await agent.set([], gone);
    expect(statuses[`CubeNode ${NODE}`].conditions).not.toContainEqual(
      expect.objectContaining({ type: 'Stalled', status: 'True' }),
    );
    await waitFor(async () => {
      await agent.ask('settled');
      return Object.keys(await rows('hub')).length === 2;
    });
    await agent.set(
      [],
      [
        ['CubeTable', 'cubeplane-system', metadata.name],
        ['Node', undefined, NODE],
      ],
    );
  }, 120_000);

  test('goes when its objects go, attachments of pods stay closed', async () => {
    await agent.set(
      [],
      [
        ['CubeLink', 'cubeplane-system', 'pods'],
        ['CubeLink', 'cubeplane-system', 'inner'],
        ['Cube', 'cubeplane-system', 'front'],
        ['Cube', 'cubeplane-system', 'hub'],
      ],
    );
    const left = [...lab.pins().keys()].filter((path) => path.includes('/cubes/'));
    expect(left).toEqual([]);
    expect(await pings(first, second, 1)).toBe(0);
  });

  test('is gone without a trace after down, also when half of it is gone already', async () => {
    await agent.set(objects);
    await agent.stop();
    const script = [
      `import { down } from ${JSON.stringify(new URL('../../src/dataplane/down.ts', import.meta.url).href)};`,
      'const log = { debug() {}, info() {}, warn() {}, error() {} };',
      `await down({ node: ${JSON.stringify(NODE)}, stateDir: ${JSON.stringify(lab.state)}, bpffs: ${JSON.stringify(lab.bpffs)}, log });`,
    ].join('\n');
    await run(['rm', '-r', `${lab.bpffs}/cubeplane/${NODE}/v1/programs`]);
    await lab.node.namespace.exec([process.execPath, '--input-type=module', '--eval', script]);
    expect([...lab.pins()]).toEqual([]);
    const again = await startWith();
    expect(again.health.failure).toBeUndefined();
    expect(again.health.pods).toBe(0);
    expect((await agent.set([link('pods', [pods, at('front', 'a')])])).health.failure).toBeUndefined();
  }, 120_000);
});

/** Until the events of devices that were made have been followed. */
async function quiet(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 300));
  await agent.ask('settled');
}

async function waitFor(condition: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not so after ${timeoutMs} ms`);
}
