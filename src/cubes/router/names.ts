// SPDX-License-Identifier: Apache-2.0
/** Names for people of what the router decides by. */
import { formatAddress, masked, parseAddress } from '../../api/ip.ts';
import type { CubePort } from '../cube-type.ts';
import { CONNECTED, prefixName, RouteKind, type RouteRow, routeName } from './route-row.ts';
import { HOST, isDerived, type RouteSet, SPEC } from './route-set.ts';

/** The longest prefix that holds the address and is not longer than `longest` of 128 bits, as the program finds it. */
export function matchOf(routes: RouteSet, destination: string, longest: number): RouteRow | undefined {
  const address = parseAddress(destination);
  if (address === undefined) return undefined;
  const bits = address.family === 4 ? 96 : 0;
  for (let length = longest - bits; length >= 0; length--) {
    const addr = formatAddress(masked({ ...address, length }));
    const row = routes.winner(prefixName({ addr, length: length + bits }));
    if (row !== undefined) return row;
  }
  return undefined;
}

/** `route 10.244.2.0/24 by tunnel to 172.18.0.3, of CubeTable net/node-b`. */
export function routeText(row: RouteRow, routes: RouteSet, ports: readonly CubePort[]): string {
  const port = ports.find(({ id }) => id === row.port)?.name ?? String(row.port);
  const source = routes.sourceOf(prefixName(row));
  const from =
    source === HOST
      ? 'an address of the node'
      : isDerived(source)
        ? 'the other end of tunnels'
        : source === undefined || source === SPEC
          ? 'of the spec'
          : `of CubeTable ${source}`;
  return `route ${routeName(row)} ${way(row, port)}, ${row.flags & CONNECTED ? 'connected' : from}`;
}

function way({ kind, gateway }: RouteRow, port: string): string {
  if (kind === RouteKind.NextHop) return `via ${gateway} on port ${port}`;
  if (kind === RouteKind.Tunnel || kind === RouteKind.Return)
    return `by tunnel to ${gateway} on port ${port}`;
  if (kind === RouteKind.Port) return `on port ${port}`;
  return kind === RouteKind.Blackhole ? 'into a black hole' : 'that says unreachable';
}
