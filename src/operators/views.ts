// SPDX-License-Identifier: Apache-2.0
/** What the operator keeps of each object that it watches: the fields it reads, and digests of what it writes. */
import type {
  AddressPoolCubeTableSpec,
  ChainCommit,
  Condition,
  CubeLinkSpec,
  CubeNodeSpec,
  CubeTable,
  CubeTableSpec,
  ServiceChain,
} from '../api/generated/types.ts';
import { FIELD_MANAGERS, LABELS } from '../api/group.ts';
import { specHash } from '../api/hash.ts';
import { labelValue } from '../api/names.ts';
import { digestOf } from '../k8s/apply.ts';
import {
  CLUSTER_NETWORK_POLICIES,
  type KubeObject,
  keyOf,
  NETWORK_POLICIES,
  type ResourceType,
} from '../k8s/resource.ts';
import { type AddressPool, rangesOf } from './address-ranges.ts';
import { tablesOfClusterNetworkPolicy } from './cluster-network-policy.ts';
import { type Diagnostic, Diagnostics } from './diagnostic.ts';
import { addressesOf, trimmedNamespace } from './identity.ts';
import type {
  ClusterNetworkPolicyInput,
  ContainerInput,
  EndpointSliceInput,
  InputMeta,
  NamespaceInput,
  NetworkPolicyInput,
  NodeConditionInput,
  NodeInput,
  PodInput,
  ServiceInput,
} from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER, TABLE_LABELS } from './labels.ts';
import { tablesOfNetworkPolicy } from './network-policy.ts';
import { NETWORK_TAINT } from './node-taint.ts';
import { type Relevant, relevantOf } from './relevant.ts';

/** A CubeTable of the operator's. */
export interface TableView {
  name: string;
  uid: string;
  digest: string;
  /**
   * `Service namespace/name`, `Node name`, `Policy namespace/name`, `Identity namespace/hash`, `Announcement namespace/name`: the
   * work that made it.
   */
  owner: string;
  /** Of a table of identities: the addresses in it. */
  addresses: readonly string[];
  /** Of a table of policies: what its rows look at. */
  relevant: Relevant | undefined;
  /** Of a table of announcements: the node that answers. */
  announcedBy: string | undefined;
}

/** A CubeTable of type AddressPool, as its ranges are read. */
export interface PoolView extends AddressPool {
  readonly metadata: InputMeta;
  readonly diagnostics: readonly Diagnostic[];
}

/** A NetworkPolicy or ClusterNetworkPolicy: what becomes of it. */
export interface PolicyView {
  type: ResourceType;
  metadata: InputMeta;
  owner: string;
  tables: CubeTable[];
  diagnostics: Diagnostic[];
  relevant: Relevant;
}

/** A Cube or CubeLink. */
export interface MemberView {
  kind: 'Cube' | 'CubeLink';
  key: string;
  namespace: string;
  name: string;
  uid: string;
  node: string;
  /** `namespace/name` of the chain that the operator stamped it from; undefined for one that an administrator made. */
  chain: string | undefined;
  digest: string;
  /** Hash of the spec, as in the commit record. */
  hash: string;
  generation: number;
  conditions: Condition[];
  /** A link of the pods to a chain of its own, not one that is spliced in. */
  servesPods: boolean;
}

/** A CubeNode. */
export interface CubeNodeView {
  name: string;
  uid: string;
  digest: string;
  chains: ChainCommit[];
  generation: number;
  conditions: Condition[];
}

/** An agent's Lease. */
export interface LeaseView {
  node: string;
  /** Changes with each renewal. */
  renewal: string;
}

/** Prefix of the name of an agent's Lease; the node's name follows. */
export const AGENT_LEASE_PREFIX = 'cubeplane-agent-';

export function serviceView(object: KubeObject): ServiceInput {
  const { metadata, spec, status } = object as unknown as ServiceInput;
  const managers = (object.metadata.managedFields ?? []) as { manager?: string; subresource?: string }[];
  const owns = managers.some(
    ({ manager, subresource }) => manager === FIELD_MANAGERS.operator && subresource === 'status',
  );
  return {
    metadata: trim(metadata),
    spec: spec ?? null,
    status: status ?? null,
    ...(owns ? { ownsAddresses: true } : {}),
  };
}

export function sliceView(object: KubeObject): EndpointSliceInput | undefined {
  const slice = object as unknown as EndpointSliceInput;
  if (slice.metadata.labels?.[KUBERNETES_LABELS.serviceName] === undefined) return undefined;
  const endpoints = (slice.endpoints ?? []).map(({ addresses, conditions, nodeName, zone, hints }) => ({
    addresses: addresses?.slice(0, 1) ?? null,
    conditions: conditions ?? null,
    nodeName: nodeName ?? null,
    zone: zone ?? null,
    ...(hints ? { hints } : {}),
  }));
  return {
    metadata: trim(slice.metadata),
    addressType: slice.addressType ?? null,
    endpoints,
    ports: slice.ports ?? null,
  };
}

/** Index of slices: `namespace/name` of the Service. */
export function serviceKeyOf(slice: EndpointSliceInput): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.[KUBERNETES_LABELS.serviceName] ?? ''}`;
}

/** The kubelet writes a Node's status every few seconds; only what is translated is kept. */
export function nodeView(object: KubeObject): NodeInput {
  const { metadata, spec, status } = object as unknown as NodeInput;
  return {
    metadata: trim(metadata),
    spec: {
      podCIDR: spec?.podCIDR ?? null,
      podCIDRs: spec?.podCIDRs ?? null,
      taints: (spec?.taints ?? []).filter(({ key }) => key === NETWORK_TAINT),
    },
    status: {
      addresses: status?.addresses ?? null,
      conditions: (status?.conditions ?? [])
        .filter(({ type }) => type === 'NetworkUnavailable' || type === 'Ready')
        .map(conditionOfNode),
    },
  };
}

/** Of Ready, which a kubelet writes, only what it is. */
function conditionOfNode({
  type = '',
  status,
  reason,
  message,
  lastTransitionTime,
}: NodeConditionInput): NodeConditionInput {
  if (type === 'Ready') return { type, status: status ?? null };
  return {
    type,
    status: status ?? null,
    reason: reason ?? null,
    message: message ?? null,
    lastTransitionTime: lastTransitionTime ?? null,
  };
}

export function tableView(object: KubeObject): TableView | undefined {
  const labels = object.metadata.labels ?? {};
  const { name = '', uid = '' } = object.metadata;
  const owner = ownerOf(name, labels);
  if (owner === undefined) return undefined;
  const spec = object.spec as CubeTableSpec | undefined;
  const identities = spec?.type === 'Identity' ? spec.identities : [];
  return {
    name,
    uid,
    digest: digestOf(object),
    owner,
    addresses: [...new Set(identities.flatMap((identity) => identity.addresses ?? []))],
    relevant: spec?.type === 'Policy' ? relevantOf(spec.policies) : undefined,
    announcedBy: spec?.type === 'Announcement' ? spec.announcements[0]?.node : undefined,
  };
}

export function poolView(object: KubeObject): PoolView {
  const { name = '', namespace = '' } = object.metadata;
  const { ranges, assign } = (object.spec as AddressPoolCubeTableSpec).addressPool;
  const diagnostics = new Diagnostics(`CubeTable ${namespace}/${name}`);
  return {
    name,
    ranges: rangesOf(ranges, diagnostics),
    isAutomatic: assign === 'Auto',
    metadata: trim(object.metadata),
    diagnostics: diagnostics.list,
  };
}

function ownerOf(name: string, labels: Readonly<Record<string, string>>): string | undefined {
  const of = (label: string): string => labels[label] ?? '';
  if (TABLE_LABELS.serviceName in labels) {
    return serviceOwner(`${of(TABLE_LABELS.serviceNamespace)}/${of(TABLE_LABELS.serviceName)}`);
  }
  // A label may hold a hash of a long name; the table's own name holds all of it.
  if (TABLE_LABELS.node in labels) return nodeOwner(name.replace(/^node\./, '').replace(/\.0$/, ''));
  if (TABLE_LABELS.policyName in labels) {
    return policyOwner(of(TABLE_LABELS.policyNamespace), of(TABLE_LABELS.policyName));
  }
  if (TABLE_LABELS.identity in labels) {
    return identityOwner(`${of(TABLE_LABELS.podNamespace)}/${of(TABLE_LABELS.identity)}`);
  }
  if (TABLE_LABELS.announcedName in labels) {
    return announcementOwner(`${of(TABLE_LABELS.announcedNamespace)}/${of(TABLE_LABELS.announcedName)}`);
  }
  return undefined;
}

export const serviceOwner = (key: string): string => `Service ${key}`;
export const announcementOwner = (key: string): string => `Announcement ${key}`;
export const nodeOwner = (name: string): string => `Node ${name}`;
export const identityOwner = (key: string): string => `Identity ${key}`;
/** Long names stand in it as in the label of the tables; policies of the cluster have an empty namespace. */
export const policyOwner = (namespace: string, name: string): string =>
  `Policy ${namespace}/${labelValue(name)}`;

/** @param namespace where its tables live. */
export function policyView(object: KubeObject, namespace: string): PolicyView {
  const policy = object as unknown as NetworkPolicyInput;
  return viewOf(NETWORK_POLICIES, policy.metadata, tablesOfNetworkPolicy(policy, { namespace }));
}

/** @param namespace where its tables live. */
export function clusterPolicyView(object: KubeObject, namespace: string): PolicyView {
  const policy = object as unknown as ClusterNetworkPolicyInput;
  const made = tablesOfClusterNetworkPolicy(policy, { namespace });
  return viewOf(CLUSTER_NETWORK_POLICIES, policy.metadata, made);
}

function viewOf(
  type: ResourceType,
  metadata: PolicyView['metadata'],
  { tables, diagnostics }: Pick<PolicyView, 'tables' | 'diagnostics'>,
): PolicyView {
  const rows = tables.flatMap(({ spec }) => (spec.type === 'Policy' ? spec.policies : []));
  return {
    type,
    metadata: trim(metadata),
    owner: policyOwner(metadata.namespace ?? '', metadata.name ?? ''),
    tables,
    diagnostics,
    relevant: relevantOf(rows),
  };
}

export function namespaceView({ metadata }: KubeObject): NamespaceInput {
  return trimmedNamespace({ metadata });
}

/** A pod with addresses of its own; undefined for all others. What a kubelet reports of its containers is left out. */
export function podView(object: KubeObject): PodInput | undefined {
  const { metadata, spec, status } = object as unknown as PodInput;
  const { name, namespace, uid, labels, creationTimestamp, deletionTimestamp } = metadata;
  const phase = status?.phase;
  const isEnded = phase === 'Succeeded' || phase === 'Failed';
  if (isEnded || spec?.hostNetwork === true || addressesOf({ metadata, status }).length === 0)
    return undefined;
  const defined = { name, namespace, uid, creationTimestamp, deletionTimestamp };
  return {
    metadata: {
      ...Object.fromEntries(Object.entries(defined).filter(([, value]) => value !== undefined)),
      labels: labels ?? {},
    },
    spec: {
      containers: (spec?.containers ?? []).flatMap(withNamedPorts),
      initContainers: (spec?.initContainers ?? []).flatMap(withNamedPorts),
    },
    status: { podIP: status?.podIP ?? null, podIPs: status?.podIPs ?? null },
  };
}

function withNamedPorts({ restartPolicy, ports: all }: ContainerInput): ContainerInput[] {
  const ports = (all ?? []).filter((port) => typeof port.name === 'string');
  return ports.length === 0 ? [] : [{ restartPolicy: restartPolicy ?? null, ports }];
}

export function memberView(kind: MemberView['kind'], object: KubeObject): MemberView {
  const { namespace = '', name = '', uid = '', generation = 0 } = object.metadata;
  const labels = object.metadata.labels ?? {};
  const chain = labels[KUBERNETES_LABELS.managedBy] === MANAGER ? labels[LABELS.chain] : undefined;
  return {
    kind,
    key: keyOf(object.metadata),
    namespace,
    name,
    uid,
    node: (object.spec as { nodeName?: string } | undefined)?.nodeName ?? '',
    chain: chain === undefined ? undefined : `${namespace}/${chain}`,
    digest: digestOf(object),
    hash: specHash({ spec: object.spec }),
    generation,
    conditions: conditionsOf(object),
    servesPods: kind === 'CubeLink' && isLinkOfPods(object.spec as CubeLinkSpec | undefined),
  };
}

function isLinkOfPods(spec: CubeLinkSpec | undefined): boolean {
  return spec?.splice === undefined && (spec?.endpoints ?? []).some(({ type }) => type === 'Pods');
}

export function cubeNodeView(object: KubeObject): CubeNodeView {
  const { name = '', uid = '', generation = 0 } = object.metadata;
  const chains = (object.spec as CubeNodeSpec | undefined)?.chains ?? [];
  return { name, uid, digest: digestOf(object), chains, generation, conditions: conditionsOf(object) };
}

export function chainView(object: KubeObject): ServiceChain {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata } as unknown as ServiceChain;
}

export function leaseView(object: KubeObject): LeaseView | undefined {
  const name = object.metadata.name ?? '';
  if (!name.startsWith(AGENT_LEASE_PREFIX)) return undefined;
  const spec = object.spec as { renewTime?: string; holderIdentity?: string } | undefined;
  return {
    node: name.slice(AGENT_LEASE_PREFIX.length),
    renewal: `${object.metadata.uid} ${spec?.holderIdentity ?? ''} ${spec?.renewTime ?? ''}`,
  };
}

function conditionsOf(object: KubeObject): Condition[] {
  return (object.status as { conditions?: Condition[] } | undefined)?.conditions ?? [];
}

function trim<T extends object>(metadata: T): T {
  const {
    managedFields: _,
    ownerReferences: __,
    resourceVersion: ___,
    ...rest
  } = metadata as T & Record<string, unknown>;
  return rest as unknown as T;
}
