// SPDX-License-Identifier: Apache-2.0

/**
 * What a Service means to one load balancer on one node. Pure, on plain objects: the only place that decides
 * meaning. Ids, places and bytes belong to the image.
 */
import type { Backend, BackendPort, Frontend, Service } from '../../api/generated/types.ts';
import type { Problem, ServiceHealth } from '../cube-type.ts';
import { addressesOn } from '../node-ports.ts';
import { PROTOCOLS } from './backends.ts';
import type { ServiceChoice } from './settings.ts';

export interface DesiredBackend {
  readonly address: string;
  readonly port: number;
  /** IPPROTO_* */
  readonly proto: number;
  /** Share of new connections in all frontends together; 0: none, but its sessions stay. */
  readonly weight: number;
}

export interface DesiredFrontend {
  readonly address: string;
  readonly port: number;
  readonly proto: number;
  /** What shares affinity and source ranges: port of a service. */
  readonly group: string;
  readonly maglev: boolean;
  /** Answer, when there are no picks. */
  readonly reject: boolean;
  /** There are backends, on other nodes: drop, as another node will serve. */
  readonly local: boolean;
  /** Seconds; 0: none. */
  readonly affinity: number;
  /** Whose clients backends do not see: of all backends, of the host's own ones, or of none. */
  readonly hides: 'All' | 'Host' | 'None';
  readonly sourceRanges: readonly string[];
  /** Indexes into the service's backends, with weights of at least 1. */
  readonly picks: readonly Pick[];
}

export interface Pick {
  readonly backend: number;
  readonly weight: number;
}

/** Where the load balancer runs. */
export interface Place {
  readonly name: string;
  readonly zone?: string;
  /** Without length. */
  readonly addresses: readonly string[];
}

export interface DesiredService {
  readonly frontends: readonly DesiredFrontend[];
  readonly backends: readonly DesiredBackend[];
  readonly health: ServiceHealth | undefined;
  readonly problems: readonly Problem[];
}

function isV4(address: string): boolean {
  return !address.includes(':');
}

function serves(port: BackendPort, { name, protocol }: Frontend): boolean {
  return port.name === name && (port.protocol ?? protocol) === protocol;
}

interface Candidate extends Pick {
  readonly state: Backend['state'];
  readonly v4: boolean;
  readonly here: boolean;
  readonly hints: Backend['hints'];
}

const isReady = ({ state }: Candidate): boolean => state === 'Ready';

/** Ready ones; where there are none, those that terminate but still serve (KEP-1669). */
function serving(candidates: readonly Candidate[]): readonly Candidate[] {
  if (candidates.every(isReady)) return candidates;
  const ready = candidates.filter(isReady);
  return ready.length > 0 ? ready : candidates.filter((one) => one.state === 'Serving');
}

/**
 * Of the Ready candidates those that are meant for this node, else for its zone (KEP-2433, KEP-3015). Hints count only
 * where all have some and one of them is meant for here: while they are being written, or are wrong, everyone serves.
 */
function near(candidates: readonly Candidate[], { name, zone }: Place): readonly Candidate[] {
  if (!candidates.some(({ hints }) => hints) || !candidates.every(isReady)) return candidates;
  return (
    meantFor(candidates, ({ hints }) => hints?.nodes, name) ??
    meantFor(candidates, ({ hints }) => hints?.zones, zone) ??
    candidates
  );
}

function meantFor(
  candidates: readonly Candidate[],
  hintsOf: (candidate: Candidate) => readonly string[] | undefined,
  here: string | undefined,
): readonly Candidate[] | undefined {
  if (here === undefined || candidates.some((one) => (hintsOf(one)?.length ?? 0) === 0)) return undefined;
  const found = candidates.filter((one) => hintsOf(one)?.includes(here));
  return found.length > 0 ? found : undefined;
}

/** Pods reach what is for clients outside by any backend (`clients` of the spec). */
function isLocal({ clients }: ServiceChoice, { trafficPolicy, scope }: Frontend): boolean {
  return trafficPolicy === 'Local' && (clients !== 'Pods' || scope === 'ClusterIP');
}

/** A host that is the backend itself would answer by its own routes, past the load balancer. */
function hidesFrom(
  { clusterSources }: ServiceChoice,
  { scope }: Frontend,
  local: boolean,
): DesiredFrontend['hides'] {
  if (scope === 'ClusterIP' || clusterSources.length === 0) return 'None';
  return local ? 'Host' : 'All';
}

/** Terminating backends may still serve, but are no reason to send more packets here (KEP-1669). */
function healthOf({ name }: Place, service: Service): ServiceHealth | undefined {
  const { namespace, name: serviceName, healthCheckNodePort: port } = service;
  if (port === undefined) return undefined;
  const here = service.backends.filter(({ node, state }) => node === name && state === 'Ready');
  const localEndpoints = new Set(here.map(({ address }) => address)).size;
  return { namespace, name: serviceName, port, localEndpoints };
}

export function desired(spec: ServiceChoice, node: Place, service: Service): DesiredService {
  const frontends: DesiredFrontend[] = [];
  const problems: Problem[] = [];
  const backends: { address: string; port: number; proto: number; weight: number }[] = [];
  const known = new Map<string, number>();
  const name = `${service.namespace}/${service.name}`;
  /** An address and port that is listed twice, as an external and as a load balancer's one, is what it is first. */
  const places = new Set<string>();

  for (const frontend of service.frontends) {
    if (!spec.scopes.includes(frontend.scope) || spec.serves?.(frontend) === false) continue;
    const proto = PROTOCOLS[frontend.protocol];
    const listed = addressesOn(frontend, service, node.addresses);
    const candidates: Candidate[] = [];
    const seen = new Map<number, number>();
    const take = (backend: Backend, port: BackendPort): void => {
      if (frontend.protocol === 'SCTP' && port.port !== frontend.port) {
        problems.push({
          reason: 'SctpPortChange',
          message: `Service ${name}, port ${frontend.port}/SCTP: backend ${backend.address} listens on ${port.port}; the checksum of SCTP cannot be corrected for another port, so give the service the port of its backends`,
        });
        return;
      }
      // most backends have one port: their address alone is the key, and costs no new string
      const { address } = backend;
      let index = known.get(address);
      const first = index === undefined ? undefined : backends[index];
      if (first && (first.port !== port.port || first.proto !== proto)) {
        const key = `${address} ${port.port} ${proto}`;
        index = known.get(key);
        if (index === undefined) known.set(key, backends.length);
      } else if (index === undefined) {
        known.set(address, backends.length);
      }
      index ??= backends.push({ address, port: port.port, proto, weight: 0 }) - 1;
      const candidate = {
        backend: index,
        weight: backend.weight,
        state: backend.state,
        v4: isV4(backend.address),
        here: backend.node === node.name,
        hints: backend.hints,
      };
      // listed twice, as while an EndpointSlice is replaced: the better state counts
      const twin = seen.get(index);
      if (twin === undefined) seen.set(index, candidates.push(candidate) - 1);
      else if (candidate.state === 'Ready') candidates[twin] = candidate;
    };
    for (const backend of service.backends)
      for (const port of backend.ports) if (serves(port, frontend)) take(backend, port);
    for (const v4 of [true, false]) {
      const addresses = listed.filter((address) => isV4(address) === v4);
      if (addresses.length === 0) continue;
      const family = candidates.every((one) => one.v4 === v4)
        ? candidates
        : candidates.filter((one) => one.v4 === v4);
      const everywhere = serving(family).filter((one) => one.weight > 0);
      const local = isLocal(spec, frontend);
      const hidden = hidesFrom(spec, frontend, local);
      const here = local
        ? serving(family.filter((one) => one.here)).filter((one) => one.weight > 0)
        : near(everywhere, node);
      for (const { backend, weight } of here) {
        const row = backends[backend];
        if (row) row.weight = Math.max(row.weight, weight);
      }
      for (const address of addresses) {
        const place = `${address} ${frontend.port} ${proto}`;
        if (places.has(place)) continue;
        places.add(place);
        frontends.push({
          address,
          port: frontend.port,
          proto,
          group: `${name}/${frontend.name}/${frontend.port}/${frontend.protocol}/${frontend.scope}`,
          maglev: (frontend.algorithm ?? spec.algorithm) === 'Maglev',
          reject: (frontend.noBackends ?? spec.noBackends) === 'Reject',
          local: local && here.length === 0 && everywhere.length > 0,
          affinity: frontend.affinity.type === 'ClientIP' ? frontend.affinity.timeoutSeconds : 0,
          hides: hidden,
          sourceRanges: frontend.sourceRanges,
          picks: here,
        });
      }
    }
  }
  return { frontends, backends, health: healthOf(node, service), problems };
}
