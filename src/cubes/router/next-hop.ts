// SPDX-License-Identifier: Apache-2.0
import { formatAddress, masked, parseAddress } from '../../api/ip.ts';
import { getAddress } from '../codec/address.ts';
import { prefixName, RouteKind } from './route-row.ts';
import type { RouteSet } from './route-set.ts';

interface NextHop {
  readonly port: number;
  readonly address: string;
}

const DIRECT = 255;

/** What next_hop_word() of bpf/router/resolve.h says of a packet for `destination`. Undefined: that route is gone, or leads elsewhere. */
export function nextHopOf(word: bigint, destination: string, routes: RouteSet): NextHop | undefined {
  const port = Number(word & 0xffn);
  const length = Number((word >> 8n) & 0xffn);
  if (length === DIRECT) return { port, address: destination };
  const address = parseAddress(destination);
  if (address === undefined) return undefined;
  const prefix = masked({ ...address, length: address.family === 4 ? length - 96 : length });
  const route = routes.winner(prefixName({ addr: formatAddress(prefix), length }));
  if (route?.port !== port) return undefined;
  if (route.kind === RouteKind.NextHop) return { port, address: route.gateway };
  return route.kind === RouteKind.Port ? { port, address: destination } : undefined;
}

/** Where an IP packet is sent to, by its own header. */
export function destinationOf(frame: Uint8Array, l3: number): string | undefined {
  const isV6 = (frame[l3] ?? 0) >> 4 === 6;
  if (frame.length < l3 + (isV6 ? 40 : 20)) return undefined;
  return isV6 ? getAddress(frame, l3 + 24) : frame.subarray(l3 + 16, l3 + 20).join('.');
}
