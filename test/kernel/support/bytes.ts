// SPDX-License-Identifier: Apache-2.0
/** Addresses and checksums of packets, written without a look at the C code that they test. */
import ipaddr from 'ipaddr.js';

export const GATEWAY_MAC = '02:c0:be:00:00:01';
export const POD_MAC = '02:00:00:00:0a:0a';

export function isV6(address: string): boolean {
  return address.includes(':');
}

/** `of`, remembered: random packets share few addresses, and parsing one takes longer than sending its packet. */
function remembered<Value>(of: (key: string) => Value): (key: string) => Value {
  const known = new Map<string, Value>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    if (known.size >= 65_536) known.clear();
    const value = of(key);
    known.set(key, value);
    return value;
  };
}

const parsed = remembered((address) => Buffer.from(ipaddr.parse(address).toByteArray()));
const mapped = remembered((address) => {
  const bytes = parsed(address);
  return bytes.length === 16 ? bytes : Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), bytes]);
});
const text = remembered((latin1) => {
  const bytes = Buffer.from(latin1, 'latin1');
  const v4 = bytes.length === 16 && latin1.startsWith(V4_MAPPED);
  return ipaddr.fromByteArray([...(v4 ? bytes.subarray(12) : bytes)]).toString();
});
const V4_MAPPED = `${'\0'.repeat(10)}\xff\xff`;

/** 4 or 16 bytes. */
export function ipBytes(address: string): Buffer {
  return Buffer.from(parsed(address));
}

/** 16 bytes; IPv4 mapped into ::ffff:0:0/96, as maps hold it. */
export function mappedBytes(address: string): Buffer {
  return Buffer.from(mapped(address));
}

/** The text form that the builders take; mapped addresses become IPv4. */
export function ipText(bytes: Uint8Array): string {
  return text(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'));
}

export function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function macText(bytes: Uint8Array): string {
  return (Buffer.from(bytes).toString('hex').match(/../g) ?? []).join(':');
}

/** Sum of 16-bit words in one's complement (RFC 1071), not inverted; an odd last byte is the high half of a word. */
export function onesSum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The Internet checksum of the parts. */
export function checksum(...parts: Uint8Array[]): number {
  return ~onesSum(...parts) & 0xffff;
}

/** Pseudo header (RFC 768, RFC 9293 3.1; RFC 8200 8.1). */
export function pseudoHeader(src: string, dst: string, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(isV6(src) ? 8 : 4);
  if (isV6(src)) {
    tail.writeUInt32BE(length, 0);
    tail[7] = protocol;
  } else {
    tail[1] = protocol;
    tail.writeUInt16BE(length, 2);
  }
  return Buffer.concat([ipBytes(src), ipBytes(dst), tail]);
}

const CRC32C = new Uint32Array(256).map((_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC32c (RFC 9260 appendix A), as the number that stands in the packet in little-endian order. */
export function crc32c(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = (CRC32C[(c ^ byte) & 0xff] ?? 0) ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
