// SPDX-License-Identifier: Apache-2.0
/**
 * The fields of Kubernetes' own objects that the translators read, as the API server sends them. Absent and null mean the
 * same in them, so both are allowed wherever Kubernetes omits a value.
 */

type Maybe<T> = T | null | undefined;

export interface InputMeta {
  name?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  labels?: Maybe<Record<string, string>>;
  annotations?: Maybe<Record<string, string>>;
  creationTimestamp?: string;
  deletionTimestamp?: string;
}

/** core/v1 Service. */
export interface ServiceInput {
  metadata: InputMeta;
  spec?: Maybe<{
    type?: Maybe<string>;
    clusterIP?: Maybe<string>;
    clusterIPs?: Maybe<string[]>;
    ipFamilies?: Maybe<string[]>;
    externalIPs?: Maybe<string[]>;
    ports?: Maybe<ServicePortInput[]>;
    sessionAffinity?: Maybe<string>;
    sessionAffinityConfig?: Maybe<{ clientIP?: Maybe<{ timeoutSeconds?: Maybe<number> }> }>;
    internalTrafficPolicy?: Maybe<string>;
    externalTrafficPolicy?: Maybe<string>;
    healthCheckNodePort?: Maybe<number>;
    loadBalancerSourceRanges?: Maybe<string[]>;
    loadBalancerClass?: Maybe<string>;
    /** Deprecated by Kubernetes, which still allows it. */
    loadBalancerIP?: Maybe<string>;
    publishNotReadyAddresses?: Maybe<boolean>;
  }>;
  status?: Maybe<{
    loadBalancer?: Maybe<{ ingress?: Maybe<{ ip?: Maybe<string>; ipMode?: Maybe<string> }[]> }>;
  }>;
  /** The addresses in its status were written by the operator. */
  ownsAddresses?: boolean;
}

export interface ServicePortInput {
  name?: Maybe<string>;
  protocol?: Maybe<string>;
  port?: Maybe<number>;
  nodePort?: Maybe<number>;
}

/** discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSliceInput {
  metadata: InputMeta;
  addressType?: Maybe<string>;
  endpoints?: Maybe<EndpointInput[]>;
  ports?: Maybe<{ name?: Maybe<string>; protocol?: Maybe<string>; port?: Maybe<number> }[]>;
}

export interface EndpointInput {
  addresses?: Maybe<string[]>;
  conditions?: Maybe<{
    ready?: Maybe<boolean>;
    serving?: Maybe<boolean>;
    terminating?: Maybe<boolean>;
  }>;
  nodeName?: Maybe<string>;
  zone?: Maybe<string>;
  hints?: Maybe<{ forZones?: Maybe<Maybe<HintInput>[]>; forNodes?: Maybe<Maybe<HintInput>[]> }>;
}

interface HintInput {
  name?: Maybe<string>;
}

/** core/v1 Node. */
export interface NodeInput {
  metadata: InputMeta;
  spec?: Maybe<{
    podCIDR?: Maybe<string>;
    podCIDRs?: Maybe<string[]>;
    taints?: Maybe<{ key?: string }[]>;
  }>;
  status?: Maybe<{
    addresses?: Maybe<{ type?: string; address?: string }[]>;
    conditions?: Maybe<NodeConditionInput[]>;
  }>;
}

export interface NodeConditionInput {
  type?: string;
  status?: Maybe<string>;
  reason?: Maybe<string>;
  message?: Maybe<string>;
  lastTransitionTime?: Maybe<string>;
}

/** core/v1 Namespace. */
export interface NamespaceInput {
  metadata: InputMeta;
}

/** core/v1 Pod. */
export interface PodInput {
  metadata: InputMeta;
  spec?: Maybe<{
    hostNetwork?: Maybe<boolean>;
    containers?: Maybe<ContainerInput[]>;
    initContainers?: Maybe<ContainerInput[]>;
  }>;
  status?: Maybe<{
    phase?: Maybe<string>;
    podIP?: Maybe<string>;
    podIPs?: Maybe<{ ip?: Maybe<string> }[]>;
  }>;
}

export interface ContainerInput {
  /** `Always` makes a sidecar of an init container. */
  restartPolicy?: Maybe<string>;
  ports?: Maybe<{ name?: Maybe<string>; protocol?: Maybe<string>; containerPort?: Maybe<number> }[]>;
}

/** networking.k8s.io/v1 NetworkPolicy. */
export interface NetworkPolicyInput {
  metadata: InputMeta;
  spec?: Maybe<{
    podSelector?: Maybe<LabelSelectorInput>;
    policyTypes?: Maybe<string[]>;
    ingress?: Maybe<Maybe<PolicyEntryInput>[]>;
    egress?: Maybe<Maybe<PolicyEntryInput>[]>;
  }>;
}

/** An entry of `ingress` has `from`, one of `egress` has `to`. */
export interface PolicyEntryInput {
  from?: Maybe<Maybe<PolicyPeerInput>[]>;
  to?: Maybe<Maybe<PolicyPeerInput>[]>;
  ports?: Maybe<Maybe<PolicyPortInput>[]>;
}

export interface PolicyPeerInput {
  podSelector?: Maybe<LabelSelectorInput>;
  namespaceSelector?: Maybe<LabelSelectorInput>;
  ipBlock?: Maybe<{ cidr?: Maybe<string>; except?: Maybe<string[]> }>;
}

export interface PolicyPortInput {
  protocol?: Maybe<string>;
  /** A number, or the name of a port of the receiving pods. */
  port?: Maybe<number | string>;
  endPort?: Maybe<number>;
}

/** policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy. */
export interface ClusterNetworkPolicyInput {
  metadata: InputMeta;
  spec?: Maybe<{
    tier?: Maybe<string>;
    priority?: Maybe<number>;
    subject?: Maybe<{ namespaces?: Maybe<LabelSelectorInput>; pods?: Maybe<NamespacedPodInput> }>;
    ingress?: Maybe<Maybe<ClusterRuleInput>[]>;
    egress?: Maybe<Maybe<ClusterRuleInput>[]>;
  }>;
}

export interface NamespacedPodInput {
  namespaceSelector?: Maybe<LabelSelectorInput>;
  podSelector?: Maybe<LabelSelectorInput>;
}

/** A rule of `ingress` has `from`, one of `egress` has `to`. */
export interface ClusterRuleInput {
  name?: Maybe<string>;
  action?: Maybe<string>;
  from?: Maybe<Maybe<ClusterPeerInput>[]>;
  to?: Maybe<Maybe<ClusterPeerInput>[]>;
  protocols?: Maybe<Maybe<ClusterProtocolInput>[]>;
}

/** One member is set. */
export interface ClusterPeerInput {
  namespaces?: Maybe<LabelSelectorInput>;
  pods?: Maybe<NamespacedPodInput>;
  networks?: Maybe<Maybe<string>[]>;
  nodes?: Maybe<LabelSelectorInput>;
  domainNames?: Maybe<string[]>;
}

/** One member is set. */
export interface ClusterProtocolInput {
  tcp?: Maybe<DestinationPortInput>;
  udp?: Maybe<DestinationPortInput>;
  sctp?: Maybe<DestinationPortInput>;
  destinationNamedPort?: Maybe<string>;
}

interface DestinationPortInput {
  destinationPort?: Maybe<{
    number?: Maybe<number>;
    range?: Maybe<{ start?: Maybe<number>; end?: Maybe<number> }>;
  }>;
}

/** metav1.LabelSelector. */
export interface LabelSelectorInput {
  matchLabels?: Maybe<Record<string, string>>;
  matchExpressions?: Maybe<{ key?: string; operator?: string; values?: Maybe<string[]> }[]>;
}
