// SPDX-License-Identifier: Apache-2.0
/** Ranges of addresses for pods, and which address the next one gets. Pure. */
import {
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  hostMask,
  masked,
  parseAddress,
  parsePrefix,
} from '../../api/ip.ts';
import { fictitiousPod, gateway } from '../../api/variables.ts';

export interface AddressRange {
  readonly family: Family;
  /** Canonical: `10.244.1.0/24`. */
  readonly subnet: string;
  /** Without prefix length. */
  readonly gateway: string;
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly field: string; readonly message: string; readonly remedy: string };

/** A range; its gateway is the first host unless another one is named, as `$(node.podCIDRs.ipv4.gateway)` is. */
export function rangeOf(subnet: string, gatewayAddress?: unknown): Checked<AddressRange> {
  const prefix = parsePrefix(subnet);
  if (prefix === undefined || hostMask(prefix) < 3n) {
    const why = prefix === undefined ? 'not a prefix' : 'no room for a gateway and pods';
    return {
      ok: false,
      field: 'subnet',
      message: `${subnet}: ${why}`,
      remedy: 'write it like 10.244.1.0/24',
    };
  }
  const name = formatPrefix(masked(prefix));
  const range = { family: prefix.family, subnet: name, gateway: gateway(name).replace(/\/\d+$/, '') };
  if (gatewayAddress === undefined) return { ok: true, value: range };
  const parsed = typeof gatewayAddress === 'string' ? parseAddress(gatewayAddress) : undefined;
  if (parsed === undefined || !contains(prefix, parsed))
    return {
      ok: false,
      field: 'gateway',
      message: `${JSON.stringify(gatewayAddress)} is no address in ${name}`,
      remedy: 'give the address of the router’s port, or leave it out',
    };
  return { ok: true, value: { ...range, gateway: formatAddress(parsed) } };
}

/** A released address rests for so long, lest packets and sessions of its old pod meet the new one. */
export const REST_MS = 5000;
/** After so long it is as good as any other. */
export const FORGET_MS = 600_000;

export interface Pool {
  readonly range: AddressRange;
  /** Addresses of pods and of cubes' ports. */
  readonly taken: ReadonlySet<string>;
  /** Address → when it was released, in ms of the wall clock. */
  readonly released: ReadonlyMap<string, number>;
  /** The address given last: the search goes on behind it. */
  readonly last: string | undefined;
}

export type Pick =
  | { readonly ok: true; readonly address: string }
  | { readonly ok: false; readonly why: 'Exhausted' | 'Resting'; readonly message: string };

/**
 * The next address of a range: behind the last one, round and round, those that were released lately after all others,
 * the longest rested first. Never the network's own (for IPv6 the subnet-router anycast address, RFC 4291 2.6.1), the
 * broadcast address, the gateway or the fictitious pod.
 */
export function pickAddress({ range, taken, released, last }: Pool, now: number): Pick {
  const prefix = parsePrefix(range.subnet);
  if (prefix === undefined) throw new Error(`${range.subnet} is no range`);
  const first = prefix.value + 1n;
  const size = hostMask(prefix) - (prefix.family === 4 ? 1n : 0n);
  const reserved = new Set([range.gateway, fictitiousPod(range.subnet)]);
  const isUsed = (address: string) => reserved.has(address) || taken.has(address);
  const before = last === undefined ? undefined : parseAddress(last);
  const start = before !== undefined && contains(prefix, before) ? before.value - first + 1n : 0n;
  // Among that many different addresses one is free if any is.
  const most = BigInt(taken.size + released.size + reserved.size + 1);
  for (let i = 0n; i < (most < size ? most : size); i++) {
    const address = formatAddress({ family: prefix.family, value: first + ((start + i) % size) });
    if (!isUsed(address) && !released.has(address)) return { ok: true, address };
  }
  const rest = [...released]
    .filter(([address]) => !isUsed(address) && isInside(range, address))
    .sort(([, a], [, b]) => a - b);
  // A clock that was set back makes no address rest for ever.
  const rested = rest.find(([, at]) => now - at >= REST_MS || at > now);
  if (rested !== undefined) return { ok: true, address: rested[0] };
  if (rest.length > 0)
    return {
      ok: false,
      why: 'Resting',
      message: `range ${range.subnet}: the ${rest.length} free addresses were released less than ${REST_MS / 1000} s ago`,
    };
  return { ok: false, why: 'Exhausted', message: `range ${range.subnet}: no address is free` };
}

export function isInside(range: AddressRange, text: string): boolean {
  const [prefix, address] = [parsePrefix(range.subnet), parseAddress(text)];
  if (prefix === undefined || address === undefined || !contains(prefix, address)) return false;
  const host = address.value & hostMask(prefix);
  return host !== 0n && !(prefix.family === 4 && host === hostMask(prefix));
}
