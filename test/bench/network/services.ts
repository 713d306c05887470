// SPDX-License-Identifier: Apache-2.0

/** Services of the suite `network`: those that are asked, which each site has of its own, and those that are only there. */
import { randomUUID } from 'node:crypto';
import type { Pod } from '../../harness/topology.ts';
import type { Family } from '../connect.ts';
import { storeObjects } from '../services.ts';
import { addressOf, type Bed, PORTS, type Ports, type Route, type Site } from './site.ts';

/** Services of the same backend: where kube-proxy has one among its rules is chance, so new connections ask several. */
const COPIES = 4;
const SERVICES = '/api/v1/namespaces/default/services';
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

/** Ports of the Services that are asked: rows of TCP and UDP. */
const ASKED = [
  { name: 'echo-tcp', protocol: 'TCP', port: PORTS.echo, offset: 0 },
  { name: 'echo-udp', protocol: 'UDP', port: PORTS.echo, offset: 0 },
  { name: 'sink', protocol: 'UDP', port: PORTS.sink, offset: 1 },
  { name: 'stream', protocol: 'TCP', port: PORTS.stream, offset: 2 },
] as const;

/** Cluster addresses of Services that are asked, counted from 0. Those that are only there have others. */
const askedAddress = (n: number, family: Family): string =>
  family === 'ipv4' ? `10.96.${1 + (n >> 8)}.${n & 255}` : `fd00:96::${(0x100 + n).toString(16)}`;
let asked = 0;

/** How Kubernetes spells a family. */
const SPELT = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;
const inFamily = (family: Family) => ({ ipFamilies: [SPELT[family]], ipFamilyPolicy: 'SingleStack' });

/** An EndpointSlice of one backend, as its controller would write it. */
function sliceOf(service: string, backend: Pod, family: Family, ports: readonly object[]): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-1`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: SPELT[family],
    endpoints: [
      { addresses: [addressOf(backend, family)], nodeName: backend.node.name, conditions: { ready: true } },
    ],
    ports,
  };
}

/** Node ports of a Service from this one on. */
function nodePortsFrom(first: number): Ports {
  return { echo: first, sink: first + 1, stream: first + 2 };
}

/** Creates a Service without a backend and returns its cluster address. */
async function createService(
  { cluster: { api }, family }: Bed,
  name: string,
  more: { readonly nodePorts?: number; readonly policy?: 'Local' | 'Cluster' } = {},
): Promise<string> {
  const { nodePorts, policy = 'Cluster' } = more;
  const clusterIP = askedAddress(asked++, family);
  await api.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      clusterIP,
      ...inFamily(family),
      ...(nodePorts === undefined ? {} : { type: 'NodePort', externalTrafficPolicy: policy }),
      ports: ASKED.map(({ offset, ...port }) => ({
        ...port,
        ...(nodePorts === undefined ? {} : { nodePort: nodePorts + offset }),
      })),
    },
  });
  return clusterIP;
}

/** Writes the slice of a Service with its one backend. */
async function createSlice({ cluster: { api }, family }: Bed, service: string, backend: Pod): Promise<void> {
  const ports = ASKED.map(({ name, protocol, port }) => ({ name, protocol, port }));
  await api.create(SLICES, sliceOf(service, backend, family, ports));
}

/** Services of a site and the ways that they open. Returns how many Services and how many rows of ports there are. */
export async function addServices(bed: Bed, site: Site): Promise<{ services: number; frontends: number }> {
  const { outside, family } = bed;
  const { name, near, far, client, here } = site;
  const one = async (which: string, backend: Pod, more = {}): Promise<string> => {
    const address = await createService(bed, `${name}-${which}`, more);
    await createSlice(bed, `${name}-${which}`, backend);
    return address;
  };
  const several = async (which: string, backend: Pod): Promise<string[]> => {
    const addresses: string[] = [];
    for (let copy = 0; copy < COPIES; copy++) addresses.push(await one(`${which}-${copy}`, backend));
    return addresses;
  };
  const route = (server: Pod, addresses: string[], ports: Ports, from = client.namespace): Route => ({
    client: from,
    addresses,
    ports,
    server: server.namespace,
    backend: addressOf(server, family),
  });
  const [local, cluster] = [site.nodePorts, site.nodePorts + 10];
  await one('local', near, { nodePorts: local, policy: 'Local' });
  await one('cluster', far, { nodePorts: cluster });
  const node = [here.node.addresses[family]];
  Object.assign(site.routes, {
    'service-same': route(near, await several('near', near), PORTS),
    'service-other': route(far, await several('far', far), PORTS),
    'outside-local': route(near, node, nodePortsFrom(local), outside.namespace),
    'outside-cluster': route(far, node, nodePortsFrom(cluster), outside.namespace),
  });
  const services = 2 * COPIES + 2;
  return { services, frontends: services * ASKED.length };
}

/** A Service that has no backend yet, and what gives it one. */
export interface Unready {
  readonly address: string;
  makeReady(): Promise<void>;
  remove(): Promise<void>;
}

export async function addUnready(bed: Bed, name: string, backend: Pod): Promise<Unready> {
  const { api } = bed.cluster;
  const address = await createService(bed, name);
  return {
    address,
    makeReady: () => createSlice(bed, name, backend),
    remove: async () => {
      await api.delete(`${SLICES}/${name}-1`);
      await api.delete(`${SERVICES}/${name}`);
    },
  };
}

const FILLER_ENDPOINTS = 2;

/** The `n`-th Service that nobody asks, complete as the API server keeps it: its address, its slice, itself. */
export function fillerObjects(
  n: number,
  family: Family,
  creationTimestamp: string,
): readonly [object, object, object] {
  const name = `filler-${String(n).padStart(5, '0')}`;
  const address =
    family === 'ipv4' ? `10.96.${128 + (n >> 8)}.${n & 255}` : `fd00:96::${(0x8000 + n).toString(16)}`;
  const metadata = { name, namespace: 'default', uid: randomUUID(), creationTimestamp };
  const port = { name: 'http', protocol: 'TCP', port: 80 };
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: {
        name: address,
        uid: randomUUID(),
        creationTimestamp,
        labels: {
          'ipaddress.kubernetes.io/ip-family': SPELT[family],
          'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
        },
      },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'default', name } },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        ...metadata,
        name: `${name}-1`,
        uid: randomUUID(),
        generation: 1,
        labels: { 'kubernetes.io/service-name': name },
      },
      addressType: SPELT[family],
      endpoints: Array.from({ length: FILLER_ENDPOINTS }, (_, i) => {
        const at = n * FILLER_ENDPOINTS + i;
        return {
          addresses: [
            family === 'ipv4'
              ? `10.${200 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
              : `fd00:200::${(at + 1).toString(16)}`,
          ],
          conditions: { ready: true },
        };
      }),
      ports: [{ ...port, port: 8080 }],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: 'ClusterIP',
        clusterIP: address,
        clusterIPs: [address],
        ...inFamily(family),
        sessionAffinity: 'None',
        internalTrafficPolicy: 'Cluster',
        ports: [{ ...port, targetPort: 8080 }],
      },
    },
  ];
}

/** Adds Services that nobody asks, from the `from`-th to before the `to`-th. */
export async function addFiller({ cluster, family }: Bed, from: number, to: number): Promise<void> {
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const all = Array.from({ length: to - from }, (_, n) => fillerObjects(from + n, family, now));
  // Services last: the API server repairs those without an address, and the operator writes a table again when slices come later
  await storeObjects(
    cluster,
    [0, 1, 2].flatMap((kind) => all.map((objects) => objects[kind] as object)),
    'one-by-one',
  );
}
