// SPDX-License-Identifier: Apache-2.0

/** Rows of routes_hash and routes_lpm. bpf/router/router.h says what the program does with them. */
import { formatAddress, formatPrefix, masked, type Prefix, parseAddress } from '../../api/ip.ts';

export const RouteKind = {
  Port: 1,
  NextHop: 2,
  Tunnel: 3,
  Blackhole: 4,
  Unreachable: 5,
  /** The other end of tunnels: by it go answers to what that node has asked by its tunnel, from its own address. */
  Return: 6,
} as const;
export const CONNECTED = 1;
/** An IPv6 prefix: `::/0` holds the mapped IPv4 addresses too, which it must not route. */
export const IS_V6 = 2;
/** A route without a limit of its own. */
export const NO_MTU = 0xffffffff;
/** Sixteen zero bytes: no address. */
export const NO_ADDRESS = '::';

/** A row of routes_hash or routes_lpm. */
export interface RouteRow {
  /** Of 128 bits: an IPv4 /24 is 120. */
  readonly length: number;
  readonly addr: string;
  readonly kind: number;
  readonly flags: number;
  readonly port: number;
  readonly mtu: number;
  readonly vni: number;
  readonly gateway: string;
}

/** Identity of a row's prefix. */
export function prefixName({ addr, length }: Pick<RouteRow, 'addr' | 'length'>): string {
  return `${addr}/${length}`;
}

/** Of 128 bits. */
function mappedLength({ family, length }: Prefix): number {
  return family === 4 ? length + 96 : length;
}

export function routeRow(prefix: Prefix, kind: number, rest: Partial<RouteRow> = {}): RouteRow {
  return {
    length: mappedLength(prefix),
    addr: formatAddress(masked(prefix)),
    kind,
    flags: prefix.family === 6 ? IS_V6 : 0,
    port: 0,
    mtu: NO_MTU,
    vni: 0,
    gateway: NO_ADDRESS,
    ...rest,
  };
}

/** The row for the other end of the tunnel that the route is; undefined: it is none. */
export function returnRow({ kind, port, mtu, vni, gateway }: RouteRow): RouteRow | undefined {
  const remote = parseAddress(gateway);
  if (kind !== RouteKind.Tunnel || remote === undefined) return undefined;
  const prefix = { ...remote, length: remote.family === 4 ? 32 : 128 };
  return routeRow(prefix, RouteKind.Return, { port, mtu, vni, gateway });
}

/** For messages. */
export function routeName({ addr, length }: RouteRow): string {
  const address = parseAddress(addr);
  if (!address) return `${addr}/${length}`;
  return formatPrefix({ ...address, length: address.family === 4 ? length - 96 : length });
}
