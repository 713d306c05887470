// SPDX-License-Identifier: Apache-2.0

/**
 * Prefixes as `struct prefix_key` of bpf/include/maps.h holds them: length of the 128-bit form (an IPv4 /24 is 120) as a
 * little-endian u32, then the address. Made for lists of a million lines.
 */
import { getAddress, isMappedV4, putAddress } from './address.ts';

/** Bytes of a key. */
export const PREFIX_SIZE = 20;
export const FULL_LENGTH = 128;

const SLASH = 47;

/** Reads the digits from `at` to the end of `text`; -1 when they are no number of at most three digits. */
function lengthAt(text: string, at: number): number {
  if (at >= text.length || text.length - at > 3) return -1;
  if (text.charCodeAt(at) === 48 && text.length - at > 1) return -1;
  let value = 0;
  for (let i = at; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function hasHostBits(bytes: Uint8Array, at: number, length: number): boolean {
  for (let bit = length; bit < 128; ) {
    const byte = bytes[at + (bit >> 3)] as number;
    if ((bit & 7) === 0) {
      if (byte !== 0) return true;
      bit += 8;
    } else {
      if ((byte & (255 >> (bit & 7))) !== 0) return true;
      bit = (bit | 7) + 1;
    }
  }
  return false;
}

/**
 * Writes 20 bytes: a prefix, or an address without length as the prefix that holds it alone. Returns what is wrong with the
 * text and how to write it; undefined when it is good. The bytes may be half written when it is not.
 */
export function putPrefix(text: string, bytes: Uint8Array, at = 0): string | undefined {
  const colon = text.includes(':');
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) !== SLASH) end--;
  const address = end === 0 ? text : text.slice(0, end - 1);
  const most = colon ? 128 : 32;
  const own = end === 0 ? most : lengthAt(text, end);
  try {
    putAddress(bytes, at + 4, address, 'prefix');
  } catch {
    return `${JSON.stringify(text)} is no prefix: write it like 198.51.100.0/24, 2001:db8::/32 or 198.51.100.7`;
  }
  if (own < 0 || own > most)
    return `${JSON.stringify(text)} has no prefix length from 0 to ${most}: write it like ${colon ? '2001:db8::/32' : '198.51.100.0/24'}`;
  if (colon && isMappedV4(bytes, at + 4))
    return `${JSON.stringify(text)} is an IPv4 address in IPv6 form: write it as IPv4`;
  const length = own + (colon ? 0 : 96);
  if (hasHostBits(bytes, at + 4, length))
    return `${JSON.stringify(text)} has bits set to the right of the prefix length: write the network address`;
  bytes[at] = length;
  bytes[at + 1] = 0;
  bytes[at + 2] = 0;
  bytes[at + 3] = 0;
  return undefined;
}

/** Text of the 20 bytes, as `198.51.100.0/24`. */
export function prefixText(bytes: Uint8Array, at = 0): string {
  const length = (bytes[at] as number) - (isMappedV4(bytes, at + 4) ? 96 : 0);
  return `${getAddress(bytes, at + 4)}/${length}`;
}

/** Calls `each` with every prefix of a list: one a line, `#` begins a comment. Lines count from 1. */
export function eachPrefix(list: string, each: (prefix: string, line: number) => void): void {
  let line = 0;
  for (let start = 0; start < list.length; ) {
    line++;
    let end = list.indexOf('\n', start);
    if (end < 0) end = list.length;
    const text = list.slice(start, end);
    const comment = text.indexOf('#');
    const prefix = (comment < 0 ? text : text.slice(0, comment)).trim();
    if (prefix !== '') each(prefix, line);
    start = end + 1;
  }
}
