// SPDX-License-Identifier: Apache-2.0

/**
 * What the spec of a router and the rows of Route tables mean: pure, and the only place that decides it. Rows are
 * plain objects as the generated codecs take them; bpf/router/router.h says what the program does with them.
 */
import type { Route, Router } from '../../api/generated/types.ts';
import {
  type Address,
  contains,
  formatAddress,
  hostMask,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../../api/ip.ts';
import type { CubeInput, CubePort, NodeInput, Problem } from '../cube-type.ts';
import { type Resolving, resolving } from './resolving.ts';
import {
  CONNECTED,
  IS_V6,
  NO_ADDRESS,
  NO_MTU,
  prefixName,
  RouteKind,
  type RouteRow,
  routeRow,
} from './route-row.ts';

export const NO_DELIVERY = 0xffffffff;
export interface OwnAddressRow {
  readonly addr: string;
  readonly port: number;
  readonly delivery: number;
}

export interface PortRow {
  readonly port: number;
  readonly sourceV4: string;
  readonly sourceV6: string;
}

/** All that follows from the spec alone. */
export interface Desired {
  readonly own: readonly OwnAddressRow[];
  readonly ports: readonly PortRow[];
  /** Connected and static routes, one a prefix. */
  readonly routes: readonly RouteRow[];
  readonly resolving: Resolving;
  readonly problems: readonly Problem[];
  /** A row of a table: the route, or why there is none. `where` names the object and row. */
  resolve(route: Route, where: string, field: string): RouteRow | Problem;
  /** The row for an address of the host; undefined where none is needed: no port leads to the host, or its routes do already. */
  hostRoute(address: string): RouteRow | undefined;
}

interface OwnAddress {
  readonly port: CubePort;
  readonly prefix: Prefix;
  readonly field: string;
}

export function isProblem(value: RouteRow | Problem): value is Problem {
  return 'reason' in value;
}

function problem(reason: string, field: string, message: string): Problem {
  return { reason, field, message };
}

/** 0/8, 127/8, 224/3; ::, ::1, ff00::/8: addresses that are no host's (RFC 6890, RFC 4291). */
function isNoHost({ family, value }: Address): boolean {
  if (family === 6) return value <= 1n || value >> 120n === 0xffn;
  const top = Number(value >> 24n);
  return top === 0 || top === 127 || top >= 224;
}

function isLinkLocal({ family, value }: Address): boolean {
  return family === 6 && value >> 118n === 0x3fan;
}

function ownAddresses(ports: readonly CubePort[]): { own: OwnAddress[]; problems: Problem[] } {
  const own: OwnAddress[] = [];
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const port of ports) {
    port.addresses.forEach((text, i) => {
      const field = `spec.ports[${port.name}].addresses[${i}]`;
      const prefix = parsePrefix(text);
      if (!prefix || isNoHost(prefix)) {
        problems.push(
          problem(
            'InvalidAddress',
            field,
            `${text} is no address of a host; write one with its prefix length, as 10.244.1.1/24`,
          ),
        );
        return;
      }
      const mask = hostMask(prefix);
      const host = prefix.value & mask;
      if (prefix.family === 4 && mask > 1n && (host === 0n || host === mask)) {
        problems.push(
          problem(
            'InvalidAddress',
            field,
            `${text} is the ${host === 0n ? 'network' : 'broadcast'} address of its prefix; choose another address in it`,
          ),
        );
        return;
      }
      const address = formatAddress(prefix);
      const other = seen.get(address);
      if (other !== undefined) {
        problems.push(
          problem(
            'DuplicateAddress',
            field,
            `${address} stands on port ${other} and on port ${port.name}; an address belongs to one port`,
          ),
        );
        return;
      }
      seen.set(address, port.name);
      own.push({ port, prefix, field });
    });
  }
  return { own, problems };
}

/** The port that a next hop is reached on: the one with the longest prefix that holds it. */
function nextHopPort(address: Address, own: readonly OwnAddress[]): CubePort | undefined {
  let best: OwnAddress | undefined;
  for (const candidate of own) {
    if (contains(candidate.prefix, address) && candidate.prefix.length > (best?.prefix.length ?? -1))
      best = candidate;
  }
  return best?.port;
}

export function desired(
  cube: CubeInput<Router>,
  node: Pick<NodeInput, 'overlayVni' | 'directNetworks'>,
): Desired {
  const { spec, ports } = cube;
  const { own, problems } = ownAddresses(ports);
  const byName = new Map(ports.map((port) => [port.name, port]));
  const overlay = ports.find(({ endpoint }) => endpoint === 'Overlay');
  const stack = ports.find(({ endpoint }) => endpoint === 'Stack');
  const direct = (node.directNetworks ?? []).flatMap((text) => parsePrefix(text) ?? []);
  const ownNames = new Set(own.map(({ prefix }) => formatAddress(prefix)));

  const mtu = (port: CubePort, route?: number): number =>
    Math.min(port.mtu ?? NO_MTU, spec.mtu ?? NO_MTU, route ?? NO_MTU);
  const unknownPort = (name: string, where: string, field: string): Problem =>
    problem(
      'UnknownPort',
      field,
      `${where}: the router has no port ${name} (it has ${[...byName.keys()].join(', ') || 'none'}); name one of them or link ${name}`,
    );

  function resolve(route: Route, where: string, field: string): RouteRow | Problem {
    const prefix = parsePrefix(route.destination);
    if (!prefix)
      return problem(
        'InvalidRoute',
        `${field}.destination`,
        `${where}: ${route.destination} is no prefix; write it as 10.244.1.0/24`,
      );
    switch (route.type) {
      case 'Blackhole':
      case 'Unreachable':
        return routeRow(prefix, RouteKind[route.type]);
      case 'Port': {
        const port = byName.get(route.port);
        if (!port) return unknownPort(route.port, where, `${field}.port`);
        return routeRow(prefix, RouteKind.Port, { port: port.id, mtu: mtu(port, route.mtu) });
      }
      case 'NextHop': {
        const { address: text, port: name } = route.nextHop;
        const address = parseAddress(text);
        if (!address || address.family !== prefix.family || isNoHost(address)) {
          return problem(
            'InvalidRoute',
            `${field}.nextHop.address`,
            `${where}: ${text} cannot be the next hop for ${route.destination}; give the address of a host of the same family`,
          );
        }
        if (ownNames.has(formatAddress(address))) {
          return problem(
            'InvalidRoute',
            `${field}.nextHop.address`,
            `${where}: the next hop ${text} is the router itself; give the address of the other router`,
          );
        }
        const port = name === undefined ? nextHopPort(address, own) : byName.get(name);
        if (!port && name !== undefined) return unknownPort(name, where, `${field}.nextHop.port`);
        if (!port) {
          return problem(
            'NextHopUnreachable',
            `${field}.nextHop`,
            `${where}: no port has an address in the prefix of the next hop ${text}; name its port, or give a port an address there`,
          );
        }
        return routeRow(prefix, RouteKind.NextHop, {
          port: port.id,
          mtu: mtu(port, route.mtu),
          gateway: formatAddress(address),
        });
      }
      case 'Tunnel': {
        const remote = parseAddress(route.tunnel.remote);
        if (!remote || isNoHost(remote)) {
          return problem(
            'InvalidRoute',
            `${field}.tunnel.remote`,
            `${where}: ${route.tunnel.remote} cannot be the end of a tunnel; give an address of the other node`,
          );
        }
        // the host knows the way to a node on its own link, and routes packets on that come by `stack`
        if (stack && remote.family === prefix.family && direct.some((network) => contains(network, remote)))
          return routeRow(prefix, RouteKind.Port, { port: stack.id, mtu: mtu(stack, route.mtu) });
        if (!overlay) {
          return problem(
            'NoOverlay',
            field,
            `${where}: a Tunnel route needs a port that is linked to the Overlay; add a CubeLink from a port of the router to an endpoint of type Overlay`,
          );
        }
        return routeRow(prefix, RouteKind.Tunnel, {
          port: overlay.id,
          mtu: mtu(overlay, route.mtu),
          vni: route.tunnel.vni ?? node.overlayVni,
          gateway: formatAddress(remote),
        });
      }
    }
  }

  const routes = new Map<string, RouteRow>();
  for (const { port, prefix } of own) {
    if (isLinkLocal(prefix)) continue; // each link has its own fe80::/64; it is never forwarded to
    const connected = routeRow(prefix, RouteKind.Port, {
      flags: CONNECTED | (prefix.family === 6 ? IS_V6 : 0),
      port: port.id,
      mtu: mtu(port),
    });
    // the same prefix on two ports: the one with the lower number has it, as the order of names decides elsewhere too
    if (!routes.has(prefixName(connected))) routes.set(prefixName(connected), connected);
  }

  const resolves = resolving(cube);
  problems.push(...resolves.problems);
  const delivery = new Map<string, number>();
  const statics = new Map<string, number>();
  spec.routes.forEach((route, i) => {
    const field = `spec.router.routes[${i}]`;
    const resolved = resolve(route, `route ${i} to ${route.destination}`, field);
    if (isProblem(resolved)) {
      problems.push(resolved);
      return;
    }
    const name = prefixName(resolved);
    const first = statics.get(name);
    if (first !== undefined) {
      problems.push(
        problem(
          'DuplicateRoute',
          `${field}.destination`,
          `routes ${first} and ${i} are both for ${route.destination}; remove one`,
        ),
      );
      return;
    }
    statics.set(name, i);
    // a host that shares an address of the router: no route, but where packets for the address end
    if (resolved.length === 128 && ownNames.has(resolved.addr) && resolved.kind === RouteKind.Port) {
      const port = resolves.ports.find(({ id }) => id === resolved.port);
      if (port !== undefined) problems.push(sharedAddress(port.name, route.destination, field));
      delivery.set(resolved.addr, resolved.port);
    } else if (!routes.has(name)) {
      routes.set(name, resolved);
    }
  });
  if (routes.size > spec.maxRoutes) {
    problems.push(
      problem(
        'TooManyRoutes',
        'spec.router.maxRoutes',
        `the addresses and routes of the spec make ${routes.size} routes, but maxRoutes is ${spec.maxRoutes}; raise it`,
      ),
    );
  }

  function hostRoute(text: string): RouteRow | undefined {
    const address = parseAddress(text);
    if (stack === undefined || !address || isNoHost(address) || isLinkLocal(address) || ownNames.has(text))
      return undefined;
    const length = address.family === 4 ? 32 : 128;
    const wanted = routeRow({ ...address, length }, RouteKind.Port, { port: stack.id, mtu: mtu(stack) });
    const longest = [...routes.values()]
      .filter(({ addr, length: bits, flags }) => {
        const prefix = parseAddress(addr);
        const isOther = (flags & IS_V6) === 0 ? address.family === 6 : address.family === 4;
        if (prefix === undefined || isOther) return false;
        return contains({ ...prefix, length: address.family === 4 ? bits - 96 : bits }, address);
      })
      .sort((a, b) => b.length - a.length)[0];
    const isThere = longest?.kind === RouteKind.Port && longest.port === stack.id;
    return isThere || longest?.length === 128 ? undefined : wanted;
  }

  return {
    own: own.map(({ port, prefix }) => {
      const addr = formatAddress(prefix);
      return { addr, port: port.id, delivery: delivery.get(addr) ?? stack?.id ?? NO_DELIVERY };
    }),
    ports: portRows(ports, own),
    routes: [...routes.values()],
    resolving: resolves,
    problems,
    resolve,
    hostRoute,
  };
}

/** The router would have to ask for its own address. */
function sharedAddress(port: string, destination: string, field: string): Problem {
  return problem(
    'InvalidNeighbour',
    field,
    `the host with the address ${destination} of the router is on port ${port} of neighbours.ports, where nobody could tell the two apart; give the host an address of its own`,
  );
}

/** Errors come from the first address of the port that the packet came in by, else from the router's first one. */
function portRows(ports: readonly CubePort[], own: readonly OwnAddress[]): PortRow[] {
  const first = (family: 4 | 6, port?: CubePort): string | undefined => {
    const found = own.find(
      (o) => o.prefix.family === family && (!port || o.port === port) && !isLinkLocal(o.prefix),
    );
    return found && formatAddress(found.prefix);
  };
  return ports.map((port) => ({
    port: port.id,
    sourceV4: first(4, port) ?? first(4) ?? NO_ADDRESS,
    sourceV6: first(6, port) ?? first(6) ?? NO_ADDRESS,
  }));
}
