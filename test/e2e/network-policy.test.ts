// SPDX-License-Identifier: Apache-2.0
/**
 * NetworkPolicies applied with kubectl: operator and agents turn them, pods and namespaces into what real sockets of pods on two
 * nodes meet. What a firewall makes of tables is tested in test/netns/network-policy.test.ts, what the operator writes in
 * operator-policy.test.ts; here is the way as a whole.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { type Agent, startAgent, startOperator } from '../harness/cubeplane.ts';
import { agentKubeconfig, installApi, operatorKubeconfig, SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet, type PodCidrs } from '../harness/kube/fake-kubelet.ts';
import { podNetwork } from '../harness/kube/pods.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createNodes, createPod, createUnderlay, type Node, type Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from '../netns/support/answers.ts';

jest.setTimeout(180_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;
const SAMPLE = join(import.meta.dirname, '../../samples/network-policy.yaml');
/** Ports of `web`: the one that it names, another one. */
const [HTTP, OTHER] = [8080, 8081];

interface Worker {
  readonly node: Node;
  readonly kubelet: FakeKubelet;
  readonly cidrs: PodCidrs;
  readonly agent: Agent;
  pods: number;
}

let lab: Lab;
let cluster: Cluster;
let workers: [Worker, Worker];
let web: Pod;
/** Of the same labels, on both nodes. */
let near: Pod;
let far: Pod;
let ops: Pod;

const kubectl = async (...args: string[]): Promise<string> =>
  (await cluster.kubectl(args, { timeoutMs: 90_000 })).stdout;

async function apply(...objects: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await cluster.kubectl(['apply', '-f', '-'], { input });
}

const policy = (name: string, spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: 'default' },
  spec,
});

/** As kubelet and CNI do: a namespace, joined to the chain; then the API knows of it. */
async function addPod(worker: Worker, name: string, published: object): Promise<Pod> {
  worker.pods += 1;
  const pod = await createPod(worker.node, { name, ...podNetwork(worker.cidrs, worker.pods + 9) });
  await worker.agent.plug(pod);
  await worker.kubelet.publishPod({ name, addresses: pod.addresses, ...published });
  return pod;
}

beforeAll(async () => {
  lab = await openLab('network policy test');
  const underlay = await createUnderlay(lab);
  cluster = await startCluster(underlay);
  await installApi(cluster);
  await startOperator(cluster.machine, await operatorKubeconfig(cluster));
  const started: Worker[] = [];
  for (const node of await createNodes(underlay, ['node-a', 'node-b'])) {
    const kubelet = new FakeKubelet(cluster.api, node.name, node.addresses);
    const cidrs = await kubelet.register();
    const agent = await startAgent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
    started.push({ node, kubelet, cidrs, agent, pods: 0 });
  }
  workers = started as [Worker, Worker];
  await apply(parseAllDocuments(readFileSync(SAMPLE, 'utf8'))[0]?.toJS() as object, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'ops', labels: { team: 'ops' } },
  });
  await kubectl(
    ...['-n', SYSTEM_NAMESPACE, 'wait', '--for=condition=Ready', '--timeout=30s', 'servicechain/kubernetes'],
  );
  web = await addPod(workers[0], 'web', { labels: { app: 'web' }, ports: { http: HTTP } });
  near = await addPod(workers[0], 'near', { labels: { app: 'client' } });
  far = await addPod(workers[1], 'far', { labels: { app: 'client' } });
  ops = await addPod(workers[1], 'ops', { namespace: 'ops' });
  for (const port of [HTTP, OTHER]) await startServer(web.namespace, 'web', port);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

/** What each may ask `web` for, in the end. */
async function reach(expected: Readonly<Record<'near' | 'far' | 'ops', readonly number[]>>): Promise<void> {
  // at the same time: who is refused waits for seconds
  await Promise.all(
    Object.entries({ near, far, ops }).map(([name, pod]) =>
      eventually(pod.namespace, web, [HTTP, OTHER], everything(...expected[name as keyof typeof expected])),
    ),
  );
}

const tables = async (type: string): Promise<string[]> => {
  const items = await kubectl('-n', SYSTEM_NAMESPACE, 'get', 'cubetables', '-o', 'json');
  const { items: all } = JSON.parse(items) as {
    items: { metadata: { name: string }; spec: { type: string } }[];
  };
  return all.filter(({ spec }) => spec.type === type).map(({ metadata }) => metadata.name);
};

test('without a policy everybody reaches everybody, and nobody is given an identity', async () => {
  await reach({ near: [HTTP, OTHER], far: [HTTP, OTHER], ops: [HTTP, OTHER] });
  expect(await tables('Identity')).toEqual([]);
});

test('a default deny isolates the namespace on all nodes, but not from its own node', async () => {
  await apply(policy('default-deny', { podSelector: {}, policyTypes: ['Ingress'] }));
  await reach({ near: [], far: [], ops: [] });
  expect(await answers(workers[0].node.namespace, web, [HTTP])).toEqual(everything(HTTP));
});

test('policies open a named port to labels and another one to a namespace', async () => {
  await apply(
    policy('clients', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { app: 'client' } } }],
          ports: [{ port: 'http' }, { protocol: 'UDP', port: HTTP }],
        },
        {
          from: [{ namespaceSelector: { matchLabels: { team: 'ops' } } }],
          ports: [{ port: OTHER }, { protocol: 'UDP', port: OTHER }],
        },
      ],
    }),
  );
  await reach({ near: [HTTP], far: [HTTP], ops: [OTHER] });
});

test('a pod that starts is let in by its labels, and one that loses them is not any more', async () => {
  const late = await addPod(workers[1], 'late', { labels: { app: 'client' } });
  const published = performance.now();
  await eventually(late.namespace, web, [HTTP], everything(HTTP));
  console.log(
    `a pod of another node is let in ${Math.round(performance.now() - published)} ms after the API knows it`,
  );
  await kubectl('label', 'pod', 'late', 'far', 'app-');
  await eventually(late.namespace, web, [HTTP], []);
  await reach({ near: [HTTP], far: [], ops: [OTHER] });
  await kubectl('label', 'pod', 'far', 'app=client');
  await reach({ near: [HTTP], far: [HTTP], ops: [OTHER] });
});

test('labels of a namespace count as they are', async () => {
  await kubectl('label', 'namespace', 'ops', 'team-');
  await reach({ near: [HTTP], far: [HTTP], ops: [] });
  await kubectl('label', 'namespace', 'ops', 'team=ops');
  await reach({ near: [HTTP], far: [HTTP], ops: [OTHER] });
});

test('what goes out of a pod is isolated by a policy of its own', async () => {
  await apply(
    policy('no-egress', {
      podSelector: { matchLabels: { app: 'client' } },
      policyTypes: ['Egress'],
      egress: [],
    }),
  );
  await reach({ near: [], far: [], ops: [OTHER] });
  await kubectl('delete', 'networkpolicy', 'no-egress');
  await reach({ near: [HTTP], far: [HTTP], ops: [OTHER] });
});

test('without the policies everything is open again, and no table is left', async () => {
  await kubectl('delete', 'networkpolicy', '--all');
  await reach({ near: [HTTP, OTHER], far: [HTTP, OTHER], ops: [HTTP, OTHER] });
  expect([...(await tables('Policy')), ...(await tables('Identity'))]).toEqual([]);
});
