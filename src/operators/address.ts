// SPDX-License-Identifier: Apache-2.0
import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { formatAddress, formatPrefix, masked, parseAddress, parsePrefix } from '../api/ip.ts';

export type Family = 'IPv4' | 'IPv6';

/** Family of an address or prefix that {@link canonicalAddress} or {@link canonicalPrefix} gave. */
export function familyOf(address: string): Family {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/**
 * One spelling for each address (RFC 5952 for IPv6), or undefined for what is none. Zones, leading zeros and
 * IPv4-mapped IPv6 are refused, as the API server's `isIP` does.
 */
export function canonicalAddress(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  // Most addresses by far, and the strict reader has only one spelling for them.
  if (isIPv4(text)) return text;
  const parsed = parseAddress(text);
  return parsed === undefined ? undefined : formatAddress(parsed);
}

/** The prefix in one spelling and with its host bits cleared, or undefined for what is none. */
export function canonicalPrefix(text: unknown): string | undefined {
  const parsed = typeof text === 'string' ? parsePrefix(text) : undefined;
  return parsed === undefined ? undefined : formatPrefix(masked(parsed));
}

/** Why an address cannot belong to a server or service, or undefined when it can. */
export function unusable(address: string): string | undefined {
  const range = ipaddr.parse(address).range();
  const named: Partial<Record<string, string>> = {
    unspecified: 'the unspecified address',
    loopback: 'a loopback address, which means another host on each node',
    multicast: 'a multicast address',
    linkLocal: 'a link-local address, which routers do not forward',
    broadcast: 'the broadcast address',
  };
  return named[range];
}
