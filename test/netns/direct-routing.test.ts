// SPDX-License-Identifier: Apache-2.0
/**
 * The provider with `directRouting: SameSubnet`: nodes of one subnet without the tunnel, one behind a router by the tunnel, all with
 * the same chain. node-a and node-b are on the switch's subnet, node-c is on another one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { answers, eventually, everything } from './support/answers.ts';
import { nodeObject, toProvider } from './support/manifests.ts';
import { startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(240_000);

const TARGET = 8080;
const BULK = 8090;
const BYTES = 20_000_000;
/** The other subnet: its router, and node-c. */
const OTHER = { ipv4: '198.19.0.', ipv6: 'fd00:19::' } as const;

let lab: TwoNodes;
let here: Pod;
let beside: Pod;
let behind: Pod;

// biome-ignore lint/suspicious/noExplicitAny: a field of the chain is changed
function providerWith(chain: any, directRouting: string): void {
  toProvider(chain);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const overlay = chain.spec.links.find(({ name }: any) => name === 'overlay');
  overlay.endpoints[1].overlay.directRouting = directRouting;
}

const nodeOf = (index: number): Namespace => lab.worker(index).node.namespace;

/** Packets that a node has sent by the tunnel. */
async function tunnelled(index: number): Promise<number> {
  const { stdout } = await nodeOf(index).exec(['cat', '/proc/net/dev']);
  const line = stdout.split('\n').find((text) => text.trim().startsWith('cubevxlan:')) ?? '';
  return Number(line.split(':')[1]?.trim().split(/\s+/)[9]);
}

const routes = async (index = 0): Promise<string> =>
  (await nodeOf(index).exec(['ip', 'route', 'show'])).stdout +
  (await nodeOf(index).exec(['ip', '-6', 'route', 'show'])).stdout;

function write(directRouting: string): void {
  const chain = {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'ServiceChain',
    metadata: { name: 'kubernetes', namespace: 'cubeplane-system' },
  };
  providerWith(chain, directRouting);
  lab.manifests.write('chain.yaml', chain);
}

beforeAll(async () => {
  lab = await openTwoNodes('direct routing', {
    nodes: 3,
    chain: (chain) => providerWith(chain, 'SameSubnet'),
  });
  const router = await createMachine(lab.underlay, 'router', 60);
  await router.namespace.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  await router.namespace.ip(
    `address add ${OTHER.ipv4}1/24 dev eth0`,
    `address add ${OTHER.ipv6}1/64 dev eth0 nodad`,
  );
  for (const index of [0, 1])
    await nodeOf(index).ip(
      `route add ${OTHER.ipv4}0/24 via ${router.addresses.ipv4}`,
      `route add ${OTHER.ipv6}/64 via ${router.addresses.ipv6}`,
    );
  const c = lab.worker(2).node;
  await c.namespace.ip(
    `address delete ${c.addresses.ipv4}/24 dev eth0`,
    `address delete ${c.addresses.ipv6}/64 dev eth0`,
    `address add ${OTHER.ipv4}13/24 dev eth0`,
    `address add ${OTHER.ipv6}13/64 dev eth0 nodad`,
    `route add default via ${OTHER.ipv4}1`,
    `route add default via ${OTHER.ipv6}1`,
  );
  const moved = { ...c, addresses: { ipv4: `${OTHER.ipv4}13`, ipv6: `${OTHER.ipv6}13` } };
  const nodes = lab.workers.map(({ node }, index) => nodeObject(index === 2 ? moved : node, index));
  lab.manifests.write('nodes.yaml', ...nodes);
  here = await lab.addPod(0, 'here', 11);
  beside = await lab.addPod(1, 'beside', 11);
  behind = await lab.addPod(2, 'behind', 11);
  for (const pod of [here, beside, behind]) {
    await startServer(pod.namespace, pod.name, TARGET);
    await startBulkServer(pod.namespace, BULK);
  }
  await eventually(here.namespace, behind, [TARGET], everything(TARGET));
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  test('nodes of the subnet are reached without the tunnel, the other one by it', async () => {
    const before = await Promise.all([0, 1, 2].map(tunnelled));
    expect(await answers(here.namespace, beside, [TARGET])).toEqual(everything(TARGET));
    expect(await answers(beside.namespace, here, [TARGET])).toEqual(everything(TARGET));
    expect(await answers(nodeOf(0), beside, [TARGET])).toEqual(everything(TARGET));
    const between = await Promise.all([0, 1, 2].map(tunnelled));
    expect(between).toEqual(before);
    expect(await answers(here.namespace, behind, [TARGET])).toEqual(everything(TARGET));
    expect(await answers(behind.namespace, beside, [TARGET])).toEqual(everything(TARGET));
    const after = await Promise.all([0, 1, 2].map(tunnelled));
    expect(after.map((count, index) => count > (between[index] ?? 0))).toEqual([true, true, true]);
  });
});

test('the host routes to nodes of the subnet by their addresses, and nothing is left to do', async () => {
  const text = await routes();
  expect(text).toContain('10.244.2.0/24 via 198.18.0.12 dev eth0 src 10.244.1.1 metric 77');
  expect(text).toMatch(/fd00:244:0:2::\/64 via fd00:18::12 dev eth0 .*metric 77/);
  expect(text).toMatch(/10\.244\.3\.0\/24 dev cube0 .*metric 77/);
  for (const { agent } of lab.workers) expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

test('both ways are measured, one after the other, and a change of the chain switches between them', async () => {
  const seconds: Record<string, number[]> = { Never: [], SameSubnet: [] };
  for (const mode of ['SameSubnet', 'Never', 'SameSubnet', 'Never', 'SameSubnet']) {
    write(mode);
    const isDirect = mode === 'SameSubnet';
    await until(`routes of ${mode}`, async () => (await routes()).includes('10.244.2.0/24 via') === isDirect);
    await eventually(here.namespace, beside, [TARGET], everything(TARGET));
    const report = await transfer(here.namespace, beside.addresses.ipv4 ?? '', BULK, BYTES);
    expect(report).toMatchObject({ take: true, give: true });
    seconds[mode]?.push(report.takeSeconds + report.giveSeconds);
  }
  const rate = (list: readonly number[] = []) =>
    list.map((time) => `${((2 * BYTES * 8) / time / 1e9).toFixed(2)} Gb/s`).join(', ');
  process.stderr.write(`direct: ${rate(seconds.SameSubnet)}; by the tunnel: ${rate(seconds.Never)}\n`);
});

test('a change of the way loses no datagram, whichever node hears of it last', async () => {
  const ways = FAMILIES.flatMap((family) => [
    [here.namespace, beside.addresses[family]] as const,
    [beside.namespace, here.addresses[family]] as const,
    [nodeOf(0), beside.addresses[family]] as const,
  ]);
  const loads = await Promise.all(
    ways.map(([from, address]) =>
      startLoad(from, address ?? '', TARGET, { udp: true, every: 10, timeout: 1000 }),
    ),
  );
  for (const [mode, late] of [
    ['Never', 0],
    ['SameSubnet', 1],
    ['Never', 1],
    ['SameSubnet', 0],
  ] as const) {
    const { running } = lab.worker(late).agent;
    running.kill('SIGSTOP');
    write(mode);
    await sleep(2000);
    running.kill('SIGCONT');
    for (const index of [0, 1])
      await until(
        `routes of ${mode} at node ${index}`,
        async () => /10\.244\.[12]\.0\/24 via/.test(await routes(index)) === (mode === 'SameSubnet'),
      );
  }
  const reports = await Promise.all(loads.map((load) => load.end()));
  expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
  for (const { requests } of reports) expect(requests).toBeGreaterThan(300);
});

test('down takes the routes past cube0 away too', async () => {
  const { agent } = lab.worker(0);
  await agent.stop();
  await agent.down();
  expect(await routes()).not.toMatch(/10\.244\.|fd00:244:/);
});
