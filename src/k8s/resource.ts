// SPDX-License-Identifier: Apache-2.0

/** What the API server must know to address one kind of object. */
export interface ResourceType {
  /** API group; '' is the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower-case plural, as in the URL. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

interface ObjectMeta {
  name?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: unknown[];
}

/** Any object as the API server sends it; kinds of ours have types of their own in src/api. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec?: unknown;
  status?: unknown;
  [field: string]: unknown;
}

/** `v1` or `group/version`, as it stands in an object's `apiVersion`. */
export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** URL path of a collection (no name), an object, or its subresource. */
export function pathOf(
  type: ResourceType,
  at: { namespace?: string | undefined; name?: string; subresource?: string } = {},
): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const namespace =
    type.namespaced && at.namespace !== undefined ? `/namespaces/${encodeURIComponent(at.namespace)}` : '';
  const name = at.name === undefined ? '' : `/${encodeURIComponent(at.name)}`;
  const subresource = at.subresource === undefined ? '' : `/${at.subresource}`;
  return `${root}${namespace}/${type.plural}${name}${subresource}`;
}

/** Cache and queue key: `namespace/name`, or `name` for what has no namespace. */
export function keyOf(meta: { namespace?: string | undefined; name?: string | undefined }): string {
  return meta.namespace === undefined ? (meta.name ?? '') : `${meta.namespace}/${meta.name ?? ''}`;
}

/** What an error message calls an object: `Service default/web`. */
export function describe(
  type: ResourceType,
  meta: { namespace?: string | undefined; name?: string | undefined },
): string {
  const key = keyOf(meta);
  return key === '' ? type.plural : `${type.kind} ${key}`;
}

const core = (plural: string, kind: string, namespaced = true): ResourceType => ({
  group: '',
  version: 'v1',
  plural,
  kind,
  namespaced,
});
const cubeplane = (plural: string, kind: string, namespaced = true): ResourceType => ({
  group: 'cubeplane.io',
  version: 'v1alpha1',
  plural,
  kind,
  namespaced,
});

export const NODES = core('nodes', 'Node', false);
export const NAMESPACES = core('namespaces', 'Namespace', false);
export const PODS = core('pods', 'Pod');
export const SERVICES = core('services', 'Service');
export const ENDPOINT_SLICES: ResourceType = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};
export const NETWORK_POLICIES: ResourceType = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
  kind: 'NetworkPolicy',
  namespaced: true,
};
export const CLUSTER_NETWORK_POLICIES: ResourceType = {
  group: 'policy.networking.k8s.io',
  version: 'v1alpha2',
  plural: 'clusternetworkpolicies',
  kind: 'ClusterNetworkPolicy',
  namespaced: false,
};
export const LEASES: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};
export const EVENTS: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};
export const CUBES = cubeplane('cubes', 'Cube');
export const CUBE_LINKS = cubeplane('cubelinks', 'CubeLink');
export const CUBE_TABLES = cubeplane('cubetables', 'CubeTable');
export const SERVICE_CHAINS = cubeplane('servicechains', 'ServiceChain');
export const CUBE_NODES = cubeplane('cubenodes', 'CubeNode', false);
