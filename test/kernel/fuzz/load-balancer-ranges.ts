// SPDX-License-Identifier: Apache-2.0
/** Prefixes of clients (RFC 4632, RFC 4291 2.3), each of its own family. */
import { isV6, mappedBytes } from '../support/bytes.ts';

export interface SourceRange {
  readonly v6: boolean;
  /** 16 characters, one a byte. */
  readonly address: string;
  /** Bits of 128. */
  readonly length: number;
}

export function rangeOf(cidr: string): SourceRange {
  const [address = '', length = ''] = cidr.split('/');
  const v6 = isV6(address);
  return { v6, address: mappedBytes(address).toString('latin1'), length: Number(length) + (v6 ? 0 : 96) };
}

/** @param client 16 characters. */
export function isInside(range: SourceRange, client: string, v6: boolean): boolean {
  if (range.v6 !== v6) return false;
  for (let bit = 0; bit < range.length; bit += 8) {
    const different = range.address.charCodeAt(bit >> 3) ^ client.charCodeAt(bit >> 3);
    if (different >> Math.max(0, 8 - (range.length - bit)) !== 0) return false;
  }
  return true;
}
