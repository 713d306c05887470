// SPDX-License-Identifier: Apache-2.0
/** One address dimension of one direction: for every prefix that rules name, the rules that it fulfils. */
import type { Family, Prefix } from '../../api/ip.ts';
import { type Bitmaps, setBit, WORDS } from './bitmaps.ts';

export interface AddressRow {
  /** Bits that count, of 128. */
  readonly length: number;
  /** Of 128 bits; IPv4 mapped. */
  readonly value: bigint;
  readonly bitmap: number;
}

const MAPPED = 0xffffn << 32n;

interface Node {
  readonly prefix: Prefix;
  readonly rules: number[];
  bits: Uint32Array;
}

const nameOf = (family: Family, length: number, value: bigint): string => `${family}/${length}/${value}`;

/** `lists`: the prefixes of each rule in order; an empty list stands for all addresses of both families. */
export function addressRows(lists: readonly (readonly Prefix[])[], bitmaps: Bitmaps): AddressRow[] {
  const all = new Uint32Array(WORDS);
  const nodes = new Map<string, Node>();
  const nodeOf = (prefix: Prefix): Node => {
    const name = nameOf(prefix.family, prefix.length, prefix.value);
    let node = nodes.get(name);
    if (!node) {
      node = { prefix, rules: [], bits: all };
      nodes.set(name, node);
    }
    return node;
  };
  // Both roots are always there: no IPv4 address may fall through to ::/0.
  const roots = {
    4: nodeOf({ family: 4, value: 0n, length: 0 }),
    6: nodeOf({ family: 6, value: 0n, length: 0 }),
  };
  lists.forEach((list, rule) => {
    if (list.length === 0) setBit(all, rule);
    for (const prefix of list) nodeOf(prefix).rules.push(rule);
  });
  const lengths = { 4: lengthsOf(nodes, 4), 6: lengthsOf(nodes, 6) };
  const ordered = [...nodes.values()].sort((a, b) => a.prefix.length - b.prefix.length);
  return ordered.map((node) => {
    const { family, length, value } = node.prefix;
    const width = family === 4 ? 32 : 128;
    let parent: Uint32Array = node === roots[family] ? all : roots[family].bits;
    for (const shorter of lengths[family]) {
      if (shorter >= length) continue;
      const shift = BigInt(width - shorter);
      const found = nodes.get(nameOf(family, shorter, (value >> shift) << shift));
      if (!found) continue;
      parent = found.bits;
      break;
    }
    node.bits = parent;
    if (node.rules.length > 0) {
      node.bits = parent.slice();
      for (const rule of node.rules) setBit(node.bits, rule);
    }
    return {
      length: family === 4 ? length + 96 : length,
      value: family === 4 ? value | MAPPED : value,
      bitmap: bitmaps.intern(node.bits),
    };
  });
}

/** Longest first. */
function lengthsOf(nodes: ReadonlyMap<string, Node>, family: Family): number[] {
  const lengths = new Set<number>();
  for (const { prefix } of nodes.values()) if (prefix.family === family) lengths.add(prefix.length);
  return [...lengths].sort((a, b) => b - a);
}
