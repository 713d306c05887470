// SPDX-License-Identifier: Apache-2.0
import { addressBytes } from '../codec/address.ts';

/**
 * The `own_filter` of bpf/router/router.h: 256 bits, one set by the hash of each address. The hash must be that of
 * own_maybe() there: the four words of the address, as the machine reads them, mixed into the upper 8 bits.
 */
export function ownFilter(addresses: readonly string[]): number[] {
  const words = new Array<number>(8).fill(0);
  for (const address of addresses) {
    const bytes = addressBytes(address);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const mixed =
      view.getUint32(0, true) ^ view.getUint32(4, true) ^ view.getUint32(8, true) ^ view.getUint32(12, true);
    const hash = Math.imul(mixed, 0x9e3779b1) >>> 0;
    const word = hash >>> 29;
    words[word] = ((words[word] ?? 0) | (1 << ((hash >>> 24) & 31))) >>> 0;
  }
  return words;
}
