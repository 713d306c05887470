// SPDX-License-Identifier: Apache-2.0

/**
 * The rows of the map `matches`: for each field of a packet the prefixes that rules name, and which rules take a packet
 * there. A lookup finds the longest prefix alone, so each row also holds the rules of all shorter prefixes around it.
 */
import { type Family, type Prefix, parsePrefix } from '../../api/ip.ts';
import type { MatchKey, RuleSet } from './generated/codec.ts';

/** MATCH_* of bpf/nat/nat.h. */
export const Field = {
  ForwardDestination: 1,
  ForwardSource: 2,
  ForwardService: 3,
  Source: 4,
  Destination: 5,
  Protocol: 6,
  Exclusion: 7,
  Inside: 8,
} as const;

/** RULE_WORDS and RULE_OWN of bpf/nat/nat.h. */
const WORDS = 3;
export const OWN_RULE = WORDS * 64 - 1;

/** Bits of a key behind its length: field, two zeros, kind, address. */
const KEY_BITS = 160;
const KIND_BITS = 32;

export interface MatchRow {
  readonly key: MatchKey<Uint8Array>;
  readonly value: RuleSet;
}

interface Entry {
  readonly bits: bigint;
  readonly length: number;
  rules: bigint;
}

function cut(bits: bigint, length: number): bigint {
  const shift = BigInt(KEY_BITS - length);
  return (bits >> shift) << shift;
}

/** The prefixes that make up the ports from `first` to `last`, both included. */
export function portPrefixes(first: number, last: number): { port: number; length: number }[] {
  const prefixes: { port: number; length: number }[] = [];
  let port = first;
  while (port <= last) {
    let length = 16;
    // grows while it stays aligned and inside of the range
    while (length > 0 && port % 2 ** (17 - length) === 0 && port + 2 ** (17 - length) - 1 <= last) length--;
    prefixes.push({ port, length });
    port += 2 ** (16 - length);
  }
  return prefixes;
}

export class MatchTable {
  readonly #entries = new Map<string, Entry>();

  #add(bits: bigint, length: number, rule: number | undefined): void {
    const name = `${length} ${bits}`;
    const entry = this.#entries.get(name) ?? { bits, length, rules: 0n };
    if (rule !== undefined) entry.rules |= 1n << BigInt(rule);
    this.#entries.set(name, entry);
  }

  /** A rule takes every packet of the family. */
  addFamily(field: number, family: Family, rule: number): void {
    this.#add((BigInt(field) << 152n) | (BigInt(family) << 128n), KIND_BITS, rule);
  }

  /** Without a rule: a row for the prefix, which then holds the rules of shorter ones. */
  addPrefix(field: number, { family, value, length }: Prefix, rule: number | undefined): void {
    const address = family === 4 ? (0xffffn << 32n) | value : value;
    const bits = (BigInt(field) << 152n) | (BigInt(family) << 128n) | address;
    const total = KIND_BITS + length + (family === 4 ? 96 : 0);
    this.#add(cut(bits, total), total, rule);
  }

  /** A rule takes every protocol. */
  addAnyService(field: number, rule: number): void {
    this.#add(BigInt(field) << 152n, KIND_BITS - 8, rule);
  }

  /** A rule takes a protocol, or some of its ports. */
  addService(field: number, protocol: number, rule: number, ports?: { first: number; last: number }): void {
    const base = (BigInt(field) << 152n) | (BigInt(protocol) << 128n);
    if (!ports) this.#add(base, KIND_BITS, rule);
    else
      for (const { port, length } of portPrefixes(ports.first, ports.last))
        this.#add(base | (BigInt(port) << 112n), KIND_BITS + length, rule);
  }

  /** All rows, shortest prefixes first. `none`: prefixes of a field in which nothing is taken, whatever is around them. */
  rows(none: { field: number; prefixes: readonly Prefix[] }): MatchRow[] {
    for (const prefix of none.prefixes) this.addPrefix(none.field, prefix, undefined);
    const entries = [...this.#entries.values()].sort((a, b) => a.length - b.length);
    const lengths = [...new Set(entries.map(({ length }) => length))];
    for (const entry of entries) {
      for (const length of lengths) {
        if (length >= entry.length) break;
        entry.rules |= this.#entries.get(`${length} ${cut(entry.bits, length)}`)?.rules ?? 0n;
      }
    }
    for (const { family, value } of none.prefixes) {
      const address = family === 4 ? (0xffffn << 32n) | value : value;
      const bits = (BigInt(none.field) << 152n) | (BigInt(family) << 128n) | address;
      const entry = this.#entries.get(`${KEY_BITS} ${bits}`);
      if (entry) entry.rules = 0n;
    }
    return entries.map(({ bits, length, rules }) => ({
      key: {
        length,
        field: Number(bits >> 152n),
        kind: Number((bits >> 128n) & 0xffn),
        addr: Uint8Array.from({ length: 16 }, (_, i) => Number((bits >> BigInt(120 - 8 * i)) & 0xffn)),
      },
      value: { words: Array.from({ length: WORDS }, (_, i) => BigInt.asUintN(64, rules >> BigInt(64 * i))) },
    }));
  }
}

/** Prefixes that the schema has checked. */
export function prefixesOf(texts: readonly string[]): Prefix[] {
  return texts.map(parsePrefix).filter((prefix) => prefix !== undefined);
}
