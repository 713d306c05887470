// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cube, CubeLink, CubeTable } from '../../src/api/generated/types.ts';
import { API_VERSION } from '../../src/api/group.ts';
import type { EndpointSliceInput, ServiceInput } from '../../src/operators/inputs.ts';
import { tablesOfService } from '../../src/operators/service.ts';
import { Agent } from '../harness/cubeplane.ts';
import { agentKubeconfig, installApi, SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import type { KubeApi } from '../harness/kube/api.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet } from '../harness/kube/fake-kubelet.ts';
import type { Lab } from '../harness/lab.ts';
import { createNode, createUnderlay, type Node, type Underlay } from '../harness/topology.ts';
import { Counters } from '../netns/support/counters.ts';

export const SYSTEM_PATH = `/apis/cubeplane.io/v1alpha1/namespaces/${SYSTEM_NAMESPACE}`;
export const BALANCER = `${SYSTEM_NAMESPACE}/ilb`;

export interface Size {
  readonly services: number;
  /** Of each Service; each a frontend. */
  readonly ports: number;
  /** Of each Service; each makes a backend a port. */
  readonly endpoints: number;
}

/** A Service and its EndpointSlice as the API server has them. */
export function service(size: Size, n: number): { service: ServiceInput; slice: EndpointSliceInput } {
  const ports = Array.from({ length: size.ports }, (_, i) => ({ name: `port-${i}`, protocol: 'TCP' }));
  const name = `service-${String(n).padStart(5, '0')}`;
  return {
    service: {
      metadata: { namespace: 'default', name, uid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` },
      spec: {
        type: 'ClusterIP',
        clusterIP: address('10.96', n),
        clusterIPs: [address('10.96', n)],
        ipFamilies: ['IPv4'],
        ports: ports.map((port, i) => ({ ...port, port: 80 + i })),
      },
    },
    slice: {
      metadata: { namespace: 'default', name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: ports.map((port, i) => ({ ...port, port: 8080 + i })),
      endpoints: Array.from({ length: size.endpoints }, (_, i) => ({
        addresses: [
          address(
            `10.${128 + Math.floor((n * size.endpoints + i) / 65000)}`,
            (n * size.endpoints + i) % 65000,
          ),
        ],
        nodeName: `node-${i % 50}`,
        conditions: { ready: true, serving: true, terminating: false },
      })),
    },
  };
}

function address(prefix: string, n: number): string {
  return `${prefix}.${(n + 256) >> 8}.${n & 255}`;
}

/** What the operator makes of so many Services. */
export function tables(size: Size): CubeTable[] {
  return Array.from({ length: size.services }, (_, n) => {
    const one = service(size, n);
    return tablesOfService(one.service, [one.slice], { namespace: SYSTEM_NAMESPACE }).tables;
  }).flat();
}

/** A load balancer with room for them, without a chain: it applies by itself. */
export function balancer(nodeName: string, size: Size): Cube {
  const room = (count: number): number => 2 ** Math.ceil(Math.log2(count * 1.1));
  const rows = size.services * size.ports;
  return {
    apiVersion: API_VERSION,
    kind: 'Cube',
    metadata: { namespace: SYSTEM_NAMESPACE, name: 'ilb' },
    spec: {
      nodeName,
      type: 'LoadBalancer',
      loadBalancer: {
        sessions: {
          maxFrontends: room(rows),
          maxBackends: room(rows * size.endpoints),
          maxPicks: 2 * room(rows * size.endpoints),
        },
      },
      tables: [{ type: 'Service' }],
    },
  } as unknown as Cube;
}

export function podLink(nodeName: string): CubeLink {
  return {
    apiVersion: API_VERSION,
    kind: 'CubeLink',
    metadata: { namespace: SYSTEM_NAMESPACE, name: 'pods' },
    spec: { nodeName, endpoints: [{ type: 'Pods' }, { type: 'Cube', cube: { name: 'ilb', port: 'pods' } }] },
  } as unknown as CubeLink;
}

/** A control plane with the API installed, and one registered node with an agent that is not started. */
export interface OneNode {
  readonly underlay: Underlay;
  readonly cluster: Cluster;
  readonly node: Node;
  readonly agent: Agent;
  readonly counters: Counters;
}

export async function openOneNode(lab: Lab): Promise<OneNode> {
  const underlay = await createUnderlay(lab);
  const cluster = await startCluster(underlay);
  await installApi(cluster);
  const node = await createNode(underlay, 'node-a', 0);
  await new FakeKubelet(cluster.api, node.name, node.addresses).register();
  const agent = new Agent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
  return { underlay, cluster, node, agent, counters: new Counters(agent.bpffs, node.name) };
}

/** Creates many objects through the API server, some at a time. */
export async function createAll(api: KubeApi, path: string, objects: readonly object[]): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let object = objects[next++]; object !== undefined; object = objects[next++])
      await api.create(path, object);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

/** Puts objects, complete as the API server keeps them, straight into etcd; one by one where somebody watches them. */
export async function storeObjects(
  { machine }: Cluster,
  objects: readonly object[],
  mode: 'at-once' | 'one-by-one',
): Promise<void> {
  const file = join(machine.namespace.directory, 'objects.json');
  await writeFile(file, objects.map((object) => JSON.stringify(object)).join('\n'));
  const tool = new URL('./tools/etcd-load.ts', import.meta.url).pathname;
  await machine.namespace.exec([process.execPath, tool, file, mode], {
    timeoutMs: 300_000,
  });
}

/**
 * Stores many CubeTables as the operator would have: the first by server-side apply, and the rest with the same bookkeeping
 * straight into etcd. Resolves when the API server serves them all.
 */
export async function storeTables(cluster: Cluster, all: readonly CubeTable[]): Promise<void> {
  const [first] = all;
  if (first === undefined) return;
  const path = `${SYSTEM_PATH}/cubetables`;
  const stored = await cluster.api.apply<CubeTable>(`${path}/${first.metadata.name}`, first);
  const { managedFields, creationTimestamp } = stored.metadata as unknown as Record<string, unknown>;
  const rest = all.slice(1).map((table) => ({
    ...table,
    metadata: { ...table.metadata, uid: randomUUID(), generation: 1, creationTimestamp, managedFields },
  }));
  await storeObjects(cluster, rest, 'at-once');
  const last = all.at(-1) as CubeTable;
  await cluster.api.get(`${path}/${last.metadata.name}`);
}
