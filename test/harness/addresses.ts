// SPDX-License-Identifier: Apache-2.0
import ipaddr from 'ipaddr.js';

/**
 * The `number`-th address of a prefix, with the prefix's length: `('10.244.1.0/24', 2)` is `10.244.1.2/24`.
 *
 * @throws Error when the prefix is no CIDR or has no such address.
 */
export function hostAddress(cidr: string, number: number): string {
  const [prefix, length] = ipaddr.parseCIDR(cidr);
  const bytes = prefix.toByteArray();
  const bits = bytes.length * 8;
  if (number < 0 || number >= 2 ** Math.min(bits - length, 32))
    throw new Error(`${cidr} has no address number ${number}`);
  let carry = number;
  for (let index = bytes.length - 1; index >= 0 && carry > 0; index -= 1) {
    carry += bytes[index] ?? 0;
    bytes[index] = carry % 256;
    carry = Math.floor(carry / 256);
  }
  return `${ipaddr.fromByteArray(bytes)}/${length}`;
}

/** An address without its prefix length. */
export function withoutLength(address: string): string {
  return address.replace(/\/\d+$/, '');
}
