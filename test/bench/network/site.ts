// SPDX-License-Identifier: Apache-2.0

import { withoutLength } from '../../harness/addresses.ts';
import type { Cluster } from '../../harness/kube/cluster.ts';
import { FakeKubelet, type PodCidrs } from '../../harness/kube/fake-kubelet.ts';
import { podNetwork } from '../../harness/kube/pods.ts';
import type { Namespace } from '../../harness/netns.ts';
import {
  createNode,
  createPod,
  type Machine,
  type Node,
  type Pod,
  type Underlay,
} from '../../harness/topology.ts';
/** Two nodes of one alternative, with a client, a server beside it and one on the other node. */
import type { Family } from '../connect.ts';
import type { Alternative, Way } from './names.ts';

/** What servers listen on, and what Services have as their ports. */
export const PORTS = { echo: 8080, sink: 8081, stream: 5201 } as const;
export type Ports = Readonly<Record<keyof typeof PORTS, number>>;

/** From a client to a server. */
export interface Route {
  readonly client: Namespace;
  /** What the client asks: the server itself, or several Services in front of it. */
  readonly addresses: readonly string[];
  readonly ports: Ports;
  readonly server: Namespace;
  readonly backend: string;
}

/** A node with the prefixes of its pods. */
export interface Place {
  readonly node: Node;
  readonly cidrs: PodCidrs;
}

export interface Site {
  readonly name: Alternative;
  /** Node port n of the site is `nodePorts + n`. */
  readonly nodePorts: number;
  readonly here: Place;
  readonly there: Place;
  readonly client: Pod;
  readonly near: Pod;
  readonly far: Pod;
  readonly routes: Partial<Record<Way, Route>>;
}

export interface Bed {
  readonly underlay: Underlay;
  readonly cluster: Cluster;
  /** A host that belongs to no node. */
  readonly outside: Machine;
  /** What all ask. Nodes and pods have both. */
  readonly family: Family;
}

/** Nodes are told apart by this label: which chain is for which. */
export const SITE_LABEL = 'bench.cubeplane.io/site';

/** Nodes with pods that nothing joins yet. */
export async function createSite(bed: Bed, name: Alternative, index: number): Promise<Site> {
  const place = async (which: string, number: number): Promise<Place> => {
    const node = await createNode(bed.underlay, `${name}-${which}`, number);
    const kubelet = new FakeKubelet(bed.cluster.api, node.name, node.addresses);
    const cidrs = await kubelet.register({ labels: { [SITE_LABEL]: name } });
    return { node, cidrs };
  };
  const here = await place('a', 2 * index);
  const there = await place('b', 2 * index + 1);
  const pod = ({ node, cidrs }: Place, podName: string, number: number): Promise<Pod> =>
    createPod(node, { name: podName, ...podNetwork(cidrs, number) });
  const client = await pod(here, 'client', 10);
  const near = await pod(here, 'near', 11);
  const far = await pod(there, 'far', 11);
  const routes = {
    'pod-same': direct(bed, client.namespace, near),
    'pod-other': direct(bed, client.namespace, far),
  };
  return { name, nodePorts: 30_000 + 100 * index, here, there, client, near, far, routes };
}

/** Asks a pod at its own address. */
export function direct({ family }: Bed, client: Namespace, server: Pod): Route {
  const backend = addressOf(server, family);
  return { client, addresses: [backend], ports: PORTS, server: server.namespace, backend };
}

export function addressOf({ name, addresses }: Pod, family: Family): string {
  const { [family]: address } = addresses;
  if (address === undefined) throw new Error(`pod ${name} has no address of ${family}`);
  return address;
}

/** A place's gateway, as its pods know it. */
export function gatewaysOf({ cidrs }: Place): { ipv4: string; ipv6: string } {
  const { gateways } = podNetwork(cidrs, 1);
  return { ipv4: withoutLength(gateways?.ipv4 ?? ''), ipv6: withoutLength(gateways?.ipv6 ?? '') };
}
