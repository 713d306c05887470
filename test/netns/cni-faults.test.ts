// SPDX-License-Identifier: Apache-2.0
/** Calls that are broken, calls that are killed, and agents that are away. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { deviceOf } from '../../src/dataplane/cni/attachment.ts';
import { Agent } from '../harness/cubeplane.ts';
import { openLab } from '../harness/lab.ts';
import { deleteNamespace } from '../harness/netns.ts';
import { createNodes, createUnderlay } from '../harness/topology.ts';
import {
  addressesOf,
  type CallOptions,
  CniRuntime,
  type Container,
  cniFlags,
  NOTHING,
  ping,
} from './support/cni.ts';
import { Counters } from './support/counters.ts';
import { Manifests, nodeObject, sampleChain } from './support/manifests.ts';
import { openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

const CLI = new URL('../../src/cli/main.ts', import.meta.url).pathname;
/** ADDs that are killed; `npm run soak` asks for more. */
const KILLED = Number(process.env.CUBEPLANE_CNI_KILLS ?? 40);
jest.setTimeout(180_000 + KILLED * 2_000);

let lab: TwoNodes;
let cni: CniRuntime;

beforeAll(async () => {
  lab = await openTwoNodes('cni faults test', { nodes: 1, flagsOf: cniFlags });
  cni = new CniRuntime(lab.worker(0));
});
afterEach(async () => {
  // One that fails leaves nothing to the others.
  await cni.gc([]);
});
afterAll(async () => {
  await lab?.close();
});

describe('a broken request', () => {
  let container: Container;
  beforeAll(async () => {
    container = await cni.container();
  });

  test.each<[string, string, CallOptions, number, string]>([
    ['no command', '', {}, 4, 'CNI_COMMAND'],
    ['an unknown command', 'REMOVE', {}, 4, 'CNI_COMMAND'],
    ['no container', 'ADD', { env: { CNI_CONTAINERID: undefined } }, 4, 'CNI_CONTAINERID'],
    ['a container with a slash', 'ADD', { env: { CNI_CONTAINERID: '../../etc' } }, 4, 'CNI_CONTAINERID'],
    ['no interface', 'ADD', { env: { CNI_IFNAME: '' } }, 4, 'CNI_IFNAME'],
    ['an interface that is too long', 'ADD', { ifname: 'interface-number-1' }, 4, 'CNI_IFNAME'],
    ['an interface of two lines', 'ADD', { ifname: 'a\nlink' }, 4, 'CNI_IFNAME'],
    ['no namespace', 'ADD', { env: { CNI_NETNS: undefined } }, 4, 'CNI_NETNS'],
    ['a namespace that is not there', 'ADD', { env: { CNI_NETNS: '/run/netns/none' } }, 4, 'ENOENT'],
    ['a namespace that is a file', 'ADD', { env: { CNI_NETNS: '/etc/passwd' } }, 4, 'no namespace'],
    [
      'a namespace of another kind',
      'ADD',
      { env: { CNI_NETNS: '/proc/self/ns/mnt' } },
      104,
      'Invalid argument',
    ],
    ['an interface that is there', 'ADD', { ifname: 'lo' }, 4, 'CNI_IFNAME'],
    ['arguments that are none', 'ADD', { env: { CNI_ARGS: 'x' } }, 4, 'CNI_ARGS'],
    ['an argument that means nothing', 'ADD', { env: { CNI_ARGS: 'IP=10.244.1.9' } }, 4, 'CNI_ARGS'],
    ['no configuration', 'ADD', { input: '' }, 6, 'no JSON'],
    ['half a configuration', 'ADD', { input: '{"cniVersion":"1.0.0",' }, 6, 'no JSON'],
    ['an old version', 'ADD', { conf: { cniVersion: '0.2.0' } }, 1, '0.2.0'],
    ['a future version', 'ADD', { conf: { cniVersion: '3.0.0' } }, 1, '3.0.0'],
    ['no version', 'ADD', { conf: { cniVersion: undefined } }, 1, 'cniVersion'],
    ['a command that came later', 'GC', { conf: { cniVersion: '1.0.0' } }, 1, 'GC'],
    ['no name', 'ADD', { conf: { name: undefined } }, 7, 'name'],
    ['a misspelt field', 'ADD', { conf: { mut: 1400 } }, 2, 'mut'],
    ['ipam', 'ADD', { conf: { ipam: { type: 'host-local' } } }, 2, 'ipam'],
    [
      'ports of the node, which no cube here serves',
      'ADD',
      { conf: { runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } } },
      2,
      'portMappings: no LoadBalancer',
    ],
    ['another capability', 'ADD', { conf: { capabilities: { ips: true } } }, 2, 'capabilities.ips'],
    ['a plugin before', 'ADD', { conf: { prevResult: {} } }, 7, 'prevResult'],
    ['a range of another node', 'ADD', { conf: { ranges: [{ subnet: '10.244.2.0/24' }] } }, 7, 'ranges'],
    ['a range that is none', 'ADD', { conf: { ranges: [{ subnet: 'x' }] } }, 7, 'ranges[0].subnet'],
    ['GC with a text', 'GC', { conf: { 'cni.dev/valid-attachments': 'x' } }, 7, 'cni.dev/valid-attachments'],
    ['an unknown container', 'CHECK', { conf: { prevResult: {} } }, 3, 'CNI_CONTAINERID'],
  ])('%s: an error by name, and nothing is left', async (_, command, options, code, names) => {
    const { status, json } = await cni.call(command, container, options);
    expect({ status, code: json.code }).toEqual({ status: 1, code });
    expect(json.msg).toContain(names);
    expect(json.details).not.toBe('');
    expect(await cni.traces()).toEqual(NOTHING);
    expect((await container.namespace.ipJson('link show')).map(({ ifname }) => ifname)).toEqual(['lo']);
  });
});

test('what is there already is no obstacle: a pair of that name, IPv6 switched off', async () => {
  const container = await cni.container();
  const device = deviceOf(`${container.id}/eth0`);
  await lab.worker(0).node.namespace.ip(`link add ${device} type veth peer name old0`);
  await container.namespace.sysctl({
    'net.ipv6.conf.all.disable_ipv6': 1,
    'net.ipv6.conf.default.disable_ipv6': 1,
  });
  const other = await cni.container();
  await cni.add(container);
  for (const to of addressesOf(await cni.add(other))) expect(await ping(container.namespace, to)).toBe(2);
  expect(await cni.gc([])).toMatchObject({ status: 0 });
  expect(await cni.traces()).toEqual(NOTHING);
});

test(`${KILLED} ADDs killed at any moment: nothing is left after GC`, async () => {
  // Most moments are early ones: an ADD takes milliseconds on an idle machine, and more on a busy one.
  let answered = 0;
  for (let i = 0; i < KILLED; i += 4) {
    const batch = await Promise.all(
      Array.from({ length: Math.min(4, KILLED - i) }, () =>
        cni.container(`k${i}${Math.random().toString(36).slice(2, 7)}`),
      ),
    );
    const done = await Promise.all(batch.map((one) => cni.addAndKill(one, Math.random() ** 3 * 600)));
    answered += done.filter(Boolean).length;
    for (const { namespace } of batch.slice(0, 2)) await deleteNamespace(namespace);
  }
  // Most are taken back by the agent, which finds nobody to hear its answer.
  let { leases } = await cni.traces();
  for (let before = -1; leases !== before; ) {
    before = leases;
    await sleep(1000);
    ({ leases } = await cni.traces());
  }
  process.stderr.write(`cni: ${KILLED} ADDs killed: ${answered} had answered, ${leases} stay until GC\n`);
  expect(await cni.gc([])).toMatchObject({ status: 0 });
  expect(await cni.traces()).toEqual(NOTHING);
  expect(answered).toBeLessThan(KILLED);
});

test('an agent killed in the middle of ADDs: the next one leaves nothing half made', async () => {
  const { agent } = lab.worker(0);
  for (const afterMs of [5, 30, 60, 100, 180]) {
    const containers = await Promise.all(Array.from({ length: 3 }, () => cni.container()));
    const calls = containers.map((container) => cni.call('ADD', container));
    await sleep(afterMs);
    await agent.kill();
    for (const { status, json } of await Promise.all(calls)) if (status !== 0) expect(json.code).toBe(11);
    await agent.start();
    // Whoever has heard nothing asks again, or cleans up.
    for (const container of containers) await cni.delete(container);
    expect(await cni.traces()).toEqual(NOTHING);
  }
});

test('while the agent is away pods have their network, and runtimes are told to come again', async () => {
  const { agent } = lab.worker(0);
  const [one, two, late] = [await cni.container(), await cni.container(), await cni.container()];
  const result = await cni.add(one);
  const [to = ''] = addressesOf(await cni.add(two));
  await agent.stop();
  expect(await ping(one.namespace, to)).toBe(2);
  for (const [command, code] of [
    ['ADD', 11],
    ['DEL', 11],
    ['CHECK', 11],
    ['GC', 11],
    ['STATUS', 50],
  ] as const) {
    const { status, json, ms } = await cni.call(command, late);
    expect([command, status, json.code]).toEqual([command, 1, code]);
    expect(ms).toBeLessThan(5_000);
  }
  await agent.start();
  expect(await cni.call('CHECK', one, { conf: { prevResult: result } })).toMatchObject({ status: 0 });
  expect(await ping(one.namespace, to)).toBe(2);
  // The next address is none that is in use.
  const [next = ''] = addressesOf(await cni.add(late));
  expect([to, ...addressesOf(result)]).not.toContain(next);
  for (const container of [one, two, late]) await cni.delete(container);
  expect(await cni.traces()).toEqual(NOTHING);
});

test('an agent that starts without its API server serves pods, from what was committed', async () => {
  const { agent, node } = lab.worker(0);
  const before = await cni.container();
  const [to = ''] = addressesOf(await cni.add(before));
  await agent.stop();
  const kubeconfig = join(lab.lab.directory, 'nowhere.kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: 'https://198.18.0.250:6443' } }],
      users: [{ name: 'u', user: { token: 'none' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const alone = await node.namespace.start('agent-alone', [
    ...[process.execPath, CLI, 'up', '--node', node.name, '--kubeconfig', kubeconfig],
    ...['--state-dir', agent.stateDir, '--bpffs', agent.bpffs, ...cniFlags(node)],
  ]);
  await alone.waitUntil('serving', async () => (await cni.call('STATUS')).status === 0, 60_000);
  const late = await cni.container();
  const result = await cni.add(late);
  expect(result.ips).toHaveLength(2);
  expect(await ping(late.namespace, to)).toBe(2);
  await cni.delete(before);
  await alone.stop();
  await agent.start();
  expect(await cni.call('CHECK', late, { conf: { prevResult: result } })).toMatchObject({ status: 0 });
  await cni.delete(late);
  expect(await cni.traces()).toEqual(NOTHING);
});

test('after a node has started anew the leases of what is gone are free', async () => {
  const { agent, node } = lab.worker(0);
  const [gone, kept] = [await cni.container(), await cni.container()];
  const result = await cni.add(gone);
  await cni.add(kept);
  await agent.kill();
  await node.namespace.ip(`link delete ${result.interfaces[0].name}`);
  await deleteNamespace(gone.namespace);
  await agent.start();
  expect(await cni.traces()).toMatchObject({ leases: 1, pods: 1, rows: 2 });
  await cni.delete(gone);
  await cni.delete(kept);
  expect(await cni.traces()).toEqual(NOTHING);
});

test('two agents do not serve one socket, and the configuration appears with the chain only', async () => {
  const own = await openLab('cni start test');
  try {
    const [node] = await createNodes(await createUnderlay(own), ['node-a']);
    if (node === undefined) throw new Error('no node');
    const manifests = new Manifests(join(own.directory, 'manifests'));
    const agent = new Agent(node, { manifests: manifests.directory }, cniFlags(node));
    await agent.start();
    const counters = new Counters(agent.bpffs, node.name);
    const runtime = new CniRuntime({ index: 0, node, agent, counters });
    // As runtimes do: what is being written has another ending.
    const isList = (name: string) => name.endsWith('.conflist');
    const files = () => (existsSync(runtime.confDir) ? readdirSync(runtime.confDir).filter(isList) : []);
    const container = await runtime.container();
    expect((await runtime.call('STATUS')).json).toMatchObject({
      code: 51,
      msg: expect.stringContaining('Pods'),
    });
    expect((await runtime.call('ADD', container)).json).toMatchObject({ code: 11 });
    expect(files()).toEqual([]);
    manifests.write('all.yaml', sampleChain(), nodeObject(node, 0));
    for (const deadline = Date.now() + 60_000; files().length === 0 && Date.now() < deadline; )
      await sleep(50);
    expect(files()).toEqual(['05-cubeplane.conflist']);
    expect(await runtime.call('STATUS')).toMatchObject({ status: 0 });
    await runtime.add(container);

    const second = await node.namespace.exec(
      [process.execPath, CLI, 'up', '--node', 'node-z'].concat(
        [
          '--manifests',
          manifests.directory,
          '--state-dir',
          join(own.directory, 'other'),
          '--bpffs',
          agent.bpffs,
        ],
        cniFlags(node),
      ),
      { anyStatus: true },
    );
    expect(second.status).not.toBe(0);
    expect(second.stderr).toContain('another agent serves');
    // A chain that goes takes nothing away from the runtime.
    expect(files()).toEqual(['05-cubeplane.conflist']);
  } finally {
    await own.close();
  }
});
