// SPDX-License-Identifier: Apache-2.0
/**
 * The whole system: real kubectl and API server, the operator, an agent on each of two nodes, pods in namespaces, packets
 * through the kernel.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type Agent, startAgent, startOperator } from '../harness/cubeplane.ts';
import { agentKubeconfig, installApi, operatorKubeconfig, SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet, type PodCidrs, type PublishedPod } from '../harness/kube/fake-kubelet.ts';
import { podNetwork } from '../harness/kube/pods.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import type { Running } from '../harness/process.ts';
import { createNodes, createPod, createUnderlay, type Node, type Pod } from '../harness/topology.ts';
import { ask, startLoad, startServer } from '../harness/traffic.ts';

jest.setTimeout(120_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const CHAIN = join(import.meta.dirname, '../../samples/service-chain.yaml');
const PORT = 80;
const TARGET = 8080;

interface Worker {
  readonly node: Node;
  readonly kubelet: FakeKubelet;
  readonly cidrs: PodCidrs;
  readonly agent: Agent;
  pods: number;
}

interface Backend {
  readonly name: string;
  readonly worker: Worker;
  readonly pod: Pod;
  readonly published: PublishedPod;
  readonly server: Running;
}

let lab: Lab;
let cluster: Cluster;
let workers: Worker[];
let client: Pod;
const vips: Record<'ipv4' | 'ipv6', string> = { ipv4: '', ipv6: '' };
const backends = new Map<string, Backend>();

async function kubectl(...args: string[]): Promise<string> {
  return (await cluster.kubectl(args, { timeoutMs: 90_000 })).stdout;
}

const inSystem = (...args: string[]): Promise<string> => kubectl('-n', SYSTEM_NAMESPACE, ...args);

async function addPod(worker: Worker, name: string): Promise<Pod> {
  worker.pods += 1;
  const pod = await createPod(worker.node, { name, ...podNetwork(worker.cidrs, worker.pods + 9) });
  await worker.agent.plug(pod);
  return pod;
}

/** As kubelet and CNI do: a namespace, joined to the chain, a program that listens, then the API knows of it. */
async function addBackend(index: number): Promise<Backend> {
  const worker = workers[index % 2] as Worker;
  const name = `web-${worker.pods}-${worker.node.name}`;
  const pod = await addPod(worker, name);
  const server = await startServer(pod.namespace, name, TARGET);
  const published = await worker.kubelet.publishPod({
    name,
    labels: { app: 'web' },
    addresses: pod.addresses,
  });
  const backend = { name, worker, pod, published, server };
  backends.set(name, backend);
  return backend;
}

/** As a graceful deletion goes: terminating first, the news travels, then the program ends. The last one serves to its end. */
async function removeBackend(backend: Backend): Promise<void> {
  await backend.worker.kubelet.terminatePod(backend.published);
  const others = [...backends.keys()].filter((name) => name !== backend.name);
  if (others.length > 0) await untilServedBy(others);
  await backend.server.stop();
  await backend.worker.kubelet.removePod(backend.published);
  await backend.worker.agent.unplug(backend.pod);
  backends.delete(backend.name);
}

/** Asks until the answers come from exactly these backends. */
async function untilServedBy(names: readonly string[], timeoutMs = 60_000): Promise<void> {
  let seen: string[] = [];
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; ) {
    seen = Object.keys((await ask(client.namespace, vips.ipv4, PORT, { count: 60 })).by).sort();
    if (seen.join() === [...names].sort().join()) return;
  }
  throw new Error(`served by ${seen.join() || 'nobody'}, not by ${names.join()}`);
}

beforeAll(async () => {
  lab = await openLab('system test');
  const underlay = await createUnderlay(lab);
  cluster = await startCluster(underlay);
  await installApi(cluster);
  await startOperator(cluster.machine, await operatorKubeconfig(cluster));
  workers = [];
  for (const node of await createNodes(underlay, ['node-a', 'node-b'])) {
    const kubelet = new FakeKubelet(cluster.api, node.name, node.addresses);
    const cidrs = await kubelet.register();
    const agent = await startAgent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
    workers.push({ node, kubelet, cidrs, agent, pods: 0 });
  }
  await inSystem('apply', '-f', CHAIN);
  await inSystem('wait', '--for=condition=Ready', '--timeout=30s', 'servicechain/kubernetes');
  await cluster.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        ipFamilyPolicy: 'RequireDualStack',
        selector: { app: 'web' },
        ports: ['TCP', 'UDP'].map((protocol) => ({
          name: protocol.toLowerCase(),
          protocol,
          port: PORT,
          targetPort: TARGET,
        })),
      },
    }),
  });
  const service = JSON.parse(await kubectl('get', 'service', 'web', '-o', 'json')) as {
    spec: { clusterIPs: string[] };
  };
  vips.ipv4 = service.spec.clusterIPs.find((ip) => ip.includes('.')) ?? '';
  vips.ipv6 = service.spec.clusterIPs.find((ip) => ip.includes(':')) ?? '';
  client = await addPod(workers[0] as Worker, 'client');
  for (let index = 0; index < 4; index++) await addBackend(index);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

describe('a Service applied with kubectl', () => {
  test.each([
    ['TCP', 'ipv4'],
    ['TCP', 'ipv6'],
    ['UDP', 'ipv4'],
    ['UDP', 'ipv6'],
  ] as const)('is answered by all its backends, on both nodes: %s over %s', async (protocol, family) => {
    await untilServedBy([...backends.keys()]);
    const report = await ask(client.namespace, vips[family], PORT, { count: 200, udp: protocol === 'UDP' });
    expect(report.failures).toEqual([]);
    expect(Object.keys(report.by).sort()).toEqual([...backends.keys()].sort());
    expect(report.seenAs).toBe(client.addresses[family]);
  });
});

describe('kubectl tells the truth', () => {
  test('get lists the cubes of both nodes as ready', async () => {
    const rows = (await inSystem('get', 'cubes', '--no-headers'))
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/).slice(0, 4));
    expect(rows).toEqual([
      ['kubernetes.ilb.node-a', 'node-a', 'LoadBalancer', 'True'],
      ['kubernetes.ilb.node-b', 'node-b', 'LoadBalancer', 'True'],
      ['kubernetes.router.node-a', 'node-a', 'Router', 'True'],
      ['kubernetes.router.node-b', 'node-b', 'Router', 'True'],
    ]);
    expect(await inSystem('get', 'cubeplane', '-o', 'name')).toContain('cubelink.cubeplane.io/kubernetes.');
    expect(await inSystem('get', 'cb', '--field-selector=spec.nodeName=node-b', '-o', 'name')).toBe(
      'cube.cubeplane.io/kubernetes.ilb.node-b\ncube.cubeplane.io/kubernetes.router.node-b\n',
    );
  });

  test('the program that status names is the one in the kernel', async () => {
    const cube = JSON.parse(await inSystem('get', 'cube', 'kubernetes.router.node-a', '-o', 'json')) as {
      status: { program: { tag: string }; ports: { name: string; peer: string; state: string }[] };
    };
    const { stdout } = await (workers[0] as Worker).node.namespace.exec(['bpftool', '-j', 'prog', 'show']);
    const tags = (JSON.parse(stdout) as { name: string; tag: string }[])
      .filter(({ name }) => name === 'router')
      .map(({ tag }) => tag);
    expect(tags).toContain(cube.status.program.tag);
    expect(cube.status.ports).toContainEqual({
      name: 'pods',
      peer: 'kubernetes.ilb.node-a/server',
      state: 'Up',
    });
  });

  test('describe shows conditions and events', async () => {
    const text = await inSystem('describe', 'cube', 'kubernetes.ilb.node-a');
    for (const type of ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready']) {
      expect(text).toMatch(new RegExp(`Status:\\s+True\\s+Type:\\s+${type}`));
    }
  });
});

describe('kubectl changes what is there', () => {
  test('edit of the chain reaches the cubes of every node', async () => {
    const { status } = await cluster.kubectl(['-n', SYSTEM_NAMESPACE, 'edit', 'servicechain', 'kubernetes'], {
      env: { KUBE_EDITOR: `sed -i 's/drainSeconds: 60/drainSeconds: 61/'` },
      anyStatus: true,
    });
    expect(status).toBe(0);
    for (const worker of workers) {
      await inSystem(
        'wait',
        '--for=jsonpath={.spec.loadBalancer.drainSeconds}=61',
        '--timeout=60s',
        `cube/kubernetes.ilb.${worker.node.name}`,
      );
    }
    await inSystem('wait', '--for=condition=Ready', '--timeout=60s', 'servicechain/kubernetes');
  });

  test('patch with a value that this release does not do is refused by the agent, and changes no packet', async () => {
    await inSystem(
      'patch',
      'servicechain',
      'kubernetes',
      '--type=merge',
      '-p',
      '{"spec":{"updateStrategy":{"type":"OnDelete"}}}',
    );
    await inSystem('wait', '--for=condition=Accepted=False', '--timeout=60s', 'servicechain/kubernetes');
    const reason = await inSystem(
      'get',
      'servicechain',
      'kubernetes',
      '-o',
      'jsonpath={.status.conditions[?(@.type=="Accepted")].reason}',
    );
    expect(reason).toBe('NotSupported');
    expect((await ask(client.namespace, vips.ipv4, PORT)).failures).toEqual([]);
    await inSystem(
      'patch',
      'servicechain',
      'kubernetes',
      '--type=merge',
      '-p',
      '{"spec":{"updateStrategy":{"type":"AllAtOnce"}}}',
    );
    await inSystem('wait', '--for=condition=Accepted', '--timeout=60s', 'servicechain/kubernetes');
  });

  test('a deleted cube of the chain comes back', async () => {
    await inSystem('delete', 'cube', 'kubernetes.router.node-b', '--wait=true');
    await inSystem('wait', '--for=create', '--timeout=60s', 'cube/kubernetes.router.node-b');
    await inSystem('wait', '--for=condition=Ready', '--timeout=60s', 'cube/kubernetes.router.node-b');
    expect((await ask(client.namespace, vips.ipv4, PORT, { count: 60 })).failures).toEqual([]);
  });
});

test('scaling 4 → 1 → 0 → 4 fails no request, but those made while there is nobody, at once', async () => {
  const load = await startLoad(client.namespace, vips.ipv4, PORT, { every: 5 });
  for (const backend of [...backends.values()].slice(1)) await removeBackend(backend);
  await untilServedBy([...backends.keys()]);
  const emptyFrom = Date.now();
  for (const backend of [...backends.values()]) await removeBackend(backend);
  const refused = await ask(client.namespace, vips.ipv4, PORT, { count: 10 });
  for (let index = 0; index < 4; index++) await addBackend(index);
  await untilServedBy([...backends.keys()]);
  const emptyUntil = Date.now();
  await sleep(500);
  const report = await load.end();

  expect(refused.failures.map(({ error }) => error)).toEqual(
    Array.from({ length: 10 }, () => 'ECONNREFUSED'),
  );
  expect(report.failures.filter(({ at }) => at < emptyFrom || at > emptyUntil)).toEqual([]);
  // The last server is asked until it ends, also while it is terminating: what it has accepted then its own kernel resets.
  const inFlight = report.failures.filter(({ error }) => error === 'ECONNRESET');
  expect(inFlight.length).toBeLessThanOrEqual(5);
  const others = report.failures.filter((failure) => !inFlight.includes(failure));
  expect(new Set(others.map(({ error }) => error))).toEqual(new Set(['ECONNREFUSED']));
  for (const { at } of inFlight)
    expect(at).toBeLessThanOrEqual(Math.min(...others.map((one) => one.at)) + 50);
  expect(report.requests).toBeGreaterThan(500);
});

test('a dead agent: its cubes become Unknown, its traffic goes on, and it finds all as it was', async () => {
  const [worker] = workers as [Worker];
  await worker.agent.kill();
  expect((await ask(client.namespace, vips.ipv4, PORT)).failures).toEqual([]);
  await inSystem('wait', '--for=condition=Ready=Unknown', '--timeout=60s', 'cube/kubernetes.ilb.node-a');
  expect((await ask(client.namespace, vips.ipv6, PORT)).failures).toEqual([]);
  await worker.agent.start();
  await inSystem('wait', '--for=condition=Ready', '--timeout=60s', 'cube/kubernetes.ilb.node-a');
  expect((await ask(client.namespace, vips.ipv4, PORT)).failures).toEqual([]);
});
