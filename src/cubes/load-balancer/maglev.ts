// SPDX-License-Identifier: Apache-2.0

/**
 * Maglev's table (Eisenbud et al., NSDI 2016, 3.4): every node that knows the same backends fills the same table, and when
 * one backend goes, little but its own share moves.
 */
import { hashBytes } from '../packed-table.ts';

/**
 * Sizes, all prime, about doubling. A table has at least 100 places a backend, which keeps shares within some per cent of
 * each other. Steps, because another size is another table: with the smallest prime for each number of backends, one more
 * backend would move nearly all clients.
 */
const SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65537];

export function maglevSize(backends: number): number {
  return SIZES.find((size) => size >= backends * 100) ?? 65537;
}

export interface MaglevBackend {
  /** At least 4 bytes, a multiple of 4, that are the same on every node: address and port. */
  readonly identity: Uint8Array;
  /** 1..100 */
  readonly weight: number;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number);
  return 0;
}

/** Index of a backend for each place. `backends` is not empty; their order does not matter. */
export function maglevTable(
  backends: readonly MaglevBackend[],
  size = maglevSize(backends.length),
): Uint32Array {
  const order = backends
    .map((_, index) => index)
    .sort((a, b) => compareBytes(backends[a]?.identity as Uint8Array, backends[b]?.identity as Uint8Array));
  const places = new Float64Array(order.length);
  const skips = new Float64Array(order.length);
  const weights = new Float64Array(order.length);
  const credit = new Float64Array(order.length);
  const seeded = new Uint8Array(4 + (backends[0]?.identity.length ?? 0));
  let most = 1;
  order.forEach((index, i) => {
    const { identity, weight } = backends[index] as MaglevBackend;
    seeded.set(identity, 4);
    seeded[0] = 1;
    places[i] = hashBytes(seeded, 0, seeded.length) % size;
    seeded[0] = 2;
    skips[i] = (hashBytes(seeded, 0, seeded.length) % (size - 1)) + 1;
    weights[i] = weight;
    most = Math.max(most, weight);
  });
  const table = new Uint32Array(size).fill(0xffffffff);
  let filled = 0;
  for (;;) {
    for (let i = 0; i < order.length; i++) {
      // a backend takes a place in weight / most of the rounds
      credit[i] = (credit[i] as number) + (weights[i] as number);
      if ((credit[i] as number) < most) continue;
      credit[i] = (credit[i] as number) - most;
      let place = places[i] as number;
      while (table[place] !== 0xffffffff) place = (place + (skips[i] as number)) % size;
      table[place] = order[i] as number;
      places[i] = (place + (skips[i] as number)) % size;
      if (++filled === size) return table;
    }
  }
}
