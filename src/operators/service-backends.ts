// SPDX-License-Identifier: Apache-2.0
import type { Backend, BackendPort, Frontend } from '../api/generated/types.ts';
import { canonicalAddress, type Family, familyOf, unusable } from './address.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { EndpointInput, EndpointSliceInput, ServiceInput } from './inputs.ts';
import { KUBERNETES_LABELS } from './labels.ts';
import { isPort, protocolOf } from './service-frontends.ts';

type State = Backend['state'];

/** Bounds of the CubeTable schema. */
const MAX_PORTS = 100;
const MAX_HINTS = 8;
/** While an endpoint moves from one slice to another it stands in both; the better state counts. */
const BEST_FIRST: readonly State[] = ['Ready', 'Serving', 'Terminating', 'NotReady'];

interface Gathered {
  node: string | undefined;
  zone: string | undefined;
  hints: Backend['hints'];
  /** Ports by `name protocol number`, with the best state seen. */
  ports: Map<string, { port: BackendPort; state: State }>;
}

/**
 * The backends of a Service, out of all its EndpointSlices: one entry for each address and state, sorted. Slice ports
 * are joined to frontends by name and protocol (KEP-752); what no frontend names is left out, and so are families that
 * the Service does not have.
 */
export function backendsOf(
  service: ServiceInput,
  slices: readonly EndpointSliceInput[],
  frontends: readonly Frontend[],
  diagnostics: Diagnostics,
): Backend[] {
  const wanted = new Set(frontends.map((frontend) => `${frontend.name} ${frontend.protocol}`));
  const families = familiesOf(service, frontends);
  const byAddress = new Map<string, Gathered>();
  for (const slice of slices) {
    const family = sliceFamily(slice, diagnostics);
    if (family === undefined || !families.has(family)) continue;
    const ports = slicePorts(slice, wanted, diagnostics);
    if (ports.length === 0) continue;
    (slice.endpoints ?? []).forEach((endpoint, index) => {
      const address = endpointAddress(slice, endpoint, index, family, diagnostics);
      if (address === undefined) return;
      const state = stateOf(endpoint, service.spec?.publishNotReadyAddresses === true);
      gather(byAddress, address, endpoint, state, ports);
    });
  }
  const backends = [...byAddress].flatMap(([address, gathered]) => entriesOf(address, gathered));
  return backends.sort((a, b) => compare(a.address, b.address) || compare(a.state, b.state));
}

/**
 * State of an endpoint (KEP-1672), by kube-proxy's defaults: `ready` and `serving` absent mean true. A Service with
 * publishNotReadyAddresses wants every endpoint.
 */
function stateOf(endpoint: EndpointInput, publishNotReady: boolean): State {
  const { ready, serving, terminating } = endpoint.conditions ?? {};
  const isReady = ready ?? true;
  if (isReady || publishNotReady) return 'Ready';
  if (terminating === true) return (serving ?? true) ? 'Serving' : 'Terminating';
  return 'NotReady';
}

function gather(
  byAddress: Map<string, Gathered>,
  address: string,
  endpoint: EndpointInput,
  state: State,
  ports: readonly BackendPort[],
): void {
  let gathered = byAddress.get(address);
  if (gathered === undefined) {
    gathered = { node: undefined, zone: undefined, hints: undefined, ports: new Map() };
    byAddress.set(address, gathered);
  }
  gathered.node ??= endpoint.nodeName ?? undefined;
  gathered.zone ??= endpoint.zone ?? undefined;
  gathered.hints ??= hintsOf(endpoint);
  for (const port of ports) {
    const key = `${port.name} ${port.protocol} ${port.port}`;
    const before = gathered.ports.get(key);
    if (before === undefined || BEST_FIRST.indexOf(state) < BEST_FIRST.indexOf(before.state)) {
      gathered.ports.set(key, { port, state });
    }
  }
}

/** For which zones (KEP-2433) and nodes (KEP-3015) an endpoint is meant; undefined for one that says neither. */
function hintsOf({ hints }: EndpointInput): Backend['hints'] {
  if (!hints) return undefined;
  const names = (list: typeof hints.forZones): string[] =>
    [...new Set((list ?? []).flatMap((hint) => hint?.name || []))].sort().slice(0, MAX_HINTS);
  const zones = names(hints.forZones).filter((zone) => zone.length <= 63);
  const nodes = names(hints.forNodes);
  if (zones.length === 0 && nodes.length === 0) return undefined;
  return { ...(zones.length === 0 ? {} : { zones }), ...(nodes.length === 0 ? {} : { nodes }) };
}

/** Two host-network pods share an address and differ in port and state, so states are entries of their own. */
function entriesOf(address: string, gathered: Gathered): Backend[] {
  const entries: Backend[] = [];
  for (const state of BEST_FIRST) {
    const ports = [...gathered.ports.values()]
      .filter((entry) => entry.state === state)
      .map((entry) => entry.port)
      .sort(
        (a, b) => compare(a.name, b.name) || compare(a.protocol ?? '', b.protocol ?? '') || a.port - b.port,
      );
    for (let at = 0; at < ports.length; at += MAX_PORTS) {
      entries.push({
        address,
        weight: 1,
        state,
        ...(gathered.node === undefined ? {} : { node: gathered.node }),
        ...(gathered.zone === undefined || gathered.zone.length > 63 ? {} : { zone: gathered.zone }),
        ...(gathered.hints === undefined ? {} : { hints: gathered.hints }),
        ports: ports.slice(at, at + MAX_PORTS),
      });
    }
  }
  return entries;
}

function familiesOf(service: ServiceInput, frontends: readonly Frontend[]): Set<Family> {
  const families = new Set<Family>();
  for (const family of service.spec?.ipFamilies ?? []) {
    if (family === 'IPv4' || family === 'IPv6') families.add(family);
  }
  for (const frontend of frontends) for (const address of frontend.addresses) families.add(familyOf(address));
  return families;
}

function sliceFamily(slice: EndpointSliceInput, diagnostics: Diagnostics): Family | undefined {
  if (KUBERNETES_LABELS.headless in (slice.metadata.labels ?? {})) return undefined;
  if (slice.addressType === 'IPv4' || slice.addressType === 'IPv6') return slice.addressType;
  diagnostics.add(
    'NotSupported',
    'addressType',
    `addresses of type ${slice.addressType ?? '(none)'} cannot be balanced`,
    'use an EndpointSlice of type IPv4 or IPv6',
    sliceName(slice),
  );
  return undefined;
}

function slicePorts(
  slice: EndpointSliceInput,
  wanted: ReadonlySet<string>,
  diagnostics: Diagnostics,
): BackendPort[] {
  const ports: BackendPort[] = [];
  (slice.ports ?? []).forEach((port, index) => {
    const protocol = protocolOf(port.protocol);
    const name = port.name ?? '';
    if (protocol === undefined || !wanted.has(`${name} ${protocol}`)) return;
    if (isPort(port.port)) ports.push({ name, protocol, port: port.port });
    else {
      diagnostics.add(
        'InvalidPort',
        `ports[${index}].port`,
        port.port === undefined || port.port === null ? 'no port is named' : `${port.port} is not a port`,
        'give a number from 1 to 65535',
        sliceName(slice),
      );
    }
  });
  return ports;
}

/** Only the first address counts: the others are "fungible" and have never been used (discovery/v1 Endpoint). */
function endpointAddress(
  slice: EndpointSliceInput,
  endpoint: EndpointInput,
  index: number,
  family: Family,
  diagnostics: Diagnostics,
): string | undefined {
  const text = endpoint.addresses?.[0];
  const address = canonicalAddress(text);
  let problem: string | undefined;
  if (address === undefined) problem = 'not an IP address';
  else if (familyOf(address) !== family) problem = `not of type ${family}`;
  else problem = unusable(address);
  if (address !== undefined && problem === undefined) return address;
  diagnostics.add(
    'InvalidAddress',
    `endpoints[${index}].addresses[0]`,
    `${text ?? '(none)'} is ${problem}`,
    "correct the endpoint's address",
    sliceName(slice),
  );
  return undefined;
}

function sliceName(slice: EndpointSliceInput): string {
  return `EndpointSlice ${slice.metadata.namespace ?? ''}/${slice.metadata.name ?? ''}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
