// SPDX-License-Identifier: Apache-2.0
import type { Bandwidth } from '../api/generated/types.ts';
import type { NamespaceInput, PodInput } from '../operators/inputs.ts';

/** What policies may look at in a pod: labels and named ports, as the API server had them when the pod was plugged. */
export interface AboutPod {
  readonly pod: PodInput;
  readonly namespace: NamespaceInput;
  /** From before the node started anew: what tables say of the pod's addresses is newer. */
  readonly isRecorded?: boolean;
}

/** A port of the node that leads to a pod. */
export interface HostPort {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  /** Empty: all addresses of the node. */
  readonly hostIP: string;
}

/** What a pod may send and get. */
export interface PodBandwidth {
  /** Towards it. */
  readonly ingress?: Bandwidth;
  readonly egress?: Bandwidth;
}

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
  /** Absent where the node has no policies, or no API server. */
  readonly about?: AboutPod;
  readonly hostPorts?: readonly HostPort[];
  readonly bandwidth?: PodBandwidth;
}
