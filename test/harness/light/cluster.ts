// SPDX-License-Identifier: Apache-2.0
/**
 * A cluster of network namespaces: a control plane, the operator, nodes with an agent and the CNI plugin each, and a host on
 * the other side of their uplinks. Everything is its lab's own, so two of them do not meet.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NETWORK_TAINT } from '../../../src/operators/node-taint.ts';
import { cniFlags } from '../cni.ts';
import { Agent, startOperator } from '../cubeplane.ts';
import { createInternet, routeToInternet } from '../internet.ts';
import { agentKubeconfig, installApi, operatorKubeconfig, SYSTEM_NAMESPACE } from '../kube/access.ts';
import { type Cluster, startCluster } from '../kube/cluster.ts';
import { FakeKubelet } from '../kube/fake-kubelet.ts';
import { openToRoot } from '../kube/root-access.ts';
import type { Lab } from '../lab.ts';
import type { Running } from '../process.ts';
import { formatElapsed, type Log } from '../progress.ts';
import { createNodes, createUnderlay, type Machine, type Node, type Underlay } from '../topology.ts';
import type { KubeletConfig } from './kubelet-main.ts';

const PROVIDER = join(import.meta.dirname, '../../../config/provider');
const KUBELET = join(import.meta.dirname, 'kubelet-main.ts');
export const MOST_NODES = 20;
/** kube-proxy's; the agents serve it. */
export const PROXY_HEALTH_PORT = 10256;

/** What makes Deployments and the like into pods. */
const WORKLOAD_CONTROLLERS = [
  'daemonset-controller',
  'deployment-controller',
  'replicaset-controller',
  'statefulset-controller',
];

export interface LightOptions {
  /** 1 to {@link MOST_NODES}; 2 by default. */
  readonly nodes?: number;
  readonly log?: Log;
  /** Folder that kustomize builds the network from; config/provider by default. */
  readonly provider?: string;
  readonly operatorFlags?: readonly string[];
  /** Nodes of another network, by name: their agents are not started, and pods have what the caller puts there. */
  readonly foreign?: readonly string[];
  /** More labels of the nodes that are not foreign. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface LightNode {
  readonly node: Node;
  readonly agent: Agent;
  readonly kubelet: FakeKubelet;
}

export interface LightCluster {
  readonly lab: Lab;
  readonly underlay: Underlay;
  readonly cluster: Cluster;
  readonly nodes: readonly LightNode[];
  readonly internet: Machine;
  readonly kubelets: Running;
  readonly operator: Running;
  /** The administrator's; it works in the root network namespace. */
  readonly kubeconfig: string;
}

/** Brings one up; it ends with its lab. Resolves when the provider is Ready on all nodes. */
export async function startLightCluster(lab: Lab, options: LightOptions = {}): Promise<LightCluster> {
  const began = Date.now();
  const say = options.log ?? lab.log;
  const log: Log = (line) => say(`${formatElapsed(Date.now() - began)}  ${line}`);
  const underlay = await createUnderlay(lab);
  const internet = await createInternet(underlay);
  const cluster = await startCluster(underlay, { log, moreControllers: WORKLOAD_CONTROLLERS });
  await installApi(cluster);
  log('CRDs, roles and admission policy are in force');
  const operator = await startOperator(
    cluster.machine,
    await operatorKubeconfig(cluster),
    options.operatorFlags,
  );
  log('the operator runs');
  const nodes: LightNode[] = [];
  const names = Array.from({ length: options.nodes ?? 2 }, (_, index) => `node-${index + 1}`);
  for (const node of await createNodes(underlay, names)) {
    await routeToInternet(node, internet);
    const kubelet = new FakeKubelet(cluster.api, node.name, node.addresses);
    const isForeign = options.foreign?.includes(node.name) === true;
    const cidrs = isForeign
      ? await kubelet.register()
      : await kubelet.register({
          ...(options.labels && { labels: options.labels }),
          taints: [{ key: NETWORK_TAINT, effect: 'NoSchedule' }],
        });
    const source = { kubeconfig: await agentKubeconfig(cluster, node.name) };
    const agent = new Agent(node, source, [
      ...cniFlags(node),
      '--healthz-address',
      `[::]:${PROXY_HEALTH_PORT}`,
    ]);
    nodes.push({ node, agent, kubelet });
    if (isForeign) continue;
    await agent.start();
    log(`${node.name}: its agent runs (${node.addresses.ipv4}, pods ${cidrs.ipv4} and ${cidrs.ipv6})`);
  }
  await cluster.kubectl(['apply', '-k', options.provider ?? PROVIDER]);
  await cluster.kubectl(
    ['-n', SYSTEM_NAMESPACE, 'wait', '--for=condition=Ready', '--timeout=90s', 'servicechain/kubernetes'],
    { timeoutMs: 100_000 },
  );
  log('the provider is Ready on all nodes');
  const kubelets = await startKubelets(cluster, nodes);
  const kubeconfig = await openToRoot(lab, cluster);
  log('kubelets run: the cluster is up');
  return { lab, underlay, cluster, nodes, internet, kubelets, operator, kubeconfig };
}

async function startKubelets(cluster: Cluster, nodes: readonly LightNode[]): Promise<Running> {
  const { namespace } = cluster.machine;
  const config: KubeletConfig = {
    lab: namespace.lab.id,
    cgroup: namespace.lab.cgroup,
    kubeconfig: cluster.kubeconfig,
    nodes: nodes.map(({ node: { name, addresses } }) => ({ name, addresses })),
  };
  const path = join(namespace.directory, 'kubelets.json');
  await writeFile(path, JSON.stringify(config));
  const running = await namespace.start('kubelets', [process.execPath, KUBELET, path]);
  await running.waitForOutput(/"ready"/);
  return running;
}
