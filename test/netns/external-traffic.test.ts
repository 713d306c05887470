// SPDX-License-Identifier: Apache-2.0
/**
 * config/provider/kubernetes.yaml at the uplink, with real sockets: pods of two nodes and a host outside reach each other by the
 * nodes' own addresses, node ports and external IPs, with the tunnel and without it, and nobody who speaks to the nodes themselves
 * notices.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Agent } from '../harness/cubeplane.ts';
import { httpGet } from '../harness/http.ts';
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
import { until } from '../harness/until.ts';
import { Counters } from './support/counters.ts';
import { Manifests, nodeObject, providerText } from './support/manifests.ts';
import { BULK, PORT, TARGET } from './support/services.ts';
import {
  echoDatagram,
  holdConnections,
  portsGiven,
  sendDatagrams,
  startBulkServer,
  transfer,
} from './support/sockets.ts';
import { cubeTable, difference, FAMILIES, SYSTEM, TwoNodes } from './support/two-nodes.ts';
import { eventuallyWays, expectWays, type Way } from './support/ways.ts';

jest.setTimeout(180_000);

type Family = (typeof FAMILIES)[number];

/** The next hop of the nodes, and what the host outside sends from: an address behind it, on no network of theirs. */
const HOP = { ipv4: '198.18.0.50', ipv6: 'fd00:18::50' } as const;
const CLIENT = { ipv4: '203.0.113.5', ipv6: '2001:db8:5::5' } as const;
/** Routed to node-a, and nobody's own. */
const EXTERNAL = { ipv4: '198.51.100.80', ipv6: '2001:db8::80' } as const;
/** On the nodes' network, and answered for by node-a. */
const ANNOUNCED = { ipv4: '198.18.0.80', ipv6: 'fd00:18::80' } as const;
/** The fictitious pods of the nodes: what backends see of clients that came by them. */
const THROUGH_A = { ipv4: '10.244.1.254', ipv6: 'fd00:244:0:1:ffff:ffff:ffff:ffff' } as const;
const THROUGH_B = { ipv4: '10.244.2.254', ipv6: 'fd00:244:0:2:ffff:ffff:ffff:ffff' } as const;
/** Node ports. */
const CLUSTER = 30_080;
const LOCAL = 30_081;
const FAR = 30_082;
const NONE = 30_083;
const FAR_BULK = 30_090;
const HOST = 22_000;
const HEALTH = 32_100;
/** Of pods, asked at their own addresses. */
const OWN = 8081;

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
    manifests.writeText('chain.yaml', providerText());
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
    // as a control plane that is no node, or a router of the network, reaches pods
    `route add ${near.addresses.ipv4}/32 via ${a?.ipv4} src ${CLIENT.ipv4}`,
    `route add ${near.addresses.ipv6}/128 via ${a?.ipv6} src ${CLIENT.ipv6}`,
    `route add ${far.addresses.ipv4}/32 via ${b?.ipv4} src ${CLIENT.ipv4}`,
    `route add ${far.addresses.ipv6}/128 via ${b?.ipv6} src ${CLIENT.ipv6}`,
  );
  for (const pod of [near, far]) {
    for (const port of [TARGET, OWN]) await startServer(pod.namespace, pod.name, port);
    await startBulkServer(pod.namespace, BULK);
  }
  await startServer(outside.namespace, 'outside', TARGET);
  await startBulkServer(outside.namespace, BULK);
  for (const { node } of lab.workers) await startServer(node.namespace, node.name, HOST);
  writeService('cluster', 20, portsOf(CLUSTER), [near, far], {
    externalIPs: [EXTERNAL.ipv4, EXTERNAL.ipv6],
  });
  writeService('local', 21, portsOf(LOCAL), [near], {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: HEALTH,
  });
  writeService('far', 22, portsOf(FAR), [far]);
  writeService('far-bulk', 23, portsOf(FAR_BULK, BULK, BULK), [far]);
  writeService('none', 24, portsOf(NONE, NONE), [], { externalIPs: [EXTERNAL.ipv4, EXTERNAL.ipv6] });
  lab.manifests.write(
    'announcement.yaml',
    cubeTable('announcement', {
      type: 'Announcement',
      announcements: Object.values(ANNOUNCED).map((address) => ({
        address,
        node: 'node-a',
        service: { namespace: 'default', name: 'cluster' },
      })),
    }),
  );
  await eventuallyWays([...acrossWays(), withoutEndpoints()]);
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

const node = (index: number) => lab.worker(index).node;

/** Echo replies of a node's NAT. */
async function repliesOf(index: number): Promise<number> {
  const name = `${SYSTEM}/kubernetes.disc-nat.${node(index).name}`;
  return (await lab.worker(index).counters.events(name, 'Nat')).echoReplies ?? 0;
}

/** Of packets that leave by an uplink and arrive at one, whichever way they go between the nodes. */
const acrossWays = (): Way[] => [
  {
    name: 'pod to outside',
    from: client.namespace,
    to: CLIENT,
    port: TARGET,
    by: ['outside'],
    sees: node(0).addresses,
  },
  {
    name: 'pod of node-b to outside',
    from: far.namespace,
    to: CLIENT,
    port: TARGET,
    by: ['outside'],
    sees: node(1).addresses,
  },
  {
    name: 'outside, Cluster',
    from: outside.namespace,
    to: node(0).addresses,
    port: CLUSTER,
    by: ['far', 'near'],
    sees: THROUGH_A,
  },
  {
    name: 'outside, Cluster, far',
    from: outside.namespace,
    to: node(0).addresses,
    port: FAR,
    by: ['far'],
    sees: THROUGH_A,
  },
  {
    name: 'outside, Cluster, far, its node',
    from: outside.namespace,
    to: node(1).addresses,
    port: FAR,
    by: ['far'],
    sees: THROUGH_B,
  },
  {
    name: 'outside, external IP',
    from: outside.namespace,
    to: EXTERNAL,
    port: PORT,
    by: ['far', 'near'],
    sees: THROUGH_A,
  },
  {
    name: 'outside, Local',
    from: outside.namespace,
    to: node(0).addresses,
    port: LOCAL,
    by: ['near'],
    sees: CLIENT,
  },
  {
    name: 'outside, to a pod itself',
    from: outside.namespace,
    to: near.addresses,
    port: OWN,
    by: ['near'],
    sees: CLIENT,
  },
  {
    name: 'outside, to a pod of node-b itself',
    from: outside.namespace,
    to: far.addresses,
    port: OWN,
    by: ['far'],
    sees: CLIENT,
  },
  {
    name: 'pod to NodePort',
    from: client.namespace,
    to: node(0).addresses,
    port: CLUSTER,
    by: ['far', 'near'],
    sees: client.addresses,
  },
];

/** At an address that is nobody's: without the Service there is silence. */
const withoutEndpoints = (): Way => ({
  name: 'outside, no endpoints',
  from: outside.namespace,
  to: EXTERNAL,
  port: NONE,
  by: 'ECONNREFUSED',
});

const otherWays = (): Way[] => [
  {
    name: 'outside, Local elsewhere',
    from: outside.namespace,
    to: node(1).addresses,
    port: LOCAL,
    by: 'ETIMEDOUT',
  },
  withoutEndpoints(),
  { name: 'pod to closed port outside', from: client.namespace, to: CLIENT, port: 9, by: 'ECONNREFUSED' },
  {
    name: 'pod to NodePort of another node',
    from: client.namespace,
    to: node(1).addresses,
    port: FAR,
    by: ['far'],
    sees: THROUGH_B,
  },
  {
    name: 'pod to external IP',
    from: client.namespace,
    to: EXTERNAL,
    port: PORT,
    by: ['far', 'near'],
    sees: client.addresses,
  },
  // the policy for clients outside is none of its business
  {
    name: 'pod to NodePort, Local',
    from: far.namespace,
    to: node(1).addresses,
    port: LOCAL,
    by: ['near'],
    sees: far.addresses,
  },
  {
    name: 'node to outside',
    from: node(0).namespace,
    to: CLIENT,
    port: TARGET,
    by: ['outside'],
    sees: node(0).addresses,
  },
  {
    name: 'outside to node',
    from: outside.namespace,
    to: node(0).addresses,
    port: HOST,
    by: ['node-a'],
    sees: CLIENT,
  },
  {
    name: 'outside to closed port of node',
    from: outside.namespace,
    to: node(0).addresses,
    port: 9,
    by: 'ECONNREFUSED',
  },
  {
    name: 'node to node',
    from: node(0).namespace,
    to: node(1).addresses,
    port: HOST,
    by: ['node-b'],
    sees: node(0).addresses,
  },
];

async function setOffload(on: boolean): Promise<void> {
  await lab.setOffload(on);
  await setUnderlayOffload(outside, on);
}

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await setOffload(offload);
  });

  test('everybody is answered by whom they should be, and seen as promised', async () => {
    const before = await cubeDrops(1, 'elb', 'LoadBalancer');
    await expectWays([...acrossWays(), ...otherWays()]);
    const dropped = difference(before, await cubeDrops(1, 'elb', 'LoadBalancer'));
    expect(Object.keys(dropped)).toEqual(['NoLocalBackend']);
  });

  describe.each(FAMILIES)('%s', (family) => {
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
    });

    test('bytes and fragments from outside to a backend of another node', async () => {
      const to = nodeAddress(0, family);
      expect(await transfer(outside.namespace, to, FAR_BULK, 8_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      expect(await echoDatagram(outside.namespace, to, FAR_BULK, 4_000)).toMatchObject({ whole: true });
    });

    test('bytes, fragments and echo from outside to a pod itself', async () => {
      const to = near.addresses[family] ?? '';
      expect(await transfer(outside.namespace, to, BULK, 8_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      expect(await echoDatagram(outside.namespace, to, BULK, 4_000)).toMatchObject({ whole: true });
      expect(await ping(outside.namespace, to, '-s', '3000')).toMatch(/ 0% packet loss/);
    });

    test('echo of the node itself, each way, is nobody else’s', async () => {
      const { namespace, addresses } = node(0);
      expect(await ping(namespace, CLIENT[family], '-s', '3000')).toMatch(/ 0% packet loss/);
      expect(await ping(outside.namespace, addresses[family], '-s', '3000')).toMatch(/ 0% packet loss/);
      expect(await ping(client.namespace, addresses[family])).toMatch(/ 0% packet loss/);
    });

    test('an announced address answers to echo from outside, from nodes and from pods of both', async () => {
      const before = await repliesOf(0);
      const to = ANNOUNCED[family];
      for (const from of [outside.namespace, node(1).namespace, client.namespace, far.namespace]) {
        expect(await ping(from, to)).toMatch(/ 0% packet loss/);
        expect(await ping(from, to, '-s', '1300')).toMatch(/ 0% packet loss/);
      }
      expect((await repliesOf(0)) - before).toBe(4 * 2 * 3);
    });
  });
});

test('nothing was refused for want of ports or sessions', async () => {
  for (const index of [0, 1]) {
    const nat = await cubeDrops(index, 'disc-nat', 'Nat');
    expect(nat).toEqual({});
  }
});

test('a load balancer outside learns at healthCheckNodePort which node has endpoints', async () => {
  const asked = FAMILIES.flatMap((family) => [0, 1].map((index) => nodeAddress(index, family)));
  const codes = await Promise.all(
    asked.map(async (address) => (await httpGet(outside.namespace, address, HEALTH))?.status),
  );
  expect(codes).toEqual([200, 503, 200, 503]);
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
  // Those can be asked once, and are while there is no agent; these when there is another one.
  const later = [
    await holdConnections(client.namespace, CLIENT.ipv6, TARGET, 10),
    await holdConnections(outside.namespace, nodeAddress(0, 'ipv6'), CLUSTER, 10),
    await holdConnections(outside.namespace, nodeAddress(0, 'ipv4'), LOCAL, 10),
  ];
  await agent.kill();
  for (const one of held) expect(await one.check()).toEqual({ alive: 10, errors: {} });
  expect((await ask(outside.namespace, nodeAddress(0, 'ipv4'), LOCAL, { count: 10 })).failures).toEqual([]);
  await agent.start(120_000);
  await lab.untilReady(120_000);
  for (const one of later) expect(await one.check()).toEqual({ alive: 10, errors: {} });
  expect((await ask(outside.namespace, nodeAddress(0, 'ipv4'), CLUSTER, { count: 20 })).failures).toEqual([]);
  expect(await reservedOn(0)).toBe('49152-65535');
  for (const protocol of ['tcp', 'udp'] as const) {
    // Without the range reserved, most of so many would lie in it.
    const ports = await portsGiven(lab.worker(0).node.namespace, protocol, 1000);
    expect(ports).toHaveLength(1000);
    expect(ports.filter((port) => port >= 49_152)).toEqual([]);
  }
});

test('network policies meet clients of Local by their own address, those of Cluster by that of the fictitious pod', async () => {
  const peers = [{ cidr: `${CLIENT.ipv4}/32` }, { cidr: `${CLIENT.ipv6}/128` }];
  const entry = { namespace: 'default', types: ['Ingress'] };
  lab.manifests.write(
    'policy.yaml',
    cubeTable('policies', {
      type: 'Policy',
      policies: [
        { ...entry, name: 'default-deny' },
        { ...entry, name: 'client', ingress: [{ peers }] },
      ],
    }),
    cubeTable('identities', {
      type: 'Identity',
      identities: [
        {
          id: 1,
          namespace: 'default',
          addresses: [near, far].flatMap((pod) => Object.values(pod.addresses)),
        },
      ],
    }),
  );
  const [local, cluster] = ['outside, Local', 'outside, Cluster, far'].map(
    (name) => acrossWays().find((way) => way.name === name) as Way,
  ) as [Way, Way];
  await eventuallyWays([local, { ...cluster, by: 'ETIMEDOUT' }]);
  lab.manifests.remove('policy.yaml');
  await eventuallyWays([local, cluster]);
});

test('a host outside that has the address of a pod reaches neither pods nor Services', async () => {
  const { namespace } = outside;
  for (const family of FAMILIES) {
    for (const [liar, reason] of [
      [client, 'SpoofedSource'],
      [far, 'SpoofedOverlaySource'],
    ] as const) {
      const [as = '', to = '', at] = [liar.addresses[family], near.addresses[family], nodeAddress(0, family)];
      const host = (address: string) => `${address}/${family === 'ipv4' ? 32 : 128}`;
      const lines = [
        `address add ${host(as)} dev lo${family === 'ipv4' ? '' : ' nodad'}`,
        `route replace ${host(to)} via ${at} src ${as}`,
        `route replace ${host(at)} dev eth0 src ${as}`,
      ];
      await namespace.ip(...lines);
      try {
        for (const [address, port] of [
          [to, OWN],
          [at, LOCAL],
        ] as const) {
          const before = await cubeDrops(0, 'disc-nat', 'Nat');
          const dropped = async () => difference(before, await cubeDrops(0, 'disc-nat', 'Nat'));
          expect(await sendDatagrams(namespace, address, port, [Buffer.from('who')])).toEqual({ sent: 1 });
          await until(`${as} to ${address} is dropped`, async () => Object.keys(await dropped()).length > 0);
          expect(await dropped()).toEqual({ [reason]: 1 });
        }
      } finally {
        await namespace.ip(
          `route replace ${host(at)} dev eth0 src ${CLIENT[family]}`,
          `route replace ${host(to)} via ${at} src ${CLIENT[family]}`,
          `address delete ${host(as)} dev lo`,
        );
      }
    }
  }
});

test('without the tunnel between nodes, pods of other nodes stay unmasqueraded, and all of it goes on', async () => {
  const text = providerText();
  lab.manifests.writeText(
    'chain.yaml',
    text.replace('port: 4789}', 'port: 4789, directRouting: SameSubnet}'),
  );
  const routes = async () => (await node(0).namespace.exec(['ip', 'route', 'show'])).stdout;
  await until('a route past the tunnel', async () => (await routes()).includes('10.244.2.0/24 via'));
  const ways = [
    ...acrossWays(),
    // no Service leads to this port from these clients: see DIRECT in provider.test.ts
    {
      name: 'pod to pod',
      from: client.namespace,
      to: far.addresses,
      port: OWN,
      by: ['far'],
      sees: client.addresses,
    },
    {
      name: 'pod to pod, back',
      from: far.namespace,
      to: near.addresses,
      port: OWN,
      by: ['near'],
      sees: far.addresses,
    },
  ];
  await eventuallyWays(ways);
  for (const offload of [true, false]) {
    await setOffload(offload);
    await expectWays(ways);
    for (const family of FAMILIES)
      expect(await transfer(outside.namespace, nodeAddress(0, family), FAR_BULK, 4_000_000)).toMatchObject({
        take: true,
        give: true,
      });
  }
});

test('down takes all of it away, and the node speaks on', async () => {
  const { agent, node } = lab.worker(0);
  await agent.stop();
  await agent.down();
  expect(await reservedOn(0)).toBe('');
  const { stdout } = await node.namespace.exec(['ip', '-brief', 'link', 'show']);
  expect(stdout).not.toMatch(/cube/);
  const kept = otherWays().filter(({ name }) => ['node to outside', 'outside to node'].includes(name));
  await expectWays([
    ...kept,
    {
      name: 'outside, Cluster',
      from: outside.namespace,
      to: node.addresses,
      port: CLUSTER,
      by: 'ECONNREFUSED',
    },
  ]);
});
