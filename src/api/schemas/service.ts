// SPDX-License-Identifier: Apache-2.0
/** One row of a Service table: a Kubernetes Service with the frontends and backends that a load balancer needs. */
import {
  atomicList,
  choice,
  cidr,
  dnsLabel,
  dnsSubdomain,
  integer,
  ip,
  object,
  setOf,
  text,
} from './build.ts';
import type { Schema } from './schema.ts';

export const SCOPES = ['ClusterIP', 'External', 'LoadBalancer', 'NodePort'] as const;
export const ALGORITHMS = ['Random', 'Maglev'] as const;
export const CLIENTS = ['Any', 'Pods'] as const;
export const NO_BACKENDS = ['Reject', 'Drop'] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

const portName = (description: string): Schema =>
  text(description, 63, { default: '', pattern: '^([a-z0-9A-Z]([-a-z0-9A-Z]*[a-z0-9A-Z])?)?$' });

const frontend = object(
  'One port of the service on some addresses.',
  {
    name: portName('Name of the port; backends name it to say which of their ports serves it.'),
    addresses: setOf(
      'Addresses on which the service answers. May be empty for NodePort only: then the addresses of each node.',
      ip('Address of the service.'),
      64,
      { default: [] },
    ),
    port: integer('Port on which the service answers.', 1, 65535),
    protocol: choice('Transport protocol.', PROTOCOLS, { default: 'TCP' }),
    scope: choice(
      'Kind of address. ClusterIP: inside the cluster. External: an external IP. LoadBalancer: an address of an outer load balancer. NodePort: a port of every node.',
      SCOPES,
      { default: 'ClusterIP' },
    ),
    algorithm: choice("How a backend is picked. Without it the load balancer's own algorithm.", ALGORITHMS),
    affinity: object(
      'Whether a client keeps its backend over several connections.',
      {
        type: choice('ClientIP: connections of one address go to one backend.', ['None', 'ClientIP'], {
          default: 'None',
        }),
        timeoutSeconds: integer('How long the backend is kept after the last connection.', 1, 86400, {
          default: 10800,
          unit: 'seconds',
        }),
      },
      [],
      { typeName: 'Affinity', default: {} },
    ),
    sourceRanges: atomicList(
      'Clients that may use the frontend. Empty: all. Others are dropped and counted.',
      cidr('Prefix of clients.'),
      64,
      { default: [] },
    ),
    trafficPolicy: choice('Local: only backends on the node of the load balancer.', ['Cluster', 'Local'], {
      default: 'Cluster',
    }),
    noBackends: choice(
      "What a client meets without backends. Without it the load balancer's own.",
      NO_BACKENDS,
    ),
  },
  ['port'],
  {
    typeName: 'Frontend',
    rules: [
      {
        id: 'FrontendWithoutAddress',
        cel: "self.scope == 'NodePort' || self.addresses.size() > 0",
        message: 'the frontend has no address',
        remedy: 'list at least one address, or set scope to NodePort for the addresses of each node',
        field: '.addresses',
        kind: 'FieldValueRequired',
        twin: (self) => self.scope === 'NodePort' || self.addresses.length > 0,
      },
    ],
  },
);

const backend = object(
  'One server of the service.',
  {
    address: ip('Address of the server.'),
    weight: integer('Share of new connections. 0: no new ones, existing ones stay.', 0, 100, { default: 1 }),
    state: choice(
      'Ready: takes connections. Serving: terminating but still serving, used when nothing is Ready. Terminating, NotReady: no new connections, existing ones stay.',
      ['Ready', 'Serving', 'Terminating', 'NotReady'],
      { default: 'Ready' },
    ),
    node: dnsSubdomain('Node on which it runs.'),
    zone: text('Zone in which it runs.', 63),
    hints: object(
      'For whom it is meant (`hints` of an EndpointSlice). A load balancer on one of the nodes, or else in one of the zones, picks only among the backends that are meant for it, if each Ready one is meant for somebody and one of them for it.',
      {
        zones: atomicList('Zones.', text('Zone.', 63), 8),
        nodes: atomicList('Nodes.', dnsSubdomain('Node.'), 8),
      },
      [],
      { typeName: 'BackendHints' },
    ),
    ports: atomicList(
      'Ports on which it serves.',
      object(
        'One port of the server.',
        {
          name: portName('Name of the frontend that it serves.'),
          protocol: choice('Transport protocol. Without it that of the frontend.', PROTOCOLS),
          port: integer('Port on which the server listens.', 1, 65535),
        },
        ['port'],
        { typeName: 'BackendPort' },
      ),
      100,
      { minItems: 1 },
    ),
  },
  ['address', 'ports'],
  { typeName: 'Backend' },
);

export const service: Schema = object(
  'A service.',
  {
    namespace: dnsLabel('Namespace of the Service.'),
    name: dnsSubdomain('Name of the Service.'),
    uid: text('UID of the Service.', 63),
    frontends: atomicList('Where clients reach it. In slice 0 only.', frontend, 128, { default: [] }),
    healthCheckNodePort: integer(
      'Port on which each node says over HTTP whether it has Ready backends. In slice 0 only.',
      1,
      65535,
    ),
    backends: atomicList('Who serves it; one entry an address.', backend, 100, { default: [] }),
  },
  ['namespace', 'name'],
  { typeName: 'Service' },
);
