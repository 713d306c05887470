// SPDX-License-Identifier: Apache-2.0
/**
 * The provider while parts of a node fail: open connections between pods of two nodes, directly and by a Service, have to survive.
 * How long packets did not pass is told.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { connect } from '../harness/netns.ts';
import { type Pod, UNDERLAY } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { podNetwork, toProvider, vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { holdConnections } from './support/sockets.ts';
import { FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(240_000);

const CONNECTIONS = 10;
/** Of the pod's own address: a Service's connection from the port of one to the same port there takes its answers (docs/services.md). */
const DIRECT = 8081;

let lab: TwoNodes;
let client: Pod;
let server: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('provider faults', {
    chain: toProvider,
  });
  client = await lab.addPod(0, 'client', 11);
  server = await lab.addPod(1, 'server', 11);
  for (const port of [TARGET, DIRECT]) await startServer(server.namespace, server.name, port);
  const other = lab.worker(1).node;
  await startServer(other.namespace, other.name, TARGET);
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [server] });
  await lab.untilFrontends(0, 4);
});
afterAll(async () => {
  await lab?.close();
});

const node = () => lab.worker(0).node;

/** Whether a packet comes back, in both families. */
async function passes(): Promise<boolean> {
  for (const family of FAMILIES) {
    const argv = ['ping', '-n', '-c', '1', '-W', '1', server.addresses[family] ?? ''];
    if ((await client.namespace.exec(argv, { anyStatus: true })).status !== 0) return false;
  }
  return true;
}

async function untilPassing(): Promise<void> {
  for (const deadline = Date.now() + 90_000; !(await passes()); await sleep(20))
    if (Date.now() > deadline) throw new Error('no packet passes after 90 s');
}

/** The agent has seen that this is the uplink, and has finished the round that follows from it. */
async function untilUplink(device: string): Promise<void> {
  const isSeen = async () => {
    const status = (await lab.statuses(0)).get(`CubeNode//${node().name}`)?.status as { uplink?: string };
    return status?.uplink === device;
  };
  for (const deadline = Date.now() + 60_000; !(await isSeen()); await sleep(20))
    if (Date.now() > deadline) throw new Error(`${device} is not said to be the uplink after 60 s`);
  expect((await lab.worker(0).agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
}

/** Open connections of both families, to the pod, to its Service, and by the uplink to the other node, live through a fault. */
async function survive(what: string, fault: () => Promise<void>): Promise<void> {
  const held = [];
  for (const family of FAMILIES) {
    held.push(await holdConnections(client.namespace, server.addresses[family] ?? '', DIRECT, CONNECTIONS));
    held.push(await holdConnections(client.namespace, vipsOf(10)[family], PORT, CONNECTIONS));
    const other = lab.worker(1).node.addresses[family];
    held.push(await holdConnections(client.namespace, other, TARGET, CONNECTIONS));
  }
  const began = performance.now();
  await fault();
  const done = performance.now();
  await untilPassing();
  const ms = Math.round(performance.now() - done);
  process.stderr.write(
    `${what}: packets pass ${ms} ms after it (which took ${Math.round(done - began)} ms)\n`,
  );
  for (const connections of held)
    expect(await connections.check()).toEqual({ alive: CONNECTIONS, errors: {} });
}

test('an agent that is killed ten times: no request fails', async () => {
  const loads = [
    await startLoad(client.namespace, server.addresses.ipv4 ?? '', DIRECT, { long: 4, every: 50 }),
    await startLoad(client.namespace, vipsOf(10).ipv6, PORT, { long: 4, every: 50 }),
  ];
  // By the uplink, which on a node without a default route only the Node object names: a new agent has not heard of it yet.
  for (const address of Object.values(lab.worker(1).node.addresses))
    loads.push(await startLoad(client.namespace, address, TARGET, { long: 4, every: 50 }));
  const { agent } = lab.worker(0);
  for (let round = 0; round < 10; round++) {
    await agent.kill();
    await agent.start();
  }
  for (const load of loads) {
    const { failures, requests } = await load.end();
    expect({ failures, isDone: requests > 100 }).toEqual({ failures: [], isDone: true });
  }
});

/** MAC that a pod is told when it asks for its gateway, as one does that nobody has given a permanent neighbour. */
async function gatewayMac(pod: Pod, family: (typeof FAMILIES)[number]): Promise<string> {
  const gateway = podNetwork(pod.node === node() ? 0 : 1, 0).gateways[family] ?? '';
  await pod.namespace.exec(['ip', 'neighbour', 'delete', gateway, 'dev', 'eth0']);
  await pod.namespace.exec(['ping', '-n', '-c', '1', '-W', '2', gateway]);
  const found = await pod.namespace.exec(['ip', '-json', 'neighbour', 'show', gateway, 'dev', 'eth0']);
  const [{ lladdr, state } = { lladdr: '', state: [] }] = JSON.parse(found.stdout) as {
    lladdr: string;
    state: string[];
  }[];
  expect(state).not.toContain('PERMANENT');
  return lladdr;
}

test('the MAC of the gateway is one on all nodes, and outlives their agents', async () => {
  const pods = [await lab.addPod(0, 'asks', 12), await lab.addPod(1, 'asks', 12)];
  const told = async () => {
    const macs = await Promise.all(pods.flatMap((pod) => FAMILIES.map((family) => gatewayMac(pod, family))));
    const devices = await Promise.all(pods.map((pod) => pod.node.namespace.macOf('cube0')));
    return [...macs, ...devices];
  };
  const before = await told();
  expect(new Set(before).size).toBe(1);
  await survive('agents killed and started', async () => {
    for (const { agent } of lab.workers) await agent.kill();
    expect(await told()).toEqual(before);
    for (const { agent } of lab.workers) await agent.start();
    expect(await told()).toEqual(before);
  });
});

test('the device of the overlay is deleted', async () => {
  await survive('cubevxlan deleted', async () => {
    await node().namespace.ip('link delete cubevxlan');
  });
});

test('cube0 is deleted', async () => {
  await survive('cube0 deleted', async () => {
    await node().namespace.ip('link delete cube0');
  });
  const began = performance.now();
  const argv = ['ping', '-n', '-c', '1', '-W', '1', client.addresses.ipv4 ?? ''];
  const isReached = async () => (await node().namespace.exec(argv, { anyStatus: true })).status === 0;
  for (const deadline = Date.now() + 60_000; !(await isReached()); await sleep(20))
    if (Date.now() > deadline) throw new Error('the node does not reach its pod after 60 s');
  process.stderr.write(`the node reaches its pod again ${Math.round(performance.now() - began)} ms later\n`);
});

test('the uplink loses its carrier three times', async () => {
  await survive('the carrier comes back', async () => {
    for (let round = 0; round < 3; round++) {
      await lab.underlay.namespace.ip('link set port11 down');
      await sleep(300);
      await lab.underlay.namespace.ip('link set port11 up');
      await sleep(300);
    }
  });
});

test('the uplink is set down and up, which takes its IPv6 addresses: they are given again', async () => {
  await survive('the uplink is up again', async () => {
    await node().namespace.ip(
      'link set eth0 down',
      'link set eth0 up',
      `address add ${node().addresses.ipv6}/64 dev eth0 nodad`,
    );
  });
});

test('somebody else puts a tc program on the uplink, behind ours', async () => {
  const { namespace } = node();
  const tc = (...args: string[]) => namespace.exec(['tc', ...args]);
  await survive('a program of clsact passes everything', async () => {
    await tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
    for (const direction of ['ingress', 'egress'])
      await tc('filter', 'add', 'dev', 'eth0', direction, 'bpf', 'da', 'bytecode', '1,6 0 0 0,');
  });
  expect((await lab.worker(0).agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
  expect((await tc('filter', 'show', 'dev', 'eth0', 'ingress')).stdout).toContain('bytecode');
  await survive('it is gone', async () => {
    await tc('qdisc', 'del', 'dev', 'eth0', 'clsact');
  });
});

test('the uplink is replaced by another interface', async () => {
  const { namespace, addresses } = node();
  await survive('eth0 gives way to eth9', async () => {
    const port = { namespace: lab.underlay.namespace, device: 'port9' };
    await connect({ namespace, device: 'eth9', mac: '02:c0:be:01:00:99' }, port, lab.underlay.mtu);
    await namespace.ip(
      'link delete eth0',
      `address add ${addresses.ipv4}/${UNDERLAY.ipv4Length} dev eth9`,
      `address add ${addresses.ipv6}/${UNDERLAY.ipv6Length} dev eth9 nodad`,
    );
    // The cable comes last: what arrives before the agent has attached is the host's, which resets connections it does not know.
    await untilUplink('eth9');
    await lab.underlay.namespace.ip('link set port9 master br0');
  });
  expect((await lab.worker(0).agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

test('the agent is away while the device of the overlay is deleted: it is made again by the next one', async () => {
  const { agent } = lab.worker(0);
  await survive('the agent is back', async () => {
    await agent.kill();
    await node().namespace.ip('link delete cubevxlan');
    expect(await passes()).toBe(false);
    await agent.start();
  });
});
