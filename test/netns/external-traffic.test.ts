// SPDX-License-Identifier: Apache-2.0
/**
 * samples/external-traffic.yaml with real sockets: pods of two nodes and a host outside reach each other by the nodes' own
 * addresses, node ports and external IPs, and nobody who speaks to the nodes themselves notices.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Agent } from '../harness/cubeplane.ts';
import { openLab } from '../harness/lab.ts';
import type { Namespace } from '../harness/netns.ts';
import {
  createMachine,
  createNodes,
  createUnderlay,
  type Machine,
  type Pod,
  setUnderlayOffload,
} from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { Counters } from './support/counters.ts';
import { Manifests, nodeObject } from './support/manifests.ts';
import { BULK, PORT, TARGET } from './support/services.ts';
import {
  connectTcp,
  echoDatagram,
  holdConnections,
  sendUdp,
  startBulkServer,
  transfer,
} from './support/sockets.ts';
import { difference, FAMILIES, SYSTEM, TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

type Family = (typeof FAMILIES)[number];

const SAMPLE = new URL('../../samples/external-traffic.yaml', import.meta.url).pathname;
/** The next hop of the nodes, and what the host outside sends from: an address behind it, on no network of theirs. */
const HOP = { ipv4: '198.18.0.50', ipv6: 'fd00:18::50' } as const;
const CLIENT = { ipv4: '203.0.113.5', ipv6: '2001:db8:5::5' } as const;
/** Routed to node-a, and nobody's own. */
const EXTERNAL = { ipv4: '198.51.100.80', ipv6: '2001:db8::80' } as const;
const FICTITIOUS = { ipv4: '10.244.1.254', ipv6: 'fd00:244:0:1:ffff:ffff:ffff:ffff' } as const;
/** Node ports. */
const CLUSTER = 30_080;
const LOCAL = 30_081;
const FAR = 30_082;
const NONE = 30_083;
const FAR_BULK = 30_090;
const HOST = 22_000;

let lab: TwoNodes;
let outside: Machine;
let client: Pod;
let near: Pod;
let far: Pod;

const portsOf = (nodePort: number, port = PORT, targetPort = TARGET) =>
  (['TCP', 'UDP'] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port,
    targetPort,
    nodePort,
  }));

function writeService(
  name: string,
  number: number,
  ports: ReturnType<typeof portsOf>,
  backends: readonly Pod[],
  spec: Readonly<Record<string, unknown>> = {},
): void {
  lab.writeService({ name, number, ports, backends, spec: { type: 'NodePort', ...spec } });
}

async function open(): Promise<TwoNodes> {
  const one = await openLab('external');
  try {
    const underlay = await createUnderlay(one);
    const nodes = await createNodes(underlay, ['node-a', 'node-b']);
    for (const { namespace } of nodes) {
      await namespace.ip(`route add default via ${HOP.ipv4}`, `route add default via ${HOP.ipv6}`);
    }
    const manifests = new Manifests(join(one.directory, 'manifests'));
    manifests.writeText('chain.yaml', readFileSync(SAMPLE, 'utf8'));
    manifests.write('nodes.yaml', ...nodes.map(nodeObject));
    const workers = nodes.map((node, index) => {
      const agent = new Agent(node, { manifests: manifests.directory });
      return { index, node, agent, counters: new Counters(agent.bpffs, node.name) };
    });
    for (const { agent } of workers) await agent.start(120_000);
    const opened = new TwoNodes(one, underlay, manifests, workers);
    await opened.untilReady(120_000);
    return opened;
  } catch (error) {
    await one.close();
    throw error;
  }
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await holds()); await sleep(100))
    if (Date.now() > deadline) throw new Error(what);
}

beforeAll(async () => {
  lab = await open();
  client = await lab.addPod(0, 'client', 10);
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  const [a, b] = lab.workers.map(({ node }) => node.addresses);
  await outside.namespace.ip(
    'link set lo up',
    `address add ${CLIENT.ipv4}/32 dev lo`,
    `address add ${CLIENT.ipv6}/128 dev lo nodad`,
    `route replace 198.18.0.0/24 dev eth0 src ${CLIENT.ipv4}`,
    `route add ${a?.ipv6}/128 dev eth0 src ${CLIENT.ipv6}`,
    `route add ${b?.ipv6}/128 dev eth0 src ${CLIENT.ipv6}`,
    `route add ${EXTERNAL.ipv4}/32 via ${a?.ipv4} src ${CLIENT.ipv4}`,
    `route add ${EXTERNAL.ipv6}/128 via ${a?.ipv6} src ${CLIENT.ipv6}`,
  );
  for (const pod of [near, far]) {
    await startServer(pod.namespace, pod.name, TARGET);
    await startBulkServer(pod.namespace, BULK);
  }
  await startServer(outside.namespace, 'outside', TARGET);
  await startBulkServer(outside.namespace, BULK);
  for (const { node } of lab.workers) await startServer(node.namespace, node.name, HOST);
  writeService('cluster', 20, portsOf(CLUSTER), [near, far], {
    externalIPs: [EXTERNAL.ipv4, EXTERNAL.ipv6],
  });
  writeService('local', 21, portsOf(LOCAL), [near], { externalTrafficPolicy: 'Local' });
  writeService('far', 22, portsOf(FAR), [far]);
  writeService('far-bulk', 23, portsOf(FAR_BULK, BULK, BULK), [far]);
  writeService('none', 24, portsOf(NONE), []);
  // node ports of both families and protocols, external IPs, of 5 Services
  for (const { node, counters } of lab.workers)
    await until(
      async () =>
        (await counters.rows(`${SYSTEM}/kubernetes.disc-nat.${node.name}`, 'services')) >= 2 * 2 * 6,
      `the Services are not known at the uplink of ${node.name}`,
    );
});
afterAll(async () => {
  await lab?.close();
});

const nodeAddress = (index: number, family: Family): string => lab.worker(index).node.addresses[family];
const cubeDrops = (index: number, name: string, type: 'Nat' | 'LoadBalancer') =>
  lab.worker(index).counters.cube(`${SYSTEM}/kubernetes.${name}.${lab.worker(index).node.name}`, type);

async function ping(from: Namespace, to: string, ...args: string[]): Promise<string> {
  const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '5', ...args, to];
  return (await from.exec(argv, { anyStatus: true })).stdout;
}

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
    await setUnderlayOffload(outside, offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test.each([
      ['TCP', false],
      ['UDP', true],
    ])('pods of both nodes ask the host outside over %s, which sees their nodes', async (_, udp) => {
      for (const [pod, index] of [
        [client, 0],
        [far, 1],
      ] as const) {
        const report = await ask(pod.namespace, CLIENT[family], TARGET, {
          count: 30,
          udp,
        });
        expect(report).toMatchObject({
          failures: [],
          by: { outside: 30 },
          seenAs: nodeAddress(index, family),
        });
      }
    });

    test('bytes, fragments and echo between a pod and the host outside', async () => {
      expect(await transfer(client.namespace, CLIENT[family], BULK, 8_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      expect(await echoDatagram(client.namespace, CLIENT[family], BULK, 4_000)).toMatchObject({
        whole: true,
      });
      expect(await ping(client.namespace, CLIENT[family])).toMatch(/ 0% packet loss/);
      expect(await ping(client.namespace, CLIENT[family], '-s', '3000')).toMatch(/ 0% packet loss/);
      for (const attempt of [connectTcp, sendUdp])
        expect(await attempt(client.namespace, CLIENT[family], 9)).toMatchObject({ error: 'ECONNREFUSED' });
    });

    test.each([
      ['TCP', false],
      ['UDP', true],
    ])('policy Cluster over %s: any backend by any node, which sees the fictitious pod', async (_, udp) => {
      for (const to of [nodeAddress(0, family), EXTERNAL[family]]) {
        const port = to === EXTERNAL[family] ? PORT : CLUSTER;
        const report = await ask(outside.namespace, to, port, { count: 60, udp });
        expect(report).toMatchObject({ failures: [], seenAs: FICTITIOUS[family] });
        expect(Object.keys(report.by).sort()).toEqual(['far', 'near']);
      }
      const through = await ask(outside.namespace, nodeAddress(0, family), FAR, { count: 20, udp });
      expect(through).toMatchObject({ failures: [], by: { far: 20 }, seenAs: FICTITIOUS[family] });
      const direct = await ask(outside.namespace, nodeAddress(1, family), FAR, { count: 20, udp });
      expect(direct).toMatchObject({ failures: [], by: { far: 20 } });
    });

    test.each([
      ['TCP', false],
      ['UDP', true],
    ])(
      'policy Local over %s: a backend of the node, which sees the client; elsewhere silence',
      async (_, udp) => {
        const report = await ask(outside.namespace, nodeAddress(0, family), LOCAL, { count: 30, udp });
        expect(report).toMatchObject({ failures: [], by: { near: 30 }, seenAs: CLIENT[family] });
        const before = await cubeDrops(1, 'elb', 'LoadBalancer');
        const attempt = udp ? sendUdp : connectTcp;
        expect((await attempt(outside.namespace, nodeAddress(1, family), LOCAL)).error).not.toBeNull();
        const dropped = difference(before, await cubeDrops(1, 'elb', 'LoadBalancer'));
        expect(Object.keys(dropped)).toEqual(['NoLocalBackend']);
      },
    );

    test('a Service without endpoints refuses clients outside at once', async () => {
      for (const attempt of [connectTcp, sendUdp])
        expect(await attempt(outside.namespace, nodeAddress(0, family), NONE)).toMatchObject({
          error: 'ECONNREFUSED',
        });
    });

    test('bytes and fragments from outside to a backend of another node', async () => {
      const node = nodeAddress(0, family);
      expect(await transfer(outside.namespace, node, FAR_BULK, 8_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      expect(await echoDatagram(outside.namespace, node, FAR_BULK, 4_000)).toMatchObject({ whole: true });
    });

    test('a pod asks node ports of its own and of the other node, and the external IP', async () => {
      for (const udp of [false, true]) {
        const own = await ask(client.namespace, nodeAddress(0, family), CLUSTER, { count: 40, udp });
        expect(own).toMatchObject({ failures: [], seenAs: client.addresses[family] });
        expect(Object.keys(own.by).sort()).toEqual(['far', 'near']);
        const other = await ask(client.namespace, nodeAddress(1, family), FAR, { count: 20, udp });
        expect(other).toMatchObject({ failures: [], by: { far: 20 } });
        const external = await ask(client.namespace, EXTERNAL[family], PORT, { count: 20, udp });
        expect(external).toMatchObject({ failures: [], seenAs: client.addresses[family] });
        // the policy for clients outside is none of its business
        const local = await ask(far.namespace, nodeAddress(1, family), LOCAL, { count: 20, udp });
        expect(local).toMatchObject({ failures: [], by: { near: 20 }, seenAs: far.addresses[family] });
      }
    });

    test('the node itself: its connections, those to it, and echo, each way, are nobody else’s', async () => {
      const { node } = lab.worker(0);
      for (const udp of [false, true]) {
        const out = await ask(node.namespace, CLIENT[family], TARGET, { count: 20, udp });
        expect(out).toMatchObject({ failures: [], by: { outside: 20 }, seenAs: node.addresses[family] });
        const back = await ask(outside.namespace, node.addresses[family], HOST, { count: 20, udp });
        expect(back).toMatchObject({ failures: [], by: { 'node-a': 20 } });
        const across = await ask(node.namespace, nodeAddress(1, family), HOST, { count: 20, udp });
        expect(across).toMatchObject({ failures: [], by: { 'node-b': 20 }, seenAs: node.addresses[family] });
      }
      expect(await ping(node.namespace, CLIENT[family], '-s', '3000')).toMatch(/ 0% packet loss/);
      expect(await ping(outside.namespace, node.addresses[family], '-s', '3000')).toMatch(/ 0% packet loss/);
      expect(await ping(client.namespace, node.addresses[family])).toMatch(/ 0% packet loss/);
      expect(await connectTcp(outside.namespace, node.addresses[family], 9)).toMatchObject({
        error: 'ECONNREFUSED',
      });
    });
  });
});

test('nothing was refused for want of ports or sessions', async () => {
  for (const index of [0, 1]) {
    const nat = await cubeDrops(index, 'disc-nat', 'Nat');
    expect(nat).toEqual({});
  }
});

const RESERVED = 'net.ipv4.ip_local_reserved_ports';
const reservedOn = async (index: number): Promise<string> =>
  (await lab.worker(index).node.namespace.exec(['sysctl', '-n', RESERVED])).stdout.trim();

test('connections outlive the agent; no process gets a port of the range', async () => {
  const { agent } = lab.worker(0);
  expect(await reservedOn(0)).toBe('49152-65535');
  const held = [
    await holdConnections(client.namespace, CLIENT.ipv4, TARGET, 10),
    await holdConnections(outside.namespace, nodeAddress(0, 'ipv4'), CLUSTER, 10),
    await holdConnections(outside.namespace, nodeAddress(0, 'ipv6'), LOCAL, 10),
  ];
  await agent.kill();
  for (const one of held) expect(await one.check()).toEqual({ alive: 10, errors: {} });
  expect((await ask(outside.namespace, nodeAddress(0, 'ipv4'), LOCAL, { count: 10 })).failures).toEqual([]);
  await agent.start(120_000);
  await lab.untilReady(120_000);
  expect((await ask(outside.namespace, nodeAddress(0, 'ipv4'), CLUSTER, { count: 20 })).failures).toEqual([]);
  expect(await reservedOn(0)).toBe('49152-65535');
});
