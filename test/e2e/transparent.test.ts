// SPDX-License-Identifier: Apache-2.0
/**
 * Transparent chains on a real API server: applied with kubectl they go into a link of a running chain, or next to an
 * interface, filter real packets and are seen from all sides; deleted, they leave the network as it was. And a firewall whose
 * rules are edited with kubectl under load.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { startAgent, startOperator } from '../harness/cubeplane.ts';
import { agentKubeconfig, installApi, operatorKubeconfig, SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet } from '../harness/kube/fake-kubelet.ts';
import { podNetwork } from '../harness/kube/pods.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import {
  createMachine,
  createNodes,
  createPod,
  createUnderlay,
  type Machine,
  type Node,
  type Pod,
} from '../harness/topology.ts';
import { ask, startLoad, startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';

jest.setTimeout(180_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const CHAIN = join(import.meta.dirname, '../../samples/service-chain.yaml');
const FAMILIES = ['ipv4', 'ipv6'] as const;
/** Ports of the server: open to all, opened and closed by rules, never open. */
const [OPEN, SWITCHED, SHUT] = [8080, 8081, 8082];
/** How often the rules are edited under load. */
const EDITS = 6;

let lab: Lab;
let cluster: Cluster;
let nodes: Node[];
let client: Pod;
let server: Pod;
/** Two machines on the nodes' network, and a host behind node-a, which forwards to it by its own routes. */
let outside: Machine;
let friend: Machine;
let behind: Pod;

const inSystem = async (...args: string[]): Promise<string> =>
  (await cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...args], { timeoutMs: 90_000 })).stdout;

async function apply(...objects: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'apply', '-f', '-'], { input });
}

const ready = (...objects: string[]) =>
  inSystem('wait', '--for=condition=Ready', '--timeout=60s', ...objects);

const chain = (name: string, spec: object) => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'ServiceChain',
  metadata: { name, namespace: SYSTEM_NAMESPACE },
  spec: { mode: 'Transparent', ...spec },
});
/** In the link from balancer to router. */
const INNER = { type: 'Link', link: { chain: 'kubernetes', name: 'path-1' } };
const path = (cube: string) => [{ type: 'Cube', cube: { name: cube } }, { type: 'Next' }];

async function isAnswered(from: Pod | Machine, to: string): Promise<boolean> {
  const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '2', to];
  return (await from.namespace.exec(argv, { anyStatus: true })).stdout.includes(' 0% packet loss');
}

/** Peers of the ports of a cube, by port. */
async function peers(cube: string): Promise<Record<string, string>> {
  const text = await inSystem('get', 'cube', cube, '-o', 'jsonpath={.status.ports}');
  const ports = JSON.parse(text) as { name: string; peer: string }[];
  return Object.fromEntries(ports.map(({ name, peer }) => [name, peer]));
}

/** What `kubectl get` says of the cubes on node-a: name, type, ready. */
async function cubes(): Promise<string[]> {
  const lines = (await inSystem('get', 'cubes', '--no-headers')).trim().split('\n');
  const words = lines.map((line) => line.split(/\s+/)).filter(([, node]) => node === 'node-a');
  return words.map(([name, , type, isReady]) => `${name} ${type} ${isReady}`);
}

beforeAll(async () => {
  lab = await openLab('transparent test');
  const underlay = await createUnderlay(lab);
  cluster = await startCluster(underlay);
  await installApi(cluster);
  await startOperator(cluster.machine, await operatorKubeconfig(cluster));
  nodes = await createNodes(underlay, ['node-a', 'node-b']);
  const pods: Pod[] = [];
  for (const node of nodes) {
    const cidrs = await new FakeKubelet(cluster.api, node.name, node.addresses).register();
    const agent = await startAgent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
    const name = node.name === 'node-a' ? 'client' : 'server';
    const pod = await createPod(node, { name, ...podNetwork(cidrs, 10) });
    await agent.plug(pod);
    pods.push(pod);
  }
  [client, server] = pods as [Pod, Pod];
  behind = await createPod(nodes[0] as Node, {
    name: 'behind',
    hostDevice: 'behind',
    addresses: { ipv4: '192.168.71.2/24', ipv6: 'fd00:71::2/64' },
    gateways: { ipv4: '192.168.71.1', ipv6: 'fd00:71::1' },
  });
  const { ipv4, ipv6 } = (nodes[0] as Node).addresses;
  await behind.node.namespace.ip(
    'address add 192.168.71.1/24 dev behind',
    'address add fd00:71::1/64 dev behind nodad',
  );
  outside = await createMachine(underlay, 'outside', 50);
  friend = await createMachine(underlay, 'friend', 51);
  for (const { namespace } of [outside, friend])
    await namespace.ip(`route add 192.168.71.0/24 via ${ipv4}`, `route add fd00:71::/64 via ${ipv6}`);
  for (const port of [OPEN, SWITCHED, SHUT]) await startServer(server.namespace, 'server', port);
  await inSystem('apply', '-f', CHAIN);
  await ready('servicechain/kubernetes');
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

test('two chains in a link: each filters, order and neighbours are seen, and both go without a trace', async () => {
  const before = { cubes: await cubes(), ilb: await peers('kubernetes.ilb.node-a') };
  const tagOf = () => inSystem('get', 'cube', 'kubernetes.router.node-a', '-o', 'jsonpath={.status.program}');
  const program = await tagOf();
  for (const family of FAMILIES) expect(await isAnswered(client, server.addresses[family] ?? '')).toBe(true);
  const wall = {
    name: 'fw',
    type: 'Firewall',
    firewall: {
      defaultActions: { ingress: 'Allow', egress: 'Allow' },
      rules: [
        {
          name: 'no-ping',
          action: 'Drop',
          direction: 'Both',
          icmp: [
            { family: 'IPv4', type: 8 },
            { family: 'IPv6', type: 128 },
          ],
        },
      ],
      maxRules: 16,
    },
  };
  const tap = { name: 'tap', type: 'Mirror', mirror: {} };
  await apply(
    chain('wall', { target: INNER, priority: 100, cubes: [wall], path: path('fw') }),
    chain('tap', { target: INNER, priority: 900, cubes: [tap], path: path('tap') }),
  );
  await ready('servicechain/wall', 'servicechain/tap');

  for (const family of FAMILIES) {
    const to = server.addresses[family] ?? '';
    expect(await isAnswered(client, to)).toBe(false);
    expect(await ask(client.namespace, to, OPEN)).toMatchObject({ failures: [], requests: 20 });
  }
  expect(await cubes()).toEqual(
    [...before.cubes, 'tap.tap.node-a Mirror True', 'wall.fw.node-a Firewall True'].sort(),
  );
  const through = ['get', 'cubelink', 'kubernetes.path-1.node-a', '-o', 'jsonpath={.status.through}'];
  expect(JSON.parse(await inSystem(...through))).toEqual(['tap.tap.node-a', 'wall.fw.node-a']);
  expect((await peers('kubernetes.ilb.node-a')).server).toBe('tap.tap.node-a/outside');
  expect(await peers('wall.fw.node-a')).toEqual({
    outside: 'tap.tap.node-a/inside',
    inside: 'kubernetes.router.node-a/pods',
  });
  const described = await inSystem('describe', 'cube', 'wall.fw.node-a');
  expect(described).toMatch(/Name:\s+outside\s+Peer:\s+tap\.tap\.node-a\/inside\s+State:\s+Up/);
  expect(await inSystem('get', 'servicechains')).toMatch(/wall +Transparent/);

  await inSystem('delete', 'servicechain', 'wall', 'tap', '--wait=true');
  for (const { name } of nodes)
    await inSystem('wait', '--for=delete', '--timeout=60s', `cube/wall.fw.${name}`, `cube/tap.tap.${name}`);
  for (const family of FAMILIES)
    await until('ping passes again', () => isAnswered(client, server.addresses[family] ?? ''));
  await until('the neighbours are the old ones', async () => {
    const now = await peers('kubernetes.ilb.node-a');
    return JSON.stringify(now) === JSON.stringify(before.ilb);
  });
  expect(await cubes()).toEqual(before.cubes);
  expect(await inSystem(...through)).toBe('');
  expect(await tagOf()).toBe(program);
});

test('a chain next to an interface guards what is behind it, and leaves with its objects', async () => {
  const to = (family: 'ipv4' | 'ipv6') => behind.addresses[family] ?? '';
  for (const family of FAMILIES) expect(await isAnswered(outside, to(family))).toBe(true);
  await apply(
    chain('guard', {
      target: { type: 'Nodes', nodes: { selector: { matchLabels: { 'kubernetes.io/os': 'linux' } } } },
      cubes: [
        {
          name: 'mitigator',
          type: 'DDoSMitigator',
          ddosMitigator: {
            denySources: [`${outside.addresses.ipv4}/32`, `${outside.addresses.ipv6}/128`],
            sizes: { maxSourceBuckets: 1024, maxSynBuckets: 1024 },
          },
        },
      ],
      path: [{ type: 'Interface', interface: { name: 'eth0' } }, ...path('mitigator')],
    }),
  );
  await ready('servicechain/guard');
  expect(await peers('guard.mitigator.node-a')).toEqual({ outside: 'Interface eth0', inside: 'Stack' });
  for (const family of FAMILIES) {
    expect(await isAnswered(outside, to(family))).toBe(false);
    expect(await isAnswered(friend, to(family))).toBe(true);
    // and the overlay goes on
    expect(await isAnswered(client, server.addresses[family] ?? '')).toBe(true);
  }
  await inSystem('delete', 'servicechain', 'guard', '--wait=true');
  for (const family of FAMILIES) await until('it is let in again', () => isAnswered(outside, to(family)));
});

test('rules in a CubeTable, edited with kubectl under load, open and close a port; nothing else is lost', async () => {
  const rule = (name: string, action: string, port: number) => ({
    name,
    action,
    ports: [{ protocol: 'TCP', port }],
  });
  const table = (rules: object[]) => ({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeTable',
    metadata: { name: 'doors', namespace: SYSTEM_NAMESPACE, labels: { set: 'doors' } },
    spec: { type: 'Rule', rules },
  });
  await apply(
    table([rule('open', 'Allow', OPEN), rule('switched', 'Reject', SWITCHED)]),
    chain('doors', {
      target: INNER,
      cubes: [
        {
          name: 'fw',
          type: 'Firewall',
          // from the balancer, which is outside here, to the router and on
          firewall: { defaultActions: { ingress: 'Drop', egress: 'Allow' }, maxRules: 64 },
          tables: [{ type: 'Rule', selector: { matchLabels: { set: 'doors' } } }],
        },
      ],
      path: path('fw'),
    }),
  );
  await ready('servicechain/doors');
  const to = (family: 'ipv4' | 'ipv6') => server.addresses[family] ?? '';
  const isOpen = async () => {
    const asked = FAMILIES.map((family) => ask(client.namespace, to(family), SWITCHED, { count: 2 }));
    const reports = await Promise.all(asked);
    return reports.filter(({ failures }) => failures.length === 0).length;
  };
  expect(await isOpen()).toBe(0);
  const loads = await Promise.all(
    FAMILIES.map((family) => startLoad(client.namespace, to(family), OPEN, { every: 20, long: 4 })),
  );
  const probers = await Promise.all(
    FAMILIES.map((family) => startLoad(client.namespace, to(family), SHUT, { every: 50 })),
  );
  for (let edit = 1; edit <= EDITS; edit++) {
    const [from, into] = edit % 2 === 1 ? ['Reject', 'Allow'] : ['Allow', 'Reject'];
    // of the two rules the second one; the API server writes members in the order of the alphabet
    const { status } = await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'edit', 'cubetable', 'doors'], {
      env: { KUBE_EDITOR: `sed -i '/name: open/,$ s/action: ${from}/action: ${into}/'` },
      anyStatus: true,
    });
    expect(status).toBe(0);
    await until(`edit ${edit}: ${into}`, async () => (await isOpen()) === (into === 'Allow' ? 2 : 0));
  }
  for (const prober of probers) {
    const { requests, failures } = await prober.end();
    expect(requests).toBe(0);
    expect(failures.length).toBeGreaterThan(EDITS);
  }
  for (const load of loads) {
    const { requests, failures } = await load.end();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(100);
  }
  await inSystem('delete', 'servicechain/doors', 'cubetable/doors', '--wait=true');
  await until('what was shut is open', async () => {
    const { failures } = await ask(client.namespace, to('ipv4'), SHUT, { count: 2 });
    return failures.length === 0;
  });
});
