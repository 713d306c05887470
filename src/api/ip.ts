// SPDX-License-Identifier: Apache-2.0
/** Addresses and prefixes as text, read as strictly as the API server's CEL functions isIP and isCIDR do. */
import { isIP as syntaxOf } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Family = 4 | 6;

/** An address as a number; family 4 below 2^32, family 6 below 2^128. */
export interface Address {
  family: Family;
  value: bigint;
}

export interface Prefix extends Address {
  /** 0–32 or 0–128. */
  length: number;
}

/** How long an address is. */
export const addressBits = (family: Family): number => (family === 4 ? 32 : 128);

/** Reads an address; undefined for anything that isIP refuses: zones, leading zeros, IPv4-mapped IPv6. */
export function parseAddress(text: string): Address | undefined {
  const family = syntaxOf(text);
  if (family === 0 || text.includes('%')) return undefined;
  const parsed = ipaddr.parse(text);
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()) return undefined;
  const value = parsed.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return { family: family as Family, value };
}

/** Reads an address with its prefix length; undefined for anything that isCIDR refuses. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match?.[1] === undefined ? undefined : parseAddress(match[1]);
  const length = Number(match?.[2]);
  if (!address || length > addressBits(address.family)) return undefined;
  return { ...address, length };
}

/** RFC 5952 for IPv6. */
export function formatAddress({ family, value }: Address): string {
  const bytes: number[] = [];
  for (let shift = addressBits(family) - 8; shift >= 0; shift -= 8)
    bytes.push(Number((value >> BigInt(shift)) & 0xffn));
  const address = ipaddr.fromByteArray(bytes);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/** The address alone, as a prefix. */
export function hostPrefix({ family, value }: Address): Prefix {
  return { family, value, length: addressBits(family) };
}

/** Bits to the right of the prefix length. */
export function hostMask({ family, length }: Prefix): bigint {
  return (1n << BigInt(addressBits(family) - length)) - 1n;
}

/** The prefix without host bits. */
export function masked(prefix: Prefix): Prefix {
  return { ...prefix, value: prefix.value & ~hostMask(prefix) };
}

export function contains(prefix: Prefix, address: Address): boolean {
  return prefix.family === address.family && (address.value & ~hostMask(prefix)) === masked(prefix).value;
}

/** Whether all addresses of `narrow` are in `wide`. */
export function covers(wide: Prefix, narrow: Prefix): boolean {
  return wide.length <= narrow.length && contains(wide, narrow);
}
