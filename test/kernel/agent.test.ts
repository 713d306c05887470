// SPDX-License-Identifier: Apache-2.0

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Lab, openLab } from '../harness/lab.ts';
import { run } from '../harness/process.ts';
import { createNode, createPod, createUnderlay, type Node, type Pod } from '../harness/topology.ts';
import { AgentClient, type Settled } from './support/agent-client.ts';
import { cubeNode, hubChain, NODE, table } from './support/agent-objects.ts';

let lab: Lab;
let node: Node;
let state: string;
let bpffs: string;
const agents: AgentClient[] = [];

async function startAgent(env: Record<string, string> = {}): Promise<AgentClient> {
  const agent = new AgentClient(node.namespace.path, { NODE, STATE: state, BPFFS: bpffs, ...env });
  agents.push(agent);
  return await agent.started();
}

beforeAll(async () => {
  lab = await openLab('agent test');
  state = await mkdtemp(join(tmpdir(), 'cubeplane-agent-'));
  bpffs = join(state, 'bpffs');
  await mkdir(bpffs);
  await run(['mount', '-t', 'bpf', 'bpf', bpffs]);
  const underlay = await createUnderlay(lab);
  node = await createNode(underlay, NODE, 0);
}, 60_000);

afterAll(async () => {
  for (const agent of agents) agent.child.kill('SIGKILL');
  await lab?.close();
  if (bpffs !== undefined) await run(['umount', bpffs], { anyStatus: true });
  if (state !== undefined) await rm(state, { recursive: true, force: true });
}, 60_000);

describe('an agent with a chain of two cubes', () => {
  let agent: AgentClient;
  let first: Pod;
  let second: Pod;

  test('loads it, plugs two pods, and they reach each other', async () => {
    agent = await startAgent();
    await agent.ask('set', { objects: [...hubChain(), cubeNode(), table('rows', { 1: 10, 2: 20 })] });
    await agent.ask('synced');
    const settled = await agent.ask<Settled>('settled');
    expect(settled.health.failure).toBeUndefined();
    const gateways = { ipv4: '10.244.1.1', ipv6: 'fd00:244:1::1' };
    first = await createPod(node, {
      name: 'one',
      addresses: { ipv4: '10.244.1.2/32', ipv6: 'fd00:244:1::2/128' }, gateways,
    });
    second = await createPod(node, {
      name: 'two',
      addresses: { ipv4: '10.244.1.3/32', ipv6: 'fd00:244:1::3/128' }, gateways,
    });
    for (const pod of [first, second]) {
      const request = {
        namespace: 'default',
        name: pod.name,
        interface: pod.hostDevice,
        netns: pod.namespace.path,
        addresses: [pod.addresses.ipv4, pod.addresses.ipv6],
        gateways: ['10.244.1.1', 'fd00:244:1::1'],
      };
      await agent.ask('plug', { request });
    }
    for (const address of ['10.244.1.3', 'fd00:244:1::3']) {
      const { stdout } = await first.namespace.exec(['ping', '-c', '3', '-i', '0.05', '-W', '1', address]);
      expect(stdout).toContain('3 received');
    }
    expect(await agent.ask('plan')).toEqual([]);
  }, 60_000);
});
