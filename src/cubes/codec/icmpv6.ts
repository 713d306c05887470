// SPDX-License-Identifier: Apache-2.0
/** What messages of ICMPv6 have in common. Pure. */

const IPV6 = 40;
const ICMPV6 = 58;

/** Sum of an ICMPv6 message and its pseudo header, not complemented: 0xffff over a message with a right checksum. */
export function icmpv6Sum(frame: Uint8Array, l3: number, length: number): number {
  let sum = length + ICMPV6;
  for (let i = l3 + 8; i < l3 + IPV6 + length; i += 2)
    sum += ((frame[i] ?? 0) << 8) | (i + 1 < l3 + IPV6 + length ? (frame[i + 1] ?? 0) : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The group that all listen to who may have the address, both in 16 bytes (RFC 4291 2.7.1). */
export function solicitedNode(address: Uint8Array): Uint8Array {
  return Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...address.subarray(13));
}
