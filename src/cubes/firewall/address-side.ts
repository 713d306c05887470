// SPDX-License-Identifier: Apache-2.0

/**
 * One address dimension of one direction: for every prefix that rules name, the rules that it fulfils; and markers, by
 * which a search that halves the lengths finds the longest prefix (bpf/firewall/classify.h, find_address).
 */
import type { Family } from '../../api/ip.ts';
import { type Bitmaps, clearBit, setBit, WORDS } from './bitmaps.ts';
import type { RulePrefix } from './rule-meaning.ts';

export interface AddressRow {
  /** Bits that count, of 128. */
  readonly length: number;
  /** Of 128 bits; IPv4 mapped. */
  readonly value: bigint;
  readonly bitmap: number;
}

export interface FamilyRows {
  /** Bitmap of addresses that no prefix holds. */
  readonly all: number;
  /** Of 128, ascending. */
  readonly lengths: readonly number[];
  readonly rows: readonly AddressRow[];
}

const MAPPED = 0xffffn << 32n;

interface Node {
  readonly length: number;
  readonly value: bigint;
  readonly rules: number[];
  /** Rules that end here, though a shorter prefix fulfils them. */
  readonly holes: number[];
}

/** `lists`: the prefixes of each rule in order; an empty list stands for all addresses of both families. */
export function familyRows(
  family: Family,
  lists: readonly (readonly RulePrefix[])[],
  bitmaps: Bitmaps,
): FamilyRows {
  const width = family === 4 ? 32 : 128;
  const all = new Uint32Array(WORDS);
  /** By length, then by the prefix's own bits. */
  const levels = new Map<number, Map<bigint, Node>>();
  lists.forEach((list, rule) => {
    if (list.length === 0) setBit(all, rule);
    for (const { family: of, length, value, isHole } of list) {
      if (of !== family) continue;
      if (length === 0) {
        if (!isHole) setBit(all, rule);
        continue;
      }
      const level = levels.get(length) ?? new Map<bigint, Node>();
      levels.set(length, level);
      const node = level.get(value) ?? { length, value, rules: [], holes: [] };
      level.set(value, node);
      (isHole ? node.holes : node.rules).push(rule);
    }
  });
  const lengths = [...levels.keys()].sort((a, b) => a - b);
  const truncated = (value: bigint, length: number): bigint => {
    const shift = BigInt(width - length);
    return (value >> shift) << shift;
  };

  const found = new Map<number, Map<bigint, number>>();
  /** Bitmaps by the prefixes' rules: those of many addresses are equal, as of pods that are alike. */
  const bitmapsByRules = new Map<string, number>();
  const bits = new Uint32Array(WORDS);
  /** Bitmap of all prefixes around and with this one. */
  const bitmapOf = (value: bigint, length: number): number => {
    const known = found.get(length)?.get(value);
    if (known !== undefined) return known;
    const around = lengths
      .filter((shorter) => shorter <= length)
      .flatMap((shorter) => levels.get(shorter)?.get(truncated(value, shorter)) ?? []);
    const rules = around.map((node) => `${node.holes.join()}/${node.rules.join()}`).join(' ');
    let bitmap = bitmapsByRules.get(rules);
    if (bitmap === undefined) {
      bits.set(all);
      for (const node of around) {
        for (const rule of node.holes) clearBit(bits, rule);
        for (const rule of node.rules) setBit(bits, rule);
      }
      bitmap = bitmaps.intern(bits);
      bitmapsByRules.set(rules, bitmap);
    }
    const level = found.get(length) ?? new Map<bigint, number>();
    found.set(length, level);
    level.set(value, bitmap);
    return bitmap;
  };
  lengths.forEach((length, place) => {
    const markers = markedPlaces(place, lengths.length).map((at) => lengths[at] as number);
    for (const { value } of (levels.get(length) as Map<bigint, Node>).values()) {
      bitmapOf(value, length);
      for (const marker of markers) bitmapOf(truncated(value, marker), marker);
    }
  });
  return {
    all: bitmaps.intern(all),
    lengths: lengths.map((length) => mapped(family, length)),
    rows: [...found].flatMap(([length, level]) =>
      [...level].map(([value, bitmap]) => ({
        length: mapped(family, length),
        value: family === 4 ? value | MAPPED : value,
        bitmap,
      })),
    ),
  };
}

function mapped(family: Family, length: number): number {
  return family === 4 ? length + 96 : length;
}

/** Where a search by halves among `count` lengths has to hit on its way to `place`. */
export function markedPlaces(place: number, count: number): number[] {
  const marked: number[] = [];
  let [from, to] = [0, count];
  for (;;) {
    const middle = (from + to) >> 1;
    if (middle === place) return marked;
    if (middle < place) {
      marked.push(middle);
      from = middle + 1;
    } else {
      to = middle;
    }
  }
}
