// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { withoutLength } from './addresses.ts';
import type { Lab } from './lab.ts';
import {
  connect,
  createNamespace,
  deleteNamespace,
  type Namespace,
  namespaceOf,
  setPairChecksumOffload,
  type VethEnd,
} from './netns.ts';
import { until } from './until.ts';

/** Both families of one interface; either may be absent. */
export interface DualStack {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** The prefixes of the underlay, from RFC 2544's benchmarking block and a unique local one. */
export const UNDERLAY = { ipv4: '198.18.0.', ipv4Length: 24, ipv6: 'fd00:18::', ipv6Length: 64 } as const;
const UNDERLAY_NAME = 'underlay';
/** Host numbers of the underlay; nodes count from here. */
const FIRST_NODE = 11;
export const CONTROL_PLANE_HOST = 10;
/** IANA's VXLAN port (RFC 7348). */
export const VXLAN_PORT = 4789;
/** The MAC of every overlay device: the inner destination that all nodes agree on without resolving it. */
export const OVERLAY_MAC = '02:c0:be:00:00:01';

/** A switch that machines are plugged into: a bridge in a namespace of its own. */
export interface Underlay {
  readonly lab: Lab;
  readonly namespace: Namespace;
  /** Bytes of IP packet. */
  readonly mtu: number;
}

/** A machine on the underlay. Its device there is `eth0`. */
export interface Machine {
  readonly name: string;
  readonly namespace: Namespace;
  readonly underlay: Underlay;
  /** Addresses without prefix length. */
  readonly addresses: { readonly ipv4: string; readonly ipv6: string };
  readonly mac: string;
}

export interface Node extends Machine {
  /** Pods by name. */
  readonly pods: Map<string, Pod>;
}

/** A pod: a namespace whose `eth0` is joined to `hostDevice` in the node's namespace. */
export interface Pod {
  readonly name: string;
  readonly node: Node;
  readonly namespace: Namespace;
  readonly hostDevice: string;
  /** Of the pod's eth0. */
  readonly mac: string;
  /** Of the node's end. */
  readonly hostMac: string;
  /** Addresses without prefix length. */
  readonly addresses: DualStack;
}

export interface PodOptions {
  readonly name: string;
  /** Address with prefix length: `10.244.1.2/24`. */
  readonly addresses: DualStack;
  /** Default gateways, without prefix length. */
  readonly gateways?: DualStack;
  /** The node's end; `veth1`, `veth2`, … by default. */
  readonly hostDevice?: string;
  readonly mac?: string;
  /** Bytes of IP packet; the underlay's less 50 (what VXLAN over IPv4 takes) by default. */
  readonly mtu?: number;
}

export async function createUnderlay(lab: Lab, mtu = 1500): Promise<Underlay> {
  const namespace = await createNamespace(lab, UNDERLAY_NAME);
  await namespace.ip('link add br0 type bridge', 'link set br0 up');
  return { lab, namespace, mtu };
}

/** The underlay of a lab that runs, for another process than its maker's. */
export function underlayOf(lab: Lab, mtu = 1500): Underlay {
  return { lab, namespace: namespaceOf(lab, UNDERLAY_NAME), mtu };
}

/** Plugs a new machine into the underlay, with host number `host` (1–250) in both prefixes. */
export async function createMachine(underlay: Underlay, name: string, host: number): Promise<Machine> {
  const namespace = await createNamespace(underlay.lab, name);
  const mac = `02:c0:be:01:00:${host.toString(16).padStart(2, '0')}`;
  const port: VethEnd = { namespace: underlay.namespace, device: `port${host}` };
  await connect({ namespace, device: 'eth0', mac }, port, underlay.mtu);
  await underlay.namespace.ip(`link set ${port.device} master br0`);
  const addresses = { ipv4: `${UNDERLAY.ipv4}${host}`, ipv6: `${UNDERLAY.ipv6}${host}` };
  // nodad: an address that is still being checked for duplicates (1 s) cannot be bound to.
  await namespace.ip(
    `address add ${addresses.ipv4}/${UNDERLAY.ipv4Length} dev eth0`,
    `address add ${addresses.ipv6}/${UNDERLAY.ipv6Length} dev eth0 nodad`,
  );
  return { name, namespace, underlay, addresses, mac };
}

/** Checksum offload of a machine's way to the switch, both ends. */
export async function setUnderlayOffload(machine: Machine, on: boolean): Promise<void> {
  const host = Number(machine.addresses.ipv4.split('.')[3]);
  const port = { namespace: machine.underlay.namespace, device: `port${host}` };
  await setPairChecksumOffload([{ namespace: machine.namespace, device: 'eth0' }, port], on);
}

/** Takes a machine away from the underlay, before the lab ends. Its programs must have ended: they would keep it there. */
export async function unplug({ name, namespace, underlay, addresses }: Omit<Machine, 'mac'>): Promise<void> {
  await deleteNamespace(namespace);
  const port = `port${addresses.ipv4.split('.')[3]}`;
  const isGone = async () =>
    !(await underlay.namespace.ipJson('link show')).some(({ ifname }) => ifname === port);
  // The kernel takes a namespace apart in its own time.
  await until(`${name} is unplugged (nothing keeps it alive)`, isGone, 30_000);
}

export interface NodeOptions {
  /** Makes a collect-metadata VXLAN device of this name; the agent makes its own otherwise. */
  readonly overlayDevice?: string;
}

/** Plugs a new node into the underlay; the `index`-th, from 0. It forwards packets between its devices. */
export async function createNode(
  underlay: Underlay,
  name: string,
  index: number,
  options: NodeOptions = {},
): Promise<Node> {
  const machine = await createMachine(underlay, name, FIRST_NODE + index);
  await machine.namespace.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  const node: Node = { ...machine, pods: new Map() };
  if (options.overlayDevice !== undefined) await addOverlay(node, options.overlayDevice);
  return node;
}

/**
 * A VXLAN device whose tunnel (remote address, key) every packet brings along from BPF: one device for all peers.
 * Checksums of the outer IPv6 UDP header are sent and asked for, as the kernel does unless told otherwise (RFC 6935).
 */
export async function addOverlay(node: Node, device: string): Promise<void> {
  await node.namespace.ip(
    `link add ${device} address ${OVERLAY_MAC} type vxlan external dstport ${VXLAN_PORT} nolearning`,
    `link set ${device} up`,
  );
}

/** Several nodes on one underlay, named as given. */
export async function createNodes(
  underlay: Underlay,
  names: readonly string[],
  options: NodeOptions = {},
): Promise<Node[]> {
  const nodes: Node[] = [];
  for (const [index, name] of names.entries()) nodes.push(await createNode(underlay, name, index, options));
  return nodes;
}

/** Makes a pod on a node and joins it; nothing on the node's side is routed or attached: that is the agent's work. */
export async function createPod(node: Node, options: PodOptions): Promise<Pod> {
  const { lab } = node.underlay;
  const hostDevice = options.hostDevice ?? `veth${node.pods.size + 1}`;
  const namespace = await createNamespace(lab, `${node.name}-${options.name}`, {
    cgroup: join(node.namespace.cgroup, 'pods', options.name),
  });
  const ends: [VethEnd, VethEnd] = [
    { namespace, device: 'eth0', ...(options.mac === undefined ? {} : { mac: options.mac }) },
    { namespace: node.namespace, device: hostDevice },
  ];
  await connect(...ends, options.mtu ?? node.underlay.mtu - 50);
  const { addresses, gateways = {} } = options;
  const lines: string[] = [];
  if (addresses.ipv4 !== undefined) lines.push(`address add ${addresses.ipv4} dev eth0`);
  if (addresses.ipv6 !== undefined) lines.push(`address add ${addresses.ipv6} dev eth0 nodad`);
  // onlink: a pod with a host prefix (/32, /128) has no route to its gateway.
  if (gateways.ipv4 !== undefined) lines.push(`route add default via ${gateways.ipv4} dev eth0 onlink`);
  if (gateways.ipv6 !== undefined) lines.push(`route add default via ${gateways.ipv6} dev eth0 onlink`);
  await namespace.ip(...lines);
  const pod: Pod = {
    name: options.name,
    node,
    namespace,
    hostDevice,
    mac: await namespace.macOf('eth0'),
    hostMac: await node.namespace.macOf(hostDevice),
    addresses: withoutLengths(addresses),
  };
  node.pods.set(pod.name, pod);
  return pod;
}

/** Checksum offload between a pod and its node, both ends. */
export async function setPodOffload(pod: Pod, on: boolean): Promise<void> {
  const host = { namespace: pod.node.namespace, device: pod.hostDevice };
  await setPairChecksumOffload([{ namespace: pod.namespace, device: 'eth0' }, host], on);
}

/** Cuts a pod's wire, as the end of its sandbox does: both ends of the pair go. */
export async function deletePodInterface(pod: Pod): Promise<void> {
  await pod.node.namespace.ip(`link delete ${pod.hostDevice}`);
}

function withoutLengths(addresses: DualStack): DualStack {
  const result: { ipv4?: string; ipv6?: string } = {};
  if (addresses.ipv4 !== undefined) result.ipv4 = withoutLength(addresses.ipv4);
  if (addresses.ipv6 !== undefined) result.ipv6 = withoutLength(addresses.ipv6);
  return result;
}
