// SPDX-License-Identifier: Apache-2.0
import type { ServiceChain } from '../api/generated/types.ts';
import { Cache } from '../k8s/cache.ts';
import type { KubeClient } from '../k8s/client.ts';
import type { Log } from '../k8s/log.ts';
import { Reflector, type ReflectorHealth, type ReflectorOptions } from '../k8s/reflector.ts';
import {
  CLUSTER_NETWORK_POLICIES,
  CUBE_LINKS,
  CUBE_NODES,
  CUBE_TABLES,
  CUBES,
  ENDPOINT_SLICES,
  type KubeObject,
  LEASES,
  NAMESPACES,
  NETWORK_POLICIES,
  NODES,
  PODS,
  type ResourceType,
  SERVICE_CHAINS,
  SERVICES,
} from '../k8s/resource.ts';
import type { EndpointSliceInput, NamespaceInput, NodeInput, PodInput, ServiceInput } from './inputs.ts';
import { KUBERNETES_LABELS, MANAGER } from './labels.ts';
import {
  type CubeNodeView,
  chainView,
  clusterPolicyView,
  cubeNodeView,
  type LeaseView,
  leaseView,
  type MemberView,
  memberView,
  namespaceView,
  nodeView,
  type PolicyView,
  type PoolView,
  podView,
  policyView,
  poolView,
  serviceKeyOf,
  serviceView,
  sliceView,
  type TableView,
  tableView,
} from './views.ts';

export interface WorldOptions {
  client: KubeClient;
  /** Namespace of the tables and Leases. */
  namespace: string;
  log: Log;
  /** See ReflectorOptions; tests make it short. */
  idleTimeoutMs?: number;
}

/** Everything that the operator knows: one cache a kind, each kept by a reflector. */
export class World {
  readonly services = new Cache<ServiceInput>();
  readonly slices = new Cache<EndpointSliceInput>({ service: (slice) => [serviceKeyOf(slice)] });
  readonly nodes = new Cache<NodeInput>();
  readonly policies = new Cache<PolicyView>({ owner: (policy) => [policy.owner] });
  readonly clusterPolicies = new Cache<PolicyView>({ owner: (policy) => [policy.owner] });
  readonly namespaces = new Cache<NamespaceInput>();
  readonly pods = new Cache<PodInput>({ namespace: (pod) => [pod.metadata.namespace ?? ''] });
  readonly tables = new Cache<TableView>(TABLE_INDEXES);
  /** Tables of type AddressPool, which people write. */
  readonly pools = new Cache<PoolView>();
  readonly chains = new Cache<ServiceChain>();
  readonly cubes = new Cache<MemberView>(MEMBER_INDEXES);
  readonly links = new Cache<MemberView>(MEMBER_INDEXES);
  readonly cubeNodes = new Cache<CubeNodeView>();
  readonly leases = new Cache<LeaseView>();
  readonly #reflectors: Reflector<never>[] = [];
  readonly #options: WorldOptions;

  constructor(options: WorldOptions) {
    this.#options = options;
    const { namespace } = options;
    const own = { labelSelector: `${KUBERNETES_LABELS.managedBy}=${MANAGER}` };
    // A kubelet writes its Node's status every few minutes, and a controller annotates slices: neither is news here.
    this.#watch(NODES, this.nodes, nodeView, { same: sameJson });
    this.#watch(SERVICES, this.services, serviceView, { same: sameJson });
    this.#watch(ENDPOINT_SLICES, this.slices, sliceView, { same: sameJson });
    this.#watch(NETWORK_POLICIES, this.policies, (object) => policyView(object, namespace), {
      same: sameJson,
    });
    // Its CRD is not part of Kubernetes: where it is not installed there are none.
    this.#watch(
      CLUSTER_NETWORK_POLICIES,
      this.clusterPolicies,
      (object) => clusterPolicyView(object, namespace),
      { same: sameJson, optional: true },
    );
    this.#watch(NAMESPACES, this.namespaces, namespaceView, { same: sameJson });
    this.#watch(PODS, this.pods, podView, { fieldSelector: PODS_WITH_ADDRESSES, same: sameJson });
    this.#watch(CUBE_TABLES, this.tables, tableView, { namespace, ...own });
    this.#watch(CUBE_TABLES, this.pools, poolView, { namespace, fieldSelector: 'spec.type=AddressPool' });
    this.#watch(SERVICE_CHAINS, this.chains, chainView);
    this.#watch(CUBES, this.cubes, (object) => memberView('Cube', object));
    this.#watch(CUBE_LINKS, this.links, (object) => memberView('CubeLink', object));
    this.#watch(CUBE_NODES, this.cubeNodes, cubeNodeView);
    this.#watch(LEASES, this.leases, leaseView, { namespace });
  }

  /** Starts all reflectors; settles when every cache has read a whole list. */
  async start(): Promise<void> {
    for (const reflector of this.#reflectors) reflector.start();
    const caches = [
      this.services,
      this.slices,
      this.nodes,
      this.policies,
      this.clusterPolicies,
      this.namespaces,
      this.pods,
      this.tables,
      this.pools,
      this.chains,
      this.cubes,
      this.links,
      this.cubeNodes,
      this.leases,
    ];
    await Promise.all(caches.map((cache) => cache.synced));
  }

  /** Of namespaces and of the cluster. */
  allPolicies(): PolicyView[] {
    return [...this.policies.values(), ...this.clusterPolicies.values()];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  health(): ReflectorHealth[] {
    return this.#reflectors.map((reflector) => reflector.health());
  }

  /** Cubes and CubeLinks of a node. */
  membersOn(node: string): MemberView[] {
    return [...this.cubes.by('node', node), ...this.links.by('node', node)];
  }

  #watch<T>(
    type: ResourceType,
    cache: Cache<T>,
    transform: (object: KubeObject) => T | undefined,
    scope: Pick<
      ReflectorOptions<T>,
      'namespace' | 'labelSelector' | 'fieldSelector' | 'same' | 'optional'
    > = {},
  ): void {
    const { client, log, idleTimeoutMs } = this.#options;
    const idle = idleTimeoutMs === undefined ? {} : { idleTimeoutMs };
    const reflector = new Reflector<T>({ client, type, cache, transform, log, ...scope, ...idle });
    this.#reflectors.push(reflector as unknown as Reflector<never>);
  }
}

/** Pods whose addresses are theirs: one that leaves the selection is told as deleted. */
const PODS_WITH_ADDRESSES = 'spec.hostNetwork=false,status.phase!=Succeeded,status.phase!=Failed';

export const TABLE_INDEXES = {
  owner: (table: TableView) => [table.owner],
  address: (table: TableView) => table.addresses,
  /** Tables of policies. */
  policies: (table: TableView) => (table.relevant === undefined ? [] : ['']),
};

const MEMBER_INDEXES = {
  node: (member: MemberView) => [member.node],
  chain: (member: MemberView) => (member.chain === undefined ? [] : [member.chain]),
};

const sameJson = (before: unknown, after: unknown): boolean =>
  JSON.stringify(before) === JSON.stringify(after);
