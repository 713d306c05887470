// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../harness/cubeplane.ts';
import type { Cluster } from '../harness/kube/cluster.ts';
import { connect, createNamespace, type Namespace } from '../harness/netns.ts';
import type { Running } from '../harness/process.ts';
import { createNode, createPod, type Node, type Pod, type Underlay } from '../harness/topology.ts';
import {
  Manifests,
  nodeObject,
  podNetwork,
  sampleChain,
  serviceObjects,
  vipsOf,
} from '../netns/support/manifests.ts';

/** Ends with status 0 when somebody accepts the connection. */
const CONNECT = 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)';

/** A way from a client to a server that answers one byte with one byte. */
export interface Path {
  readonly client: Namespace;
  /** What the client connects to: the server itself, or a Service in front of it. */
  readonly address: string;
  readonly server: Namespace;
  /** The server's own address. */
  readonly backend: string;
}

export const PORT = 8080;
/** Where {@link cubeplanePath}'s Service takes floods of datagrams. */
export const SINK_PORT = 8081;
const ROOT = new URL('../../', import.meta.url).pathname;

/** Compiles the ping-pong program, once a run. Returns its path. */
export function buildPingpong(): string {
  const binary = `${ROOT}build/pingpong`;
  mkdirSync(`${ROOT}build`, { recursive: true });
  execFileSync('gcc', ['-O2', '-Wall', '-o', binary, `${ROOT}test/bench/tools/pingpong.c`]);
  return binary;
}

/** Starts the TCP and the UDP server of a path. */
export async function serve(path: Path, pingpong: string): Promise<void> {
  for (const kind of ['tcp', 'udp']) {
    const server = await path.server.start(`pingpong-${kind}`, [
      'taskset',
      '-c',
      '1',
      pingpong,
      'server',
      kind,
      path.backend,
      String(PORT),
    ]);
    await server.waitForOutput(/ready/);
  }
}

/** The floor: one veth pair, client at one end and server at the other. */
export async function vethPath(underlay: Underlay): Promise<Path> {
  const { lab } = underlay;
  const client = await createNamespace(lab, 'veth-client');
  const server = await createNamespace(lab, 'veth-server');
  await connect({ namespace: client, device: 'eth0' }, { namespace: server, device: 'eth0' }, 1450);
  await client.ip('address add 10.9.0.1/24 dev eth0');
  await server.ip('address add 10.9.0.2/24 dev eth0');
  return { client, server, address: '10.9.0.2', backend: '10.9.0.2' };
}

async function twoPods(underlay: Underlay, name: string, index: number): Promise<[Node, Pod, Pod]> {
  const node = await createNode(underlay, name, index);
  const subnet = `10.244.${index}.`;
  const gateways = { ipv4: `${subnet}1` };
  const client = await createPod(node, { name: 'client', addresses: { ipv4: `${subnet}10/32` }, gateways });
  const server = await createPod(node, { name: 'server', addresses: { ipv4: `${subnet}11/32` }, gateways });
  return [node, client, server];
}

function pathOf(client: Pod, server: Pod, address = server.addresses.ipv4 ?? ''): Path {
  return {
    client: client.namespace,
    server: server.namespace,
    address,
    backend: server.addresses.ipv4 ?? '',
  };
}

/** Two pods of a node, joined by a program of one instruction that matters. */
export async function wirePath(
  underlay: Underlay,
  index: number,
  program: 'wire' | 'wire_peer',
): Promise<Path> {
  const [node, client, server] = await twoPods(underlay, program.replace('_', '-'), index);
  for (const [pod, peer] of [
    [client, server],
    [server, client],
  ] as const) {
    const gateway = `10.244.${index}.1`;
    await pod.namespace.ip(`neighbour add ${gateway} dev eth0 lladdr ${peer.mac} nud permanent`);
  }
  const running = await node.namespace.start('wire', [
    process.execPath,
    `${ROOT}test/bench/tools/wire.ts`,
    program,
    client.hostDevice,
    server.hostDevice,
  ]);
  await running.waitForOutput(/ready/);
  return pathOf(client, server);
}

/** Two pods of a node, routed by the kernel. */
export async function routedPath(
  underlay: Underlay,
  name: string,
  index: number,
): Promise<Path & { node: Node }> {
  const [node, client, server] = await twoPods(underlay, name, index);
  for (const pod of [client, server]) {
    await node.namespace.ip(
      `address add 10.244.${index}.1/32 dev ${pod.hostDevice}`,
      `route add ${pod.addresses.ipv4}/32 dev ${pod.hostDevice}`,
    );
  }
  return { ...pathOf(client, server), node };
}

/** The same behind real kube-proxy, through a Service's address. */
export async function kubeProxyPath(
  cluster: Cluster,
  underlay: Underlay,
  mode: 'iptables' | 'nftables',
  index: number,
  serveBackend: (path: Path) => Promise<void>,
): Promise<Path & { proxy: Running }> {
  const name = `proxy-${mode}`;
  const path = await routedPath(underlay, name, index);
  const { node } = path;
  await serveBackend(path);
  const address = `10.96.100.${index}`;
  await cluster.api.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  await cluster.api.mergePatch(`/api/v1/nodes/${name}/status`, {
    status: { addresses: [{ type: 'InternalIP', address: node.addresses.ipv4 }] },
  });
  await cluster.api.create('/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      clusterIP: address,
      ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: PORT })),
    },
  });
  await cluster.api.create('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [path.backend], conditions: { ready: true } }],
    ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: PORT })),
  });
  const proxy = await node.namespace.start('kube-proxy', [
    `${cluster.binaries}/kube-proxy`,
    `--kubeconfig=${cluster.kubeconfig}`,
    `--proxy-mode=${mode}`,
    '--conntrack-max-per-core=0',
    `--hostname-override=${name}`,
    '--cluster-cidr=10.244.0.0/16',
  ]);
  await proxy.waitUntil('answering for the Service', async () => await answers(path.client, address), 60_000);
  return { ...path, address, proxy };
}

async function answers(client: Namespace, address: string): Promise<boolean> {
  const { status } = await client.exec(['python3', '-c', CONNECT, address, String(PORT)], {
    anyStatus: true,
  });
  return status === 0;
}

/** How pods are reached from a chain. */
export type RedirectMode = 'peer' | 'plain';

/** Two pods of a node behind an agent that runs the chain of samples/service-chain.yaml, and a Service of one backend. */
export async function cubeplanePath(
  underlay: Underlay,
  mode: RedirectMode,
  index: number,
): Promise<Path & { agent: Agent }> {
  const node = await createNode(underlay, `cubeplane-${mode}`, index);
  const manifests = new Manifests(join(node.namespace.directory, 'manifests'));
  manifests.write('chain.yaml', sampleChain());
  manifests.write('node.yaml', nodeObject(node, index));
  const agent = new Agent(node, { manifests: manifests.directory }, ['--redirect', mode]);
  await agent.start();
  const pods: Pod[] = [];
  for (const [number, name] of [
    [10, 'client'],
    [11, 'server'],
  ] as const) {
    const pod = await createPod(node, { name, ...podNetwork(index, number) });
    await agent.plug(pod);
    pods.push(pod);
  }
  const [client, server] = pods as [Pod, Pod];
  const ports = [
    { name: 'tcp', protocol: 'TCP', port: PORT, targetPort: PORT },
    { name: 'udp', protocol: 'UDP', port: PORT, targetPort: PORT },
    { name: 'sink', protocol: 'UDP', port: SINK_PORT, targetPort: SINK_PORT },
  ] as const;
  manifests.write(
    'service.yaml',
    ...serviceObjects({ name: 'web', number: 100 + index, ports, backends: [server] }),
  );
  return { ...pathOf(client, server, vipsOf(100 + index).ipv4), agent };
}

/** The same pods without the Service: what the chain costs that balances nothing. */
export function podToPod(path: Path): Path {
  return { ...path, address: path.backend };
}

/** Waits until a path carries a TCP connection to its end. */
export async function untilAnswered(path: Path, timeoutMs = 20_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(50)) {
    if (await answers(path.client, path.address)) return;
  }
  throw new Error(`${path.address} does not answer after ${timeoutMs} ms`);
}
