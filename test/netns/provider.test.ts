// SPDX-License-Identifier: Apache-2.0
/**
 * config/provider/kubernetes.yaml from a directory of manifests: what real sockets of pods, nodes and a host outside reach with it,
 * and from which address they are seen there. More of the way by the uplink is in external-traffic.test.ts.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Machine, type Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { type Manifest, serviceObjects, toProvider, vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { cubeTable, FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';
import { eventuallyWays, expectWays, type Way } from './support/ways.ts';

jest.setTimeout(180_000);

const NODE_PORT = 30_080;
/** Of the Service that gets addresses of a load balancer. */
const BALANCED = { number: 13, nodePort: 30_081, ipv4: '198.51.100.13', ipv6: '2001:db8:2::13' } as const;
/** Of the pods' own addresses: a UDP client would take an answer for one of the Service if both came from one port. */
const DIRECT = 8081;
/** What pods see of their node, and of what comes in by it with externalTrafficPolicy Cluster. */
const GATEWAY = [1, 2].map((n) => ({ ipv4: `10.244.${n}.1`, ipv6: `fd00:244:0:${n}::1` }));
const FICTITIOUS = [1, 2].map((n) => ({
  ipv4: `10.244.${n}.254`,
  ipv6: `fd00:244:0:${n}:ffff:ffff:ffff:ffff`,
}));
/** More addresses of node-a, as of a name server there, which its Node object does not name. */
const MORE = { ipv4: '169.254.20.10', ipv6: 'fd00:20::10' };
/** What a backend sees that reaches itself: the default of the LoadBalancer. */
const HAIRPIN = { ipv4: '169.254.99.1', ipv6: 'fd00:c0be::1' };

let lab: TwoNodes;
let here: Pod;
let beside: Pod;
let away: Pod;
let outside: Machine;

const node = (index: number) => lab.worker(index).node;
const nodeOf = (index: number): Namespace => node(index).namespace;
const backends = ['away', 'beside'];

/** From a pod of node-a. */
const fromPod = (): Way[] => {
  const from = here.namespace;
  const own = { from, sees: here.addresses };
  const masqueraded = { from, sees: node(0).addresses };
  return [
    { ...own, name: 'pod beside', to: beside.addresses, port: DIRECT, by: ['beside'] },
    { ...own, name: 'pod of another node', to: away.addresses, port: DIRECT, by: ['away'] },
    { ...own, name: 'Service', to: vipsOf(10), port: PORT, by: backends },
    { from, name: 'itself by a Service', to: vipsOf(11), port: PORT, by: ['here'], sees: HAIRPIN },
    { ...own, name: 'its own node', to: node(0).addresses, port: TARGET, by: ['node-a'] },
    { ...own, name: 'another address of its node', to: MORE, port: TARGET, by: ['node-a'] },
    { ...own, name: "its own node's NodePort", to: node(0).addresses, port: NODE_PORT, by: backends },
    { ...masqueraded, name: 'another node', to: node(1).addresses, port: TARGET, by: ['node-b'] },
    { ...masqueraded, name: 'the world', to: outside.addresses, port: TARGET, by: ['outside'] },
    {
      ...masqueraded,
      name: 'Service whose backend is the other node itself',
      to: vipsOf(12),
      port: PORT,
      by: ['node-b'],
    },
    {
      from,
      name: "another node's NodePort",
      to: node(1).addresses,
      port: NODE_PORT,
      by: backends,
      sees: FICTITIOUS[1] ?? {},
    },
  ];
};

/** From processes of the nodes, and of the host outside. */
const fromOthers = (): Way[] => {
  const asNode = { from: nodeOf(0), sees: GATEWAY[0] ?? {} };
  const loopback = { ipv4: '127.0.0.1', ipv6: '::1' };
  const [throughA = {}, throughB = {}] = FICTITIOUS;
  const client = { from: outside.namespace, port: NODE_PORT, by: backends };
  return [
    { ...asNode, name: 'node to its pod', to: here.addresses, port: DIRECT, by: ['here'] },
    { ...asNode, name: 'node to pod of another node', to: away.addresses, port: DIRECT, by: ['away'] },
    { ...asNode, name: 'node to Service', to: vipsOf(10), port: PORT, by: backends },
    { ...asNode, name: 'node to its NodePort', to: node(0).addresses, port: NODE_PORT, by: backends },
    { ...asNode, name: 'node to its NodePort by loopback', to: loopback, port: NODE_PORT, by: backends },
    {
      ...asNode,
      name: 'node to NodePort of another node',
      to: node(1).addresses,
      port: NODE_PORT,
      by: backends,
      sees: throughB,
    },
    {
      ...asNode,
      name: 'node to Service whose backend is another node',
      to: vipsOf(12),
      port: PORT,
      by: ['node-b'],
      sees: node(0).addresses,
    },
    {
      name: 'other node to pod',
      from: nodeOf(1),
      to: here.addresses,
      port: DIRECT,
      by: ['here'],
      sees: GATEWAY[1] ?? {},
    },
    { ...client, name: 'outside to NodePort', to: node(0).addresses, sees: throughA },
    { ...client, name: 'outside to NodePort of the other node', to: node(1).addresses, sees: throughB },
  ];
};

beforeAll(async () => {
  lab = await openTwoNodes('provider', {
    chain: toProvider,
  });
  here = await lab.addPod(0, 'here', 11);
  beside = await lab.addPod(0, 'beside', 12);
  away = await lab.addPod(1, 'away', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  for (const pod of [here, beside, away])
    for (const port of [TARGET, DIRECT]) await startServer(pod.namespace, pod.name, port);
  await startServer(outside.namespace, 'outside', TARGET);
  await nodeOf(0).ip(
    'link set lo up',
    `address add ${MORE.ipv4}/32 dev lo`,
    `address add ${MORE.ipv6}/128 dev lo nodad`,
  );
  for (const { index, node } of lab.workers)
    for (const address of Object.values(
      index === 0 ? { ...node.addresses, m4: MORE.ipv4, m6: MORE.ipv6 } : node.addresses,
    ))
      await startServer(node.namespace, node.name, TARGET, address);
  const ports = named.map((port) => ({ ...port, nodePort: NODE_PORT }));
  lab.writeService({ name: 'web', number: 10, ports, backends: [beside, away], spec: { type: 'NodePort' } });
  lab.writeService({ name: 'self', number: 11, ports: named, backends: [here] });
  const { name, addresses } = node(1);
  const asBackend = { name, node: node(1), addresses } as unknown as Pod;
  lab.writeService({ name: 'host', number: 12, ports: named, backends: [asBackend] });
  await eventuallyWays([...fromPod(), ...fromOthers()]);
});
afterAll(async () => {
  await lab?.close();
});

test('all of it is taken, and nothing is left to do', async () => {
  for (const { agent } of lab.workers) expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  test('a pod reaches pods, Services, NodePorts, nodes and the world', async () => {
    await expectWays(fromPod());
  });

  test('nodes reach pods, Services and NodePorts, and a host outside NodePorts', async () => {
    await expectWays(fromOthers());
  });
});

test('a Service keeps its cluster IPs and its NodePort when it gets addresses of a load balancer, and when they go', async () => {
  const { number, nodePort, ...ingress } = BALANCED;
  const ports = named.map((port) => ({ ...port, nodePort }));
  const spec = { type: 'LoadBalancer' };
  const [service, ...slices] = serviceObjects({
    name: 'balanced',
    number,
    ports,
    backends: [beside, away],
    spec,
  });
  const write = (ips: readonly string[]) => {
    const status = { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } };
    lab.manifests.write('service-balanced.yaml', { ...(service as Manifest), status }, ...slices);
  };
  for (const family of FAMILIES)
    await outside.namespace.ip(`route add ${ingress[family]} via ${node(0).addresses[family]}`);
  const client = { from: here.namespace, by: backends, sees: here.addresses };
  const kept: Way[] = [
    { ...client, name: 'cluster IP', to: vipsOf(number), port: PORT },
    { ...client, name: 'NodePort', to: node(0).addresses, port: nodePort },
    {
      name: 'NodePort from outside',
      from: outside.namespace,
      to: node(0).addresses,
      port: nodePort,
      by: backends,
      sees: FICTITIOUS[0] ?? {},
    },
  ];
  const balanced: Way[] = [
    { ...client, name: 'load balancer', to: ingress, port: PORT },
    {
      name: 'load balancer from outside',
      from: outside.namespace,
      to: ingress,
      port: PORT,
      by: backends,
      sees: FICTITIOUS[0] ?? {},
    },
  ];
  const gone: Way = { ...client, name: 'load balancer', to: ingress, port: PORT, by: 'ETIMEDOUT' };
  write([]);
  await eventuallyWays(kept);
  const loads = await Promise.all(
    FAMILIES.flatMap((family) =>
      [false, true].map((udp) =>
        startLoad(here.namespace, vipsOf(number)[family], PORT, { every: 20, udp, long: udp ? 0 : 4 }),
      ),
    ),
  );
  await expectWays([gone]);
  write([ingress.ipv4, ingress.ipv6]);
  await eventuallyWays(balanced);
  await expectWays(kept);
  write([]);
  await eventuallyWays([gone]);
  await expectWays(kept);
  for (const load of loads) {
    const { failures, requests } = await load.end();
    expect({ failures, isDone: requests > 50 }).toEqual({ failures: [], isDone: true });
  }
  lab.manifests.remove('service-balanced.yaml');
});

test("default deny: other pods, nodes and clients outside are refused, the pod's own node is not", async () => {
  const isolate = (...policies: object[]) =>
    lab.manifests.write(
      'policy.yaml',
      cubeTable('policies', {
        type: 'Policy',
        policies: [{ namespace: 'default', name: 'default-deny', types: ['Ingress'] }, ...policies],
      }),
      cubeTable('identities', {
        type: 'Identity',
        identities: [
          {
            id: 1,
            namespace: 'default',
            addresses: [beside, away].flatMap((pod) => Object.values(pod.addresses)),
          },
        ],
      }),
    );
  const toPod = { to: beside.addresses, port: DIRECT };
  const toNodePort = { from: outside.namespace, to: node(0).addresses, port: NODE_PORT };
  const refused = 'ETIMEDOUT';
  const denied: Way[] = [
    { ...toPod, name: 'pod', from: here.namespace, by: refused },
    { ...toPod, name: 'pod of another node', from: away.namespace, by: refused },
    { ...toPod, name: 'another node', from: nodeOf(1), by: refused },
    { ...toPod, name: 'its own node', from: nodeOf(0), by: ['beside'], sees: GATEWAY[0] ?? {} },
  ];
  const outsideIs = (more: Pick<Way, 'by' | 'sees'>): Way[] => [
    ...denied,
    { ...toNodePort, name: 'client outside', ...more },
  ];
  isolate();
  await eventuallyWays(outsideIs({ by: refused }));
  // with externalTrafficPolicy Cluster the client is the fictitious pod of the node that it came to
  const peers = [{ cidr: `${FICTITIOUS[0]?.ipv4}/32` }, { cidr: `${FICTITIOUS[0]?.ipv6}/128` }];
  isolate({ namespace: 'default', name: 'outside', types: ['Ingress'], ingress: [{ peers }] });
  await eventuallyWays(outsideIs({ by: backends, sees: FICTITIOUS[0] ?? {} }));
  lab.manifests.remove('policy.yaml');
  await eventuallyWays(fromPod());
});
