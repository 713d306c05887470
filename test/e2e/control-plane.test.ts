// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { hostAddress, withoutLength } from '../harness/addresses.ts';
import { cgroupProcesses } from '../harness/cgroup.ts';
import {
  agentKubeconfig,
  installApi,
  operatorKubeconfig,
  requestToken,
  SYSTEM_NAMESPACE,
} from '../harness/kube/access.ts';
import type { KubeObject } from '../harness/kube/api.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet, type PodCidrs } from '../harness/kube/fake-kubelet.ts';
import { isAlive, type Lab, labNamespaces, openLab } from '../harness/lab.ts';
import { createNodes, createUnderlay, type Node } from '../harness/topology.ts';

jest.setTimeout(120_000);

/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;

interface Endpoint {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean };
  readonly nodeName?: string;
}
type Slice = KubeObject & { readonly addressType: string; readonly endpoints?: readonly Endpoint[] };

let lab: Lab;
let nodes: Node[];
let cluster: Cluster;
const kubelets = new Map<string, FakeKubelet>();
const podCidrs = new Map<string, PodCidrs>();

beforeAll(async () => {
  lab = await openLab('control plane test');
  const underlay = await createUnderlay(lab);
  cluster = await startCluster(underlay);
  await installApi(cluster);
  nodes = await createNodes(underlay, ['node-a', 'node-b']);
  for (const node of nodes) {
    const kubelet = new FakeKubelet(cluster.api, node.name, node.addresses);
    kubelets.set(node.name, kubelet);
    podCidrs.set(node.name, await kubelet.register());
  }
}, FIRST_BUILD_MS);

// The end of the lab is what the last test is about; this is for when an earlier one threw in beforeAll.
afterAll(async () => {
  await lab?.close();
});

function kubelet(node: string): FakeKubelet {
  const found = kubelets.get(node);
  if (found === undefined) throw new Error(`no kubelet on ${node}`);
  return found;
}

/** The `number`-th address of a node's pods, both families. */
function podAddresses(node: string, number: number): { ipv4: string; ipv6: string } {
  const cidrs = podCidrs.get(node);
  if (cidrs === undefined) throw new Error(`${node} has no pod prefixes`);
  return {
    ipv4: withoutLength(hostAddress(cidrs.ipv4, number)),
    ipv6: withoutLength(hostAddress(cidrs.ipv6, number)),
  };
}

/** Conditions by address of all endpoints of a Service, both families. */
async function endpointsOf(service: string): Promise<Record<string, string>> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3D${service}`;
  const result: Record<string, string> = {};
  for (const slice of await cluster.api.list<Slice>(path)) {
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      const holding = Object.entries(conditions).filter(([, holds]) => holds);
      result[addresses[0] ?? ''] = holding.map(([name]) => name).join(' ');
    }
  }
  return result;
}

/** Asks until the answer is the expected one, then compares once more for the message. */
async function eventually<T>(ask: () => Promise<T>, expected: T, timeoutMs = 60_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(50)) {
    if (JSON.stringify(sorted(await ask())) === JSON.stringify(sorted(expected))) return;
  }
  expect(await ask()).toEqual(expected);
}

function sorted(value: unknown): unknown {
  return value !== null && typeof value === 'object' ? Object.entries(value).sort() : value;
}

describe('a real control plane', () => {
  test('tells its version to real kubectl', async () => {
    const { stdout } = await cluster.kubectl(['version', '--output=json']);
    const version = JSON.parse(stdout) as Record<string, { gitVersion: string; minor: string }>;
    expect(version.clientVersion).toMatchObject({ gitVersion: 'v1.35.4', minor: '35' });
    expect(version.serverVersion).toMatchObject({ gitVersion: 'v1.35.4', minor: '35' });
  });

  test('is reached from the nodes, with a certificate that fits', async () => {
    const path = await operatorKubeconfig(cluster);
    const command = [`${cluster.binaries}/kubectl`, `--kubeconfig=${path}`, 'get', 'nodes', '--output=name'];
    for (const node of nodes) {
      const { stdout } = await node.namespace.exec(command);
      expect(stdout.trim().split('\n')).toEqual(['node/node-a', 'node/node-b']);
    }
  });

  test('gives each node prefixes of both families, which do not overlap', () => {
    const all = [...podCidrs.values()];
    for (const { ipv4, ipv6 } of all) {
      expect(ipv4).toMatch(/^10\.244\.\d+\.0\/24$/);
      expect(ipv6).toMatch(/^fd00:244:[\da-f:]*\/64$/);
    }
    expect(new Set(all.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])).size).toBe(4);
  });

  test('serves the five kinds, in their category', async () => {
    const { stdout } = await cluster.kubectl(['api-resources', '--categories=cubeplane', '--output=name']);
    expect(stdout.trim().split('\n').sort()).toEqual([
      'cubelinks.cubeplane.io',
      'cubenodes.cubeplane.io',
      'cubes.cubeplane.io',
      'cubetables.cubeplane.io',
      'servicechains.cubeplane.io',
    ]);
  });

  test('follows pods from ready to unready, terminating and gone in EndpointSlices', async () => {
    await cluster.kubectl(['create', '--filename=-'], {
      input: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: {
          selector: { app: 'web' },
          ipFamilyPolicy: 'RequireDualStack',
          ports: [{ name: 'http', port: 80, targetPort: 'http' }],
        },
      }),
    });
    const a = podAddresses('node-a', 10);
    const b = podAddresses('node-b', 10);
    const labels = { app: 'web' };
    const ports = { http: 8080 };
    const podA = await kubelet('node-a').publishPod({ name: 'web-a', labels, ports, addresses: a });
    const podB = await kubelet('node-b').publishPod({
      name: 'web-b',
      labels,
      ports,
      addresses: b,
      ready: false,
    });
    const both = (addresses: { ipv4: string; ipv6: string }, conditions: string) => ({
      [addresses.ipv4]: conditions,
      [addresses.ipv6]: conditions,
    });
    const endpoints = () => endpointsOf('web');
    await eventually(endpoints, { ...both(a, 'ready serving'), ...both(b, '') });

    await kubelet('node-b').setReady(podB, true);
    await eventually(endpoints, { ...both(a, 'ready serving'), ...both(b, 'ready serving') });

    await kubelet('node-a').terminatePod(podA);
    await eventually(endpoints, { ...both(a, 'serving terminating'), ...both(b, 'ready serving') });

    await kubelet('node-a').removePod(podA);
    await eventually(endpoints, both(b, 'ready serving'));
  });
});

describe('the roles', () => {
  const cube = (node: string) => ({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: `router-${node}`, namespace: SYSTEM_NAMESPACE },
    spec: { nodeName: node, type: 'Router', router: {} },
  });
  const status = JSON.stringify({ status: { observedGeneration: 1 } });
  const patchStatus = (name: string) => [
    ...['patch', 'cube', name, `--namespace=${SYSTEM_NAMESPACE}`, '--subresource=status'],
    ...['--type=merge', `--patch=${status}`],
  ];

  beforeAll(async () => {
    const kubeconfig = await operatorKubeconfig(cluster);
    for (const node of nodes) {
      await cluster.kubectl(['apply', '--server-side', '--filename=-'], {
        kubeconfig,
        input: JSON.stringify(cube(node.name)),
      });
    }
  });

  test('the operator may not read Secrets or write Services', async () => {
    const kubeconfig = await operatorKubeconfig(cluster);
    for (const question of [
      ['get', 'secrets', '--all-namespaces'],
      ['patch', 'services', '--all-namespaces'],
      ['create', 'leases', '--namespace=default'],
      ['patch', 'servicechains.cubeplane.io', '--all-namespaces'],
    ]) {
      const { stdout } = await cluster.kubectl(['auth', 'can-i', ...question], {
        kubeconfig,
        anyStatus: true,
      });
      expect(`${question.join(' ')}: ${stdout.trim()}`).toBe(`${question.join(' ')}: no`);
    }
  });

  test('an agent writes the status of its own cubes, not their spec and not those of another node', async () => {
    const kubeconfig = await agentKubeconfig(cluster, 'node-a');
    await cluster.kubectl(patchStatus('router-node-a'), { kubeconfig });
    await expect(cluster.kubectl(patchStatus('router-node-b'), { kubeconfig })).rejects.toThrow(
      /the agent of node node-a may write the status of its own cubes and links only; this one is on node node-b/,
    );
    await expect(
      cluster.kubectl(['label', 'cube', 'router-node-a', `--namespace=${SYSTEM_NAMESPACE}`, 'a=b'], {
        kubeconfig,
      }),
    ).rejects.toThrow(/cannot patch resource "cubes" in API group "cubeplane.io"/);
  });

  test('an agent writes its own Lease only', async () => {
    const kubeconfig = await agentKubeconfig(cluster, 'node-a');
    const create = (name: string) =>
      cluster.kubectl(['create', '--filename=-'], {
        kubeconfig,
        input: JSON.stringify({
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name, namespace: SYSTEM_NAMESPACE },
          spec: { holderIdentity: 'node-a', leaseDurationSeconds: 40 },
        }),
      });
    await create('cubeplane-agent-node-a');
    await expect(create('cubeplane-agent-node-b')).rejects.toThrow(
      /may write the Lease cubeplane-agent-node-a only/,
    );
    await expect(create('cubeplane-operator')).rejects.toThrow(
      /may write the Lease cubeplane-agent-node-a only/,
    );
  });

  test('an agent whose token names no node writes nothing', async () => {
    const token = await requestToken(cluster, 'cubeplane-agent');
    const kubeconfig = await cluster.kubeconfigFor('agent-of-no-node', token);
    await expect(cluster.kubectl(patchStatus('router-node-a'), { kubeconfig })).rejects.toThrow(
      /token is bound to no node; use a token that its pod was given/,
    );
  });
});

describe('the end', () => {
  test('leaves no process and no namespace', async () => {
    const processes = await cgroupProcesses(lab.cgroup);
    expect(processes.length).toBeGreaterThanOrEqual(4);
    expect(labNamespaces(lab.id)).toHaveLength(4);
    await lab.close();
    for (const pid of processes) expect(await isAlive(pid)).toBe(false);
    expect(labNamespaces(lab.id)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
  });
});
