// SPDX-License-Identifier: Apache-2.0

/**
 * Spreads elements over a power of two of slices by a hash of their key. History does not matter, so a restarted operator
 * finds the slices it made before, and an element that comes or goes changes one slice.
 *
 * @param bounds.most elements a slice can hold; up to that many are one slice.
 * @param bounds.target elements for which slices are sized, so that hashing overfills one only rarely.
 */
export function spread<T>(
  elements: readonly T[],
  keyOf: (element: T) => string,
  bounds: { most: number; target: number },
): T[][] {
  const { most, target } = bounds;
  if (elements.length <= most) return [[...elements]];
  let count = 2 ** Math.ceil(Math.log2(elements.length / target));
  for (;;) {
    const parts: T[][] = Array.from({ length: count }, () => []);
    for (const element of elements) parts[fnv1a(keyOf(element)) & (count - 1)]?.push(element);
    if (parts.every((part) => part.length <= most) || count >= MOST_SLICES) {
      return parts.map((part) => part.slice(0, most));
    }
    count *= 2;
  }
}

/** A power of two below the schema's bound of 10 000 slices; 8 192 slices hold half a million backends. */
const MOST_SLICES = 8192;

/** FNV-1a, 32 bits, over UTF-16 units; addresses and port names are ASCII. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  // FNV's low bits are weak for texts that differ in the last character only.
  return (hash ^ (hash >>> 15)) >>> 0;
}
