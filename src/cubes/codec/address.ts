// SPDX-License-Identifier: Apache-2.0

/**
 * Addresses as maps hold them: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). As text, IPv4 is
 * dotted and IPv6 canonical (RFC 5952). Own code because hundreds of thousands of rows go through it at a start.
 */

const COLON = 58;
const DOT = 46;

function refuse(text: string, field: string): never {
  throw new TypeError(`${field}: ${JSON.stringify(text)} is no IP address`);
}

/** Reads dotted decimal from `start` to the end of `text`; no leading zeros. Returns -1 when it is none. */
function putDotted(text: string, start: number, bytes: Uint8Array, at: number): number {
  let octet = -1;
  let count = 0;
  for (let i = start; i <= text.length; i++) {
    const char = i === text.length ? DOT : text.charCodeAt(i);
    if (char === DOT) {
      if (octet < 0 || count === 4) return -1;
      bytes[at + count++] = octet;
      octet = -1;
    } else if (char >= 48 && char <= 57 && octet !== 0) {
      octet = (octet < 0 ? 0 : octet * 10) + char - 48;
      if (octet > 255) return -1;
    } else {
      return -1;
    }
  }
  return count === 4 ? 4 : -1;
}

function hexDigit(char: number): number {
  if (char >= 48 && char <= 57) return char - 48;
  const lower = char | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** Returns false when `text` is no IPv6 address; `bytes` may be half written then. */
function putColons(text: string, bytes: Uint8Array, at: number): boolean {
  let length = 0; // bytes written
  let gap = -1; // where '::' stood
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    i = 2;
  }
  while (i < text.length) {
    if (length > 14) return false;
    let group = 0;
    let digits = 0;
    let end = i;
    for (; end < text.length; end++) {
      const digit = hexDigit(text.charCodeAt(end));
      if (digit < 0) break;
      group = group * 16 + digit;
      digits++;
    }
    const stop = text.charCodeAt(end); // NaN at the end
    if (stop === DOT) {
      if (length > 12 || putDotted(text, i, bytes, at + length) < 0) return false;
      length += 4;
      i = text.length;
      break;
    }
    if (digits === 0 || digits > 4) return false;
    bytes[at + length] = group >> 8;
    bytes[at + length + 1] = group & 255;
    length += 2;
    i = end;
    if (i === text.length) break;
    if (stop !== COLON) return false;
    i++;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return false;
      gap = length;
      i++;
    } else if (i === text.length) {
      return false;
    }
  }
  if (gap < 0) return length === 16;
  if (length > 14) return false;
  bytes.copyWithin(at + 16 - (length - gap), at + gap, at + length);
  bytes.fill(0, at + gap, at + 16 - (length - gap));
  return true;
}

/** Writes 16 bytes. Takes text of either family or the 16 bytes themselves; throws TypeError naming `field`. */
export function putAddress(bytes: Uint8Array, at: number, value: string | Uint8Array, field: string): void {
  if (typeof value !== 'string') {
    if (value.length !== 16) throw new TypeError(`${field}: an address has 16 bytes, not ${value.length}`);
    bytes.set(value, at);
    return;
  }
  if (value.includes(':')) {
    if (!putColons(value, bytes, at)) refuse(value, field);
    return;
  }
  bytes.fill(0, at, at + 10);
  bytes[at + 10] = 255;
  bytes[at + 11] = 255;
  if (putDotted(value, 0, bytes, at + 12) < 0) refuse(value, field);
}

/** Whether the 16 bytes at `at` are an IPv4 address. */
export function isMappedV4(bytes: Uint8Array, at = 0): boolean {
  if (bytes[at + 10] !== 255 || bytes[at + 11] !== 255) return false;
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

/** Canonical text of the 16 bytes at `at`. */
export function getAddress(bytes: Uint8Array, at = 0): string {
  if (isMappedV4(bytes, at)) {
    return `${bytes[at + 12]}.${bytes[at + 13]}.${bytes[at + 14]}.${bytes[at + 15]}`;
  }
  // The longest run of two or more zero groups, the first of equals (RFC 5952 4.2).
  let best = -1;
  let bestLength = 1;
  let run = 0;
  for (let group = 0; group < 8; group++) {
    run = bytes[at + 2 * group] === 0 && bytes[at + 2 * group + 1] === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = group - run + 1;
    }
  }
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === best) {
      text += '::';
      group += bestLength - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += (((bytes[at + 2 * group] ?? 0) << 8) | (bytes[at + 2 * group + 1] ?? 0)).toString(16);
  }
  return text;
}

/** The 16 bytes of an address in text form. Throws TypeError naming `field`. */
export function addressBytes(text: string, field = 'address'): Uint8Array {
  const bytes = new Uint8Array(16);
  putAddress(bytes, 0, text, field);
  return bytes;
}
