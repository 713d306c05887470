// SPDX-License-Identifier: Apache-2.0
/**
 * The provider on a node with two uplinks: eth0, where the default route and the other node are, and eth1, to a network of its own.
 * The machine there has no route to anything of eth0, so nothing reaches it, or comes back, but by eth1 with eth1's address.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { connect, createNamespace, type Namespace, setPairChecksumOffload } from '../harness/netns.ts';
import { createMachine, type DualStack, type Machine, type Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { toProvider } from './support/manifests.ts';
import { named, TARGET } from './support/services.ts';
import { connectTcp } from './support/sockets.ts';
import { cubeTable, FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';
import { eventuallyWays, expectWays, type Way } from './support/ways.ts';

jest.setTimeout(180_000);

const [NODE_PORT, LOCAL_PORT] = [30_080, 30_081];
/** Of eth1 and of the machine there. */
const OWN = { ipv4: '198.18.1.11', ipv6: 'fd00:19::11' };
const STORAGE = { ipv4: '198.18.1.50', ipv6: 'fd00:19::50' };
/** Behind that machine, by a route of the node. */
const BEHIND = { ipv4: '203.0.113.9', ipv6: 'fd00:113::9' };
const FICTITIOUS = { ipv4: '10.244.1.254', ipv6: 'fd00:244:0:1:ffff:ffff:ffff:ffff' };

let lab: TwoNodes;
let here: Pod;
let away: Pod;
let outside: Machine;
let storage: Namespace;

const node = () => lab.worker(0).node;

async function plugSecond(): Promise<void> {
  await connect({ namespace: node().namespace, device: 'eth1' }, { namespace: storage, device: 'eth0' });
  await node().namespace.ip(
    `address add ${OWN.ipv4}/24 dev eth1`,
    `address add ${OWN.ipv6}/64 dev eth1 nodad`,
    `route add ${BEHIND.ipv4} via ${STORAGE.ipv4}`,
    `route add ${BEHIND.ipv6} via ${STORAGE.ipv6}`,
  );
  await storage.ip(
    `address add ${STORAGE.ipv4}/24 dev eth0`,
    `address add ${STORAGE.ipv6}/64 dev eth0 nodad`,
  );
}

const toEth1 = (name: string, to: DualStack): Way => ({
  name,
  from: here.namespace,
  to,
  port: TARGET,
  by: ['storage'],
  sees: OWN,
});
const ways = (): Way[] => [
  toEth1('a machine on eth1', STORAGE),
  toEth1('what the routes of the node say is behind it', BEHIND),
  { ...toEth1('the world by eth0', outside.addresses), by: ['outside'], sees: node().addresses },
  {
    name: 'NodePort at the address of eth1',
    from: storage,
    to: OWN,
    port: NODE_PORT,
    by: ['here', 'away'].sort(),
    sees: FICTITIOUS,
  },
  {
    name: 'NodePort of policy Local at the address of eth1',
    from: storage,
    to: OWN,
    port: LOCAL_PORT,
    by: ['here'],
    sees: STORAGE,
  },
  { name: 'node', from: node().namespace, to: STORAGE, port: TARGET, by: ['storage'], sees: OWN },
];

/** Answered for by the node, and in the subnet of eth1. */
const ANNOUNCED = { ipv4: '198.18.1.80', ipv6: 'fd00:19::80' };
/** The same of eth0. */
const FIRST = { ipv4: '198.18.0.80', ipv6: 'fd00:18::80' };

function announce(addresses: readonly string[]): void {
  const service = { namespace: 'default', name: 'web' };
  lab.manifests.write(
    'announcement.yaml',
    cubeTable('announcement', {
      type: 'Announcement',
      announcements: addresses.map((address) => ({ address, node: node().name, service })),
    }),
  );
}

/** What the neighbours of a machine know by themselves: its addresses' MACs. */
async function heard(by: Namespace, { ipv4, ipv6 }: DualStack): Promise<(string | undefined)[]> {
  const known = await by.ipJson('neigh show');
  return [ipv4, ipv6].map(
    (address) => known.find(({ dst }) => dst === address)?.lladdr as string | undefined,
  );
}

beforeAll(async () => {
  lab = await openTwoNodes('several uplinks', {
    chain: (chain) => {
      toProvider(chain);
      // biome-ignore lint/suspicious/noExplicitAny: a chain is any object here
      const uplink = chain.spec.links.find(({ name }: any) => name === 'uplink');
      // node-b has neither, no node has the second
      uplink.endpoints[1].interface.others = ['eth1', 'eth7'];
    },
  });
  here = await lab.addPod(0, 'here', 11);
  away = await lab.addPod(1, 'away', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  storage = await createNamespace(lab.lab, 'storage');
  await plugSecond();
  await storage.ip(
    'link set lo up',
    `address add ${BEHIND.ipv4}/32 dev lo`,
    `address add ${BEHIND.ipv6}/128 dev lo nodad`,
  );
  for (const { namespace, name } of [here, away, outside]) await startServer(namespace, name, TARGET);
  for (const address of [...Object.values(STORAGE), ...Object.values(BEHIND)])
    await startServer(storage, 'storage', TARGET, address);
  const service = (name: string, number: number, nodePort: number, policy: string) => {
    const ports = named.map((port) => ({ ...port, nodePort }));
    const spec = { type: 'NodePort', externalTrafficPolicy: policy };
    lab.writeService({ name, number, ports, backends: [here, away], spec });
  };
  service('web', 10, NODE_PORT, 'Cluster');
  service('local', 11, LOCAL_PORT, 'Local');
  await eventuallyWays(ways());
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
    const ends = [
      { namespace: node().namespace, device: 'eth1' },
      { namespace: storage, device: 'eth0' },
    ];
    await setPairChecksumOffload(ends, offload);
  });

  test('what the host reaches by one of them, pods reach by it and with its address; clients there reach node ports', async () => {
    await expectWays(ways());
  });
});

test('an address is announced where its subnet is, with the MAC of the interface there', async () => {
  const macOf = async (device: string) =>
    String((await node().namespace.ipJson(`link show ${device}`))[0]?.address);
  const [mac0, mac1] = [await macOf('eth0'), await macOf('eth1')];
  // who knows somebody else learns who has it now
  const wrong = '02:00:00:00:00:99';
  const places = [
    { by: storage, device: 'eth0', addresses: ANNOUNCED, mac: mac1 },
    { by: outside.namespace, device: 'eth0', addresses: FIRST, mac: mac0 },
  ];
  const all = places.flatMap(({ addresses }) => Object.values(addresses));
  for (const { by, device } of places)
    await by.ip(...all.map((address) => `neigh replace ${address} lladdr ${wrong} dev ${device} nud stale`));
  announce(all);
  for (const { by, addresses, mac } of places)
    for (const deadline = Date.now() + 20_000; ; await sleep(100)) {
      const now = await heard(by, addresses);
      if (now.join() === [mac, mac].join()) break;
      if (Date.now() > deadline) expect(now).toEqual([mac, mac]);
    }
  // and not at the other ones
  await sleep(3500);
  expect(await heard(storage, FIRST)).toEqual([wrong, wrong]);
  expect(await heard(outside.namespace, ANNOUNCED)).toEqual([wrong, wrong]);
  const groups = async (device: string) =>
    (await node().namespace.exec(['ip', '-6', 'maddress', 'show', 'dev', device])).stdout;
  expect(await groups('eth1')).toContain('ff02::1:ff00:80');
  announce([]);
});

test('what is for nobody there is the host’s, and it stays itself', async () => {
  for (const family of FAMILIES)
    expect((await connectTcp(storage, OWN[family], 81)).error).toBe('ECONNREFUSED');
  for (const { agent } of lab.workers) expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

test('an interface that gets another name is the same attachment: it stays, and its connections do', async () => {
  const rename = async (from: string, to: string) => {
    const load = await startLoad(here.namespace, outside.addresses.ipv4, TARGET, { every: 20, long: 2 });
    await node().namespace.ip(
      `link set ${from} down`,
      `link set ${from} name ${to}`,
      `link set ${to} up`,
      `address add ${OWN.ipv6}/64 dev ${to} nodad`,
      `route replace ${BEHIND.ipv4} via ${STORAGE.ipv4}`,
      `route replace ${BEHIND.ipv6} via ${STORAGE.ipv6}`,
    );
    await eventuallyWays(ways());
    expect((await load.end()).failures).toEqual([]);
    expect((await lab.worker(0).agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
  };
  await rename('eth1', 'eth7');
  await rename('eth7', 'eth1');
});

test('connections by both outlive the agent, and each the end of the other interface', async () => {
  const { agent } = lab.worker(0);
  const load = (to: DualStack) =>
    FAMILIES.map((family) => startLoad(here.namespace, to[family] ?? '', TARGET, { every: 20, long: 2 }));
  const loads = await Promise.all([...load(STORAGE), ...load(outside.addresses)]);
  await agent.kill();
  await agent.start();
  for (const report of await Promise.all(loads.map((one) => one.end()))) {
    expect(report.failures).toEqual([]);
    expect(report.requests).toBeGreaterThan(10);
  }
  const world = await Promise.all(load(outside.addresses));
  await node().namespace.ip('link delete eth1');
  const toWorld = ways().filter(({ name }) => name === 'the world by eth0');
  await expectWays(toWorld);
  await plugSecond();
  await eventuallyWays(ways());
  for (const one of world) expect((await one.end()).failures).toEqual([]);
});
