// SPDX-License-Identifier: Apache-2.0

/**
 * What Services mean to a load balancer, written from docs/reference/cubetable.md, docs/reference/load-balancer.md and
 * docs/adr/0007-one-address-two-services.md. Shares no code with src/cubes/load-balancer.
 */
import type { Backend, Frontend, LoadBalancer, Service } from '../../../src/api/generated/types.ts';
import { isV6, mappedBytes } from '../support/bytes.ts';
import { rangeOf, type SourceRange } from './load-balancer-ranges.ts';

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;

/** Address of 16 bytes, port, protocol: one character a byte. */
export type Place = string;

/** 16 characters, one a byte; IPv4 mapped. */
export const bytesOfAddress = (text: string): string => mappedBytes(text).toString('latin1');

const two = (value: number): string => String.fromCharCode(value >> 8, value & 255);

export const placeOf = (address: string, port: number, protocol: number): Place =>
  address + two(port) + String.fromCharCode(protocol);

/** Of which backends clients are hidden. */
export type Hides = 'all' | 'host' | 'none';

interface ModelFrontend {
  readonly hides: Hides;
  /** Of what shares affinity: one port of one Service. */
  readonly group: string;
  readonly maglev: boolean;
  readonly reject: boolean;
  /** No backend on this node, but some elsewhere. */
  readonly elsewhere: boolean;
  /** Seconds; 0: none. */
  readonly affinity: number;
  /** Empty: all clients. */
  readonly ranges: readonly SourceRange[];
  /** Who takes new connections, with weights. */
  readonly candidates: ReadonlyMap<Place, number>;
}

export interface ModelServices {
  readonly frontends: ReadonlyMap<Place, ModelFrontend>;
  /** Backends that some Service lists, and whether they take new connections of any. */
  readonly backends: ReadonlyMap<Place, boolean>;
  /** The same by the name of the Service. */
  readonly listed: ReadonlyMap<string, ReadonlySet<Place>>;
}

/** Which of its ports serves the frontend: that of the frontend's name and protocol. */
function portFor(backend: Backend, frontend: Frontend): number | undefined {
  const port = backend.ports.find(
    ({ name, protocol = frontend.protocol }) => name === frontend.name && protocol === frontend.protocol,
  )?.port;
  // the checksum of SCTP cannot be corrected for another port
  return frontend.protocol === 'SCTP' && port !== frontend.port ? undefined : port;
}

/** Ready ones; the ones that serve still, when nothing is ready. Without weight nobody gets new connections. */
function takers(backends: readonly Backend[]): readonly Backend[] {
  const ready = backends.filter(({ state }) => state === 'Ready');
  const chosen = ready.length > 0 ? ready : backends.filter(({ state }) => state === 'Serving');
  return chosen.filter(({ weight }) => weight > 0);
}

/**
 * Those that are meant for the node, or the zone, if everyone is meant for some and one for it. Only Ready ones have a say.
 */
function nearest(backends: readonly Backend[], node: string, zone: string | undefined): readonly Backend[] {
  if (backends.some(({ state }) => state !== 'Ready')) return backends;
  for (const kind of ['nodes', 'zones'] as const) {
    const here = kind === 'nodes' ? node : zone;
    const lists = backends.map(({ hints }) => hints?.[kind] ?? []);
    const isFor = (list: readonly string[]) => here !== undefined && list.includes(here);
    if (lists.every(({ length }) => length > 0) && lists.some(isFor))
      return backends.filter(({ hints }) => isFor(hints?.[kind] ?? []));
  }
  return backends;
}

export function modelServices(
  spec: LoadBalancer,
  {
    name: node,
    zone,
    addresses,
  }: { readonly name: string; readonly zone?: string; readonly addresses: readonly string[] },
  services: readonly Service[],
): ModelServices {
  const frontends = new Map<Place, ModelFrontend>();
  const backends = new Map<Place, boolean>();
  const listed = new Map<string, Set<Place>>();
  // of two Services that want one place, the one with the smaller name has it
  const ordered = [...services].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  for (const service of ordered) {
    const places = new Set<Place>();
    listed.set(nameOf(service), places);
    for (const frontend of service.frontends) {
      if (!spec.scopes.includes(frontend.scope)) continue;
      const protocol = PROTOCOLS[frontend.protocol];
      const able = service.backends.filter((one) => portFor(one, frontend) !== undefined);
      const placeFor = (one: Backend) =>
        placeOf(bytesOfAddress(one.address), portFor(one, frontend) ?? 0, protocol);
      for (const one of able) {
        places.add(placeFor(one));
        backends.set(placeFor(one), backends.get(placeFor(one)) ?? false);
      }
      const isOuter = frontend.scope !== 'ClusterIP';
      const isLocal = frontend.trafficPolicy === 'Local' && !(isOuter && spec.clients === 'Pods');
      for (const address of placesOf(frontend, service, addresses)) {
        const family = able.filter((one) => isV6(one.address) === isV6(address));
        const everywhere = takers(family);
        const chosen = isLocal
          ? takers(family.filter((one) => one.node === node))
          : nearest(everywhere, node, zone);
        const candidates = new Map(chosen.map((one) => [placeFor(one), one.weight]));
        for (const place of candidates.keys()) backends.set(place, true);
        const key = placeOf(bytesOfAddress(address), frontend.port, protocol);
        if (frontends.has(key)) continue;
        frontends.set(key, {
          hides: isOuter && spec.clusterSources.length > 0 ? (isLocal ? 'host' : 'all') : 'none',
          group: `${nameOf(service)} ${frontend.name} ${frontend.port} ${frontend.protocol} ${frontend.scope}`,
          maglev: (frontend.algorithm ?? spec.algorithm) === 'Maglev',
          reject: (frontend.noBackends ?? spec.noBackends) === 'Reject',
          elsewhere: isLocal && chosen.length === 0 && everywhere.length > 0,
          affinity: frontend.affinity.type === 'ClientIP' ? frontend.affinity.timeoutSeconds : 0,
          ranges: frontend.sourceRanges.map(rangeOf),
          candidates,
        });
      }
    }
  }
  return { frontends, backends, listed };
}

function nameOf({ namespace, name }: Service): string {
  return `${namespace}/${name}`;
}

/** A node port is one of all addresses of the node, in the families that the Service has. */
function placesOf(frontend: Frontend, { frontends }: Service, node: readonly string[]): readonly string[] {
  if (frontend.scope !== 'NodePort' || frontend.addresses.length > 0) return frontend.addresses;
  const families = new Set(frontends.flatMap(({ addresses }) => addresses.map(isV6)));
  return families.size === 0 ? node : node.filter((address) => families.has(isV6(address)));
}
