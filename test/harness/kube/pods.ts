// SPDX-License-Identifier: Apache-2.0
import { hostAddress, withoutLength } from '../addresses.ts';
import { createPod, type Node, type Pod, type PodOptions } from '../topology.ts';
import type { FakeKubelet, PodCidrs, PublishedPod } from './fake-kubelet.ts';

export interface RunPodOptions {
  readonly name: string;
  /** Host number in the node's pod prefixes; 1 is the gateway. */
  readonly number: number;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ports?: Readonly<Record<string, number>>;
  readonly ready?: boolean;
}

/** A pod that has both a network namespace on its node and an object in the API. */
export interface RunningPod {
  readonly pod: Pod;
  readonly published: PublishedPod;
}

/**
 * The addresses and gateways of the `number`-th pod of a node, as {@link createPod} takes them. They are host prefixes:
 * pods share no link, so a pod must not look for another one by ARP, but send everything to its gateway.
 */
export function podNetwork(cidrs: PodCidrs, number: number): Pick<PodOptions, 'addresses' | 'gateways'> {
  const host = (cidr: string, index: number) => withoutLength(hostAddress(cidr, index));
  return {
    addresses: { ipv4: `${host(cidrs.ipv4, number)}/32`, ipv6: `${host(cidrs.ipv6, number)}/128` },
    gateways: { ipv4: host(cidrs.ipv4, 1), ipv6: host(cidrs.ipv6, 1) },
  };
}

/** What kubelet and CNI do together: the namespace first, then the object, so that no one is sent to nothing. */
export async function runPod(
  node: Node,
  kubelet: FakeKubelet,
  cidrs: PodCidrs,
  options: RunPodOptions,
): Promise<RunningPod> {
  const { name, number, ...rest } = options;
  const pod = await createPod(node, { name, ...podNetwork(cidrs, number) });
  const published = await kubelet.publishPod({ name, addresses: pod.addresses, ...rest });
  return { pod, published };
}
