// SPDX-License-Identifier: Apache-2.0

/** Lengths that are tried in routes_hash, in each family (HASHED_LENGTHS of bpf/router/router.h). */
export const HASHED_LENGTHS = 4;

export type RouteFamily = 0 | 1;

/** Family of a row: 0 IPv4, 1 IPv6. */
export function familyOf(addr: string): RouteFamily {
  return addr.includes(':') ? 1 : 0;
}

/** How many prefixes of each length (of 128 bits) are in use in each family. */
export class Lengths {
  readonly #counts: [Map<number, number>, Map<number, number>] = [new Map(), new Map()];

  change(family: RouteFamily, length: number, by: 1 | -1): void {
    const counts = this.#counts[family];
    const count = (counts.get(length) ?? 0) + by;
    if (count === 0) counts.delete(length);
    else counts.set(length, count);
  }

  /** The longest lengths in use, longest first: they are looked up by hash, and only shorter ones by the trie. */
  hashed(family: RouteFamily): number[] {
    return [...this.#counts[family].keys()].sort((a, b) => b - a).slice(0, HASHED_LENGTHS);
  }

  /** Whether there are shorter ones. */
  needsTrie(family: RouteFamily): boolean {
    return this.#counts[family].size > HASHED_LENGTHS;
  }
}
