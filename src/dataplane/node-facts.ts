// SPDX-License-Identifier: Apache-2.0
/** What a CNI call has to know of the node. */

import { servesNodePorts } from './host-ports.ts';
import type { ProxyHealth } from './inspect/proxy-health.ts';
import type { NodeObject } from './objects.ts';
import { servesLimits } from './pod-limits.ts';
import type { Reconciler } from './reconciler.ts';
import type { Failure } from './status.ts';
import type { Store } from './store.ts';

export interface NodeFacts {
  /** The source has shown all objects. */
  readonly isSynced: boolean;
  /** Of the Node object; empty while it is not known. */
  readonly podCIDRs: readonly string[];
  /** Of cubes' ports in force, with prefix length. */
  readonly portAddresses: readonly string[];
  /** Bytes of IP packet: what devices take, and what reaches every pod. */
  readonly mtu: { readonly device: number; readonly route: number };
  /** Why no pod can get a network now; undefined: it can. */
  readonly notReady: string | undefined;
  /** A chain serves the pods that are there. */
  readonly servesPods: boolean;
  /** All objects are known, and the kernel holds what they say, by the programs of this release. */
  readonly isProgrammed: boolean;
  /** Clients outside reach Services by ports of the node, so that they can reach pods so. */
  readonly servesNodePorts: boolean;
  /** A cube limits the bandwidth of the node's pods. */
  readonly servesLimits: boolean;
}

export function nodeFacts(store: Store, reconciler: Reconciler, failure: Failure | undefined): NodeFacts {
  const { inForce, inKernel, network } = reconciler;
  const spec = store.node?.spec;
  const isLinked = [...inForce.effective.links.values()].some(({ spec: link }) =>
    link.endpoints.some(({ type }) => type === 'Pods'),
  );
  const servesPods = isLinked && inKernel.ready;
  return {
    isSynced: store.isSynced,
    podCIDRs: spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]),
    portAddresses: [...inForce.effective.cubes.values()].flatMap(({ spec: cube }) =>
      (cube.ports ?? []).flatMap((port) => port.addresses ?? []),
    ),
    mtu: inForce.podMtu(network),
    notReady: reasonNotReady(servesPods, isLinked, failure),
    servesPods,
    isProgrammed: store.isSynced && servesPods && failure === undefined && inForce.kept.size === 0,
    servesNodePorts: [...inForce.effective.cubes.values()].some(servesNodePorts),
    servesLimits: [...inForce.effective.cubes.values()].some(servesLimits),
  };
}

/** What kube-proxy's health endpoint tells of a node. */
export function proxyHealthOf(
  node: NodeObject | undefined,
  servesPods: boolean,
  failingSince: number | undefined,
): ProxyHealth {
  const taints = (node?.spec.taints ?? []).map(({ key }) => key);
  return { servesPods, failingSince, taints, isLeaving: node?.metadata.deletionTimestamp !== undefined };
}

function reasonNotReady(
  servesPods: boolean,
  isLinked: boolean,
  failure: Failure | undefined,
): string | undefined {
  if (failure !== undefined) return `the last round failed: ${failure.reason}: ${failure.message}`;
  if (servesPods) return undefined;
  return isLinked
    ? 'the chain of this node is not programmed yet'
    : 'no chain with the endpoint Pods is programmed on this node';
}
