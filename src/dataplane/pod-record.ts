// SPDX-License-Identifier: Apache-2.0

/** A plugged pod, as it is kept in the agent's state directory. */
export interface PodRecord {
  readonly namespace: string;
  readonly name: string;
  /** The host's end of the pod's veth pair, in the node's network namespace. */
  readonly interface: string;
  /** Of the pod's end; lower case. */
  readonly mac: string;
  /** Without prefix length, at most 4, in canonical form. */
  readonly addresses: readonly string[];
  /** Path of the pod's network namespace; absent: nothing is set up inside. */
  readonly netns?: string;
  /** Interface inside it; `eth0` by default. */
  readonly podInterface?: string;
  /** Addresses of its gateways, answered by the chain. */
  readonly gateways?: readonly string[];
}
