// SPDX-License-Identifier: Apache-2.0
/** What a pod of node-a, in zone-1, meets at Services: one row a case. Backends are `near` on node-a and `far` on node-b. */

export type BackendName = 'near' | 'far';

/** Members of an endpoint of an EndpointSlice beside its address and node. */
export interface EndpointPatch {
  readonly conditions?: Readonly<Record<string, boolean>>;
  readonly hints?: Readonly<Record<string, readonly { readonly name: string }[]>>;
}

export interface ServiceCase {
  readonly name: string;
  readonly endpoints: readonly (readonly [BackendName, EndpointPatch?])[];
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Where clients go: to its cluster IPs, external IPs, or addresses of its load balancer. */
  readonly at?: 'ClusterIP' | 'External' | 'LoadBalancer';
  /** Who answers all requests, each at least once; or what happens instead. */
  readonly meets: readonly BackendName[] | 'Rejected' | { readonly dropped: string };
}

const ready = { conditions: { ready: true, serving: true, terminating: false } };
const notReady = { conditions: { ready: false, serving: false, terminating: false } };
const serving = { conditions: { ready: false, serving: true, terminating: true } };
const terminating = { conditions: { ready: false, serving: false, terminating: true } };
const zones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } });
const nodes = (...names: string[]) => ({ hints: { forNodes: names.map((name) => ({ name })) } });
const internal = { internalTrafficPolicy: 'Local' };
const external = { externalTrafficPolicy: 'Local' };
const noLocal = { dropped: 'NoLocalBackend' };

export const SERVICE_CASES: readonly ServiceCase[] = [
  {
    name: 'ready endpoints',
    endpoints: [
      ['near', ready],
      ['far', ready],
    ],
    meets: ['near', 'far'],
  },
  { name: 'no conditions at all', endpoints: [['near'], ['far']], meets: ['near', 'far'] },
  {
    name: 'one is not ready',
    endpoints: [
      ['near', ready],
      ['far', notReady],
    ],
    meets: ['near'],
  },
  {
    name: 'none is ready',
    endpoints: [
      ['near', notReady],
      ['far', notReady],
    ],
    meets: 'Rejected',
  },
  { name: 'no endpoints', endpoints: [], meets: 'Rejected' },
  {
    name: 'one terminates and still serves',
    endpoints: [
      ['near', ready],
      ['far', serving],
    ],
    meets: ['near'],
  },
  {
    name: 'all terminate, one still serves',
    endpoints: [
      ['near', terminating],
      ['far', serving],
    ],
    meets: ['far'],
  },
  {
    name: 'all terminate and none serves',
    endpoints: [
      ['near', terminating],
      ['far', terminating],
    ],
    meets: 'Rejected',
  },
  {
    name: 'publishNotReadyAddresses',
    endpoints: [
      ['near', notReady],
      ['far', terminating],
    ],
    spec: { publishNotReadyAddresses: true },
    meets: ['near', 'far'],
  },
  {
    name: 'an endpoint in two slices while it moves',
    endpoints: [
      ['near', ready],
      ['near', notReady],
    ],
    meets: ['near'],
  },
  { name: 'internalTrafficPolicy Local', endpoints: [['near'], ['far']], spec: internal, meets: ['near'] },
  { name: 'internalTrafficPolicy Local, none here', endpoints: [['far']], spec: internal, meets: noLocal },
  { name: 'internalTrafficPolicy Local, none anywhere', endpoints: [], spec: internal, meets: 'Rejected' },
  {
    name: 'internalTrafficPolicy Local, the one here terminates and still serves',
    endpoints: [
      ['near', serving],
      ['far', ready],
    ],
    spec: internal,
    meets: ['near'],
  },
  {
    name: 'internalTrafficPolicy Local, the one here is not ready',
    endpoints: [
      ['near', notReady],
      ['far', ready],
    ],
    spec: internal,
    meets: noLocal,
  },
  {
    name: 'externalTrafficPolicy Local does not hold inside',
    endpoints: [['far']],
    spec: external,
    meets: ['far'],
  },
  { name: 'an external IP', endpoints: [['near'], ['far']], at: 'External', meets: ['near', 'far'] },
  {
    name: 'an external IP, Local',
    endpoints: [['near'], ['far']],
    spec: external,
    at: 'External',
    meets: ['near'],
  },
  {
    name: 'an external IP, Local, none here',
    endpoints: [['far']],
    spec: external,
    at: 'External',
    meets: noLocal,
  },
  { name: 'an external IP without endpoints', endpoints: [], at: 'External', meets: 'Rejected' },
  {
    name: 'an address of the load balancer',
    endpoints: [['near'], ['far']],
    at: 'LoadBalancer',
    meets: ['near', 'far'],
  },
  {
    name: 'source ranges with the client',
    endpoints: [['far']],
    spec: { loadBalancerSourceRanges: ['10.244.0.0/16', 'fd00:244::/32'] },
    at: 'LoadBalancer',
    meets: ['far'],
  },
  {
    name: 'source ranges without the client',
    endpoints: [['far']],
    spec: { loadBalancerSourceRanges: ['192.0.2.0/24', '2001:db8::/32'] },
    at: 'LoadBalancer',
    meets: { dropped: 'SourceNotAllowed' },
  },
  {
    name: 'source ranges do not hold at the cluster IP',
    endpoints: [['far']],
    spec: { loadBalancerSourceRanges: ['192.0.2.0/24', '2001:db8::/32'] },
    meets: ['far'],
  },
  {
    name: 'hints: those of its zone',
    endpoints: [
      ['near', zones('zone-2')],
      ['far', zones('zone-1')],
    ],
    meets: ['far'],
  },
  {
    name: 'hints: one has none yet',
    endpoints: [['near', zones('zone-2')], ['far']],
    meets: ['near', 'far'],
  },
  {
    name: 'hints: nobody for its zone',
    endpoints: [
      ['near', zones('zone-2')],
      ['far', zones('zone-3')],
    ],
    meets: ['near', 'far'],
  },
  {
    name: 'hints: those of the node',
    endpoints: [
      ['near', nodes('node-b')],
      ['far', nodes('node-a')],
    ],
    meets: ['far'],
  },
  {
    name: 'hints: of those for its zone one is not ready',
    endpoints: [
      ['near', zones('zone-2')],
      ['far', { ...zones('zone-1'), ...notReady }],
    ],
    meets: ['near'],
  },
  {
    name: 'the cluster IP of a Service with a load balancer',
    endpoints: [['near'], ['far']],
    spec: { type: 'LoadBalancer' },
    meets: ['near', 'far'],
  },
  { name: 'affinity', endpoints: [['near']], spec: { sessionAffinity: 'ClientIP' }, meets: ['near'] },
];
