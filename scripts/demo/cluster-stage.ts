// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Agent, startAgent, startOperator } from '../../test/harness/cubeplane.ts';
import { agentKubeconfig, installApi, operatorKubeconfig } from '../../test/harness/kube/access.ts';
import { startCluster } from '../../test/harness/kube/cluster.ts';
import { FakeKubelet, type PublishedPod } from '../../test/harness/kube/fake-kubelet.ts';
import { podNetwork } from '../../test/harness/kube/pods.ts';
import type { Lab } from '../../test/harness/lab.ts';
import { createNodes, createPod, createUnderlay, type Pod } from '../../test/harness/topology.ts';
import { startServer } from '../../test/harness/traffic.ts';
import { type Backend, PODS, type Stage, TARGET_PORT } from './stage.ts';
import type { Story } from './story.ts';

const SAMPLES = join(import.meta.dirname, '../../samples/demo');
const LABELS = { app: 'web' };

/** A real API server, the operator, and kubectl: EndpointSlices come from Kubernetes' own controllers. */
export async function clusterStage(lab: Lab, story: Story): Promise<Stage> {
  const underlay = await createUnderlay(lab);
  const cluster = await startCluster(underlay, { log: (line) => story.detail(line) });
  story.say('a control plane: etcd, kube-apiserver, kube-controller-manager, with RBAC');
  const kubectl = async (args: readonly string[], input?: string): Promise<string> =>
    (await cluster.kubectl(args, input === undefined ? {} : { input })).stdout;
  await installApi(cluster);
  await startOperator(cluster.machine, await operatorKubeconfig(cluster));
  story.say('CRDs, roles, and the operator with a token of its own');

  const nodes = await createNodes(underlay, ['node-a', 'node-b']);
  const workers: { agent: Agent; kubelet: FakeKubelet; cidrs: { ipv4: string; ipv6: string } }[] = [];
  for (const node of nodes) {
    const kubelet = new FakeKubelet(cluster.api, node.name, node.addresses);
    const cidrs = await kubelet.register();
    const agent = await startAgent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
    workers.push({ agent, kubelet, cidrs });
  }
  story.say('two nodes with an agent each: node-a, node-b');
  await kubectl(['apply', '-f', join(SAMPLES, 'chain.yaml')]);
  await kubectl(
    ['apply', '-f', '-'],
    (await readFile(join(SAMPLES, 'web.yaml'), 'utf8')).split('\n---\n')[0],
  );
  story.say('kubectl apply -f samples/demo/chain.yaml, and the Service web');
  await kubectl([
    '-n',
    'cubeplane-system',
    'wait',
    '--for=condition=Ready',
    '--timeout=60s',
    'servicechain/demo',
  ]);
  story.say('kubectl wait --for=condition=Ready servicechain/demo: met');

  const backends: Backend[] = [];
  const published = new Map<string, PublishedPod>();
  let client: Pod | undefined;
  const publish = async (backend: Backend): Promise<void> => {
    const worker = workers[nodes.indexOf(backend.node)];
    const { name, pod } = backend;
    const object = await worker?.kubelet.publishPod({ name, labels: LABELS, addresses: pod.addresses });
    if (object !== undefined) published.set(name, object);
  };
  for (const { name, node: index, number } of PODS) {
    const node = nodes[index];
    const worker = workers[index];
    if (node === undefined || worker === undefined) throw new Error(`no node for ${name}`);
    const pod = await createPod(node, { name, ...podNetwork(worker.cidrs, number) });
    await worker.agent.plug(pod);
    if (name === 'client') client = pod;
    else {
      const backend = { name, pod, node, server: await startServer(pod.namespace, name, TARGET_PORT) };
      backends.push(backend);
      await publish(backend);
    }
  }
  if (client === undefined) throw new Error('no client');
  story.say('five pods: client, web-1 … web-4 (labels app=web, so EndpointSlices follow them)');
  const service = JSON.parse(await kubectl(['get', 'service', 'web', '-o', 'json'])) as {
    spec: { clusterIPs: string[] };
  };
  const address = (mark: string) => service.spec.clusterIPs.find((ip) => ip.includes(mark)) ?? '';
  const kubeletOf = (backend: Backend) => workers[nodes.indexOf(backend.node)]?.kubelet;
  const command = cluster.kubectlCommand([]).join(' ');
  return {
    nodes,
    client,
    backends,
    service: { ipv4: address('.'), ipv6: address(':') },
    tool: 'kubectl',
    run: async (args) => await kubectl(args),
    objects: async <T>(plural: string) =>
      (JSON.parse(await kubectl(['get', plural, '-A', '-o', 'json'])) as { items: T[] }).items,
    terminate: async (backend) => {
      const pod = published.get(backend.name);
      if (pod !== undefined) await kubeletOf(backend)?.terminatePod(pod);
    },
    remove: async (backend) => {
      const pod = published.get(backend.name);
      if (pod !== undefined) await kubeletOf(backend)?.removePod(pod);
    },
    add: publish,
    hints: [
      `alias k='${command}'`,
      'k get cubeplane -A',
      'k explain servicechain.spec.cubes',
      'k -n cubeplane-system edit servicechain demo    # both nodes change at once',
    ],
  };
}
