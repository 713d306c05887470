// SPDX-License-Identifier: Apache-2.0
/** The way of the host's own processes into the chain: addresses and routes on cube0, for a router linked to Stack. Pure. */
import { formatAddress, formatPrefix, masked, parsePrefix } from '../api/ip.ts';
import { STACK_DEVICES } from './desired.ts';
import { type DirectNetwork, isIn } from './direct-networks.ts';
import type { Graph } from './graph-model.ts';
import { decodeAddress, decodePrefix } from './layout.ts';
import type { OverlaySources } from './overlay.ts';

/** A route of the host into cube0. */
export interface HostRoute {
  /** Canonical, with its length. */
  readonly prefix: string;
  /** The address that processes send from unless they choose one. */
  readonly source: string;
  /** Bytes; absent: the device's. */
  readonly mtu?: number;
  /** To a node of the same subnet, past cube0. */
  readonly direct?: { readonly device: string; readonly via: string };
}

export interface HostNetwork {
  /** Without length. */
  readonly addresses: readonly string[];
  readonly routes: readonly HostRoute[];
}

/** Sets our routes apart from those of others for the same prefix, which stay and, being shorter of metric, win. */
export const HOST_ROUTE_METRIC = 77;

const isIPv6 = (text: string): boolean => text.includes(':');
const hostPrefix = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

/**
 * What the router at the Stack endpoint makes reachable: the prefixes of its ports, with the port's address as the
 * host's own there, and what is behind the overlay, from the first of these addresses. Without a router nothing.
 */
export function hostNetwork(
  graph: Graph,
  sources: OverlaySources,
  overlayMtu: number,
  direct: readonly DirectNetwork[] = [],
): HostNetwork {
  const ports = [...graph.links.values()]
    .flatMap(({ ends: [a, b] }) => (a.type === 'Stack' ? [b] : b.type === 'Stack' ? [a] : []))
    .flatMap((end) => (end.type === 'Cube' ? (graph.cubes.get(end.cube)?.input.ports ?? []) : []))
    // The networks of interfaces are the kernel's to know.
    .filter(({ endpoint }) => endpoint !== 'Interface');
  const routes = new Map<string, HostRoute>();
  const addresses: string[] = [];
  for (const text of ports.flatMap((port) => port.addresses)) {
    const prefix = parsePrefix(text);
    if (prefix === undefined) continue;
    const source = formatAddress(prefix);
    addresses.push(source);
    const name = formatPrefix(masked(prefix));
    if (!routes.has(name)) routes.set(name, { prefix: name, source });
  }
  for (const [key, value] of sources.rows) {
    const [name, via] = [decodePrefix(key), decodeAddress(value)];
    const source = addresses.find((address) => isIPv6(address) === isIPv6(name));
    if (source === undefined || routes.has(name)) continue;
    const on = isIPv6(name) === isIPv6(via) ? direct.find(({ network }) => isIn(network, via)) : undefined;
    routes.set(
      name,
      on === undefined
        ? { prefix: name, source, mtu: overlayMtu }
        : { prefix: name, source, direct: { device: on.device, via } },
    );
  }
  return { addresses, routes: [...routes.values()] };
}

/** The line for `ip -batch` that removes a route. */
export function deletionOf({ prefix, direct }: HostRoute): string {
  return `route delete ${prefix} dev ${direct?.device ?? STACK_DEVICES[0]} metric ${HOST_ROUTE_METRIC}`;
}

/**
 * Lines for `ip -batch`. `there`: addresses and routes of cube0 now. What comes back to cube0 after it was led past it is among the last:
 * until then the chain sends it to the host, who would give it to the chain again.
 */
export function planHostNetwork(
  there: HostNetwork,
  wish: HostNetwork,
): { readonly make: readonly string[]; readonly remove: readonly string[] } {
  const [device] = STACK_DEVICES;
  const text = ({ prefix, source, mtu = 0, direct }: HostRoute) =>
    `${prefix} ${source} ${mtu} ${direct?.device ?? device} ${direct?.via ?? ''}`;
  const now = new Set(there.routes.map(text));
  const wanted = new Set(wish.routes.map(({ prefix }) => prefix));
  const past = new Set(there.routes.filter(({ direct }) => direct).map(({ prefix }) => prefix));
  const kept = new Set(wish.addresses);
  const remove = there.routes.filter(({ prefix }) => !wanted.has(prefix)).map(deletionOf);
  const make = wish.addresses
    .filter((address) => !there.addresses.includes(address))
    .map(
      (address) => `address add ${hostPrefix(address)} dev ${device}${address.includes(':') ? ' nodad' : ''}`,
    );
  for (const route of wish.routes) {
    if (now.has(text(route))) continue;
    const mtu = route.mtu === undefined ? '' : ` mtu ${route.mtu}`;
    const way =
      route.direct === undefined ? `dev ${device}` : `via ${route.direct.via} dev ${route.direct.device}`;
    const change = `route replace ${route.prefix} ${way} src ${route.source} metric ${HOST_ROUTE_METRIC}${mtu}`;
    (route.direct === undefined && past.has(route.prefix) ? remove : make).push(change);
  }
  for (const address of there.addresses) {
    if (!kept.has(address) && !address.startsWith('fe80:'))
      remove.push(`address delete ${hostPrefix(address)} dev ${device}`);
  }
  return { make, remove };
}
