// SPDX-License-Identifier: Apache-2.0
/** Ports of a node that lead to a pod of it, as rows that the node's load balancers serve like node ports. Pure. */
import type { Service } from '../api/generated/types.ts';
import type { CubeObject } from './objects.ts';
import type { HostPort, PodRecord } from './pod-record.ts';

/** Of all addresses of the node. */
const UNSPECIFIED = ['', '0.0.0.0', '::'];

/**
 * Services of this node alone, whose backend is the pod: one for all addresses of the node, one for those that are named, because
 * named addresses would say which families the others have. They have names of no Service: those have no dots.
 */
export function servicesOfPod(pod: PodRecord, node: string): Service[] {
  const ports = pod.hostPorts ?? [];
  return [
    serviceOf(pod, node, `pod.${pod.name}`, ports.filter(isEverywhere)),
    serviceOf(
      pod,
      node,
      `pod.${pod.name}.at`,
      ports.filter((port) => !isEverywhere(port)),
    ),
  ].filter(({ frontends }) => frontends.length > 0);
}

const isEverywhere = ({ hostIP }: HostPort): boolean => UNSPECIFIED.includes(hostIP);

function serviceOf(
  { namespace, addresses }: PodRecord,
  node: string,
  name: string,
  ports: readonly HostPort[],
): Service {
  return {
    namespace,
    name,
    frontends: ports.map((port, index) => ({
      name: `p${index}`,
      addresses: isEverywhere(port) ? [] : [port.hostIP],
      port: port.hostPort,
      protocol: port.protocol,
      scope: 'NodePort',
      affinity: { type: 'None', timeoutSeconds: 10_800 },
      sourceRanges: [],
      // The backend is here, so it sees the client.
      trafficPolicy: 'Local',
    })),
    backends: addresses.map((address) => ({
      address,
      weight: 1,
      state: 'Ready',
      node,
      ports: ports.map(({ containerPort, protocol }, index) => ({
        name: `p${index}`,
        protocol,
        port: containerPort,
      })),
    })),
  };
}

/** Another pod of the node that has one of the ports at one of the addresses; undefined: they are free. */
export function hostPortsTaken(
  wanted: readonly HostPort[],
  pods: Iterable<PodRecord>,
): { readonly port: HostPort; readonly by: PodRecord } | undefined {
  for (const by of pods) {
    for (const held of by.hostPorts ?? []) {
      const port = wanted.find(
        (one) =>
          one.hostPort === held.hostPort &&
          one.protocol === held.protocol &&
          (one.hostIP === held.hostIP || isEverywhere(one) || isEverywhere(held)),
      );
      if (port !== undefined) return { port, by };
    }
  }
  return undefined;
}

/** Whether a cube takes clients of the node's own addresses to Services. */
export function servesNodePorts({ spec }: Pick<CubeObject, 'spec'>): boolean {
  const { scopes } = (spec.loadBalancer ?? {}) as { scopes?: readonly string[] };
  const readsServices = (spec.tables ?? []).some(({ type }) => type === 'Service');
  return spec.type === 'LoadBalancer' && readsServices && scopes?.includes('NodePort') === true;
}
