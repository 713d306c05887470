// SPDX-License-Identifier: Apache-2.0

/**
 * Rules → the tables of one bank, as rows for the maps of bpf/firewall/firewall.h. Rules that a packet cannot be told apart
 * by have one bitmap, however many prefixes and ports lead there.
 */
import type { Prefix } from '../../api/ip.ts';
import { addressRows } from './address-side.ts';
import { Bitmaps } from './bitmaps.ts';
import { addresses, rulesets, rules as rulesMap } from './generated/codec.ts';
import { PAGE_SIZE, Pages } from './pages.ts';
import { type RuleMeaning, SERVICE_TABLES, SOURCE_TABLES, STATES, TABLES, Table } from './rule-meaning.ts';
import { kindTable, rangeTable } from './value-tables.ts';

export const BANKS = 2;
export const DIRECTIONS = 2;
const Dimension = { source: 1, destination: 2, service: 4, sourcePort: 8 } as const;

export interface Defaults {
  /** Of ingress and egress, as Action. */
  readonly actions: readonly [number, number];
  readonly log: boolean;
}

/** Rows for one map: array maps by their indexes, one value after the other. */
export interface ArrayPart {
  readonly map: string;
  readonly indexes: readonly number[];
  readonly values: Uint8Array;
}

export interface Compiled {
  readonly arrays: readonly ArrayPart[];
  /** keySize bytes each, and their u32 values. */
  readonly addressKeys: Uint8Array[];
  readonly addressValues: Uint8Array[];
  readonly bitmaps: number;
  readonly pages: number;
}

/** Eight tables of 256 second pages, one of 8 and one of 1, for each direction: more can never be. */
const MAX_LEAVES = DIRECTIONS * (8 * 256 + 8 + 1);

/** Room for each map, from the most rules that one direction may have. Indexes stay below 65,536. */
export function capacities(maxRules: number): {
  bitmaps: number;
  leaves: number;
  addresses: number;
} {
  return {
    bitmaps: 6 * maxRules + 256,
    leaves: Math.min(maxRules + 128, MAX_LEAVES),
    addresses: 128 * maxRules + 8,
  };
}

const seq = (base: number, count: number): number[] => Array.from({ length: count }, (_, i) => base + i);

export function compile(
  directions: readonly [readonly RuleMeaning[], readonly RuleMeaning[]],
  defaults: Defaults,
  bank: number,
  maxRules: number,
): Compiled {
  const room = capacities(maxRules);
  const bitmaps = new Bitmaps(bank * room.bitmaps);
  const pages = new Pages(BANKS * DIRECTIONS * TABLES + bank * room.leaves);
  const roots: { index: number; bytes: Uint8Array }[] = [];
  const addressKeys: Uint8Array[] = [];
  const addressValues: Uint8Array[] = [];
  const sets = new Uint8Array(DIRECTIONS * rulesets.valueSize);
  const ruleRows: ArrayPart[] = [];

  directions.forEach((rules, direction) => {
    const base = bank * DIRECTIONS + direction;
    const sides: [(rule: RuleMeaning) => readonly Prefix[], number][] = [
      [(rule) => rule.sources, Dimension.source],
      [(rule) => rule.destinations, Dimension.destination],
    ];
    let dimensions = 0;
    sides.forEach(([listOf, dimension], side) => {
      if (rules.every((rule) => listOf(rule).length === 0)) return;
      dimensions |= dimension;
      for (const { length, value, bitmap } of addressRows(rules.map(listOf), bitmaps)) {
        const key = new Uint8Array(addresses.keySize);
        addresses.encodeKey({ length: 32 + length, table: base * 2 + side, addr: bytes16(value) }, key);
        const row = new Uint8Array(addresses.valueSize);
        addresses.encodeValue(bitmap, row);
        addressKeys.push(key);
        addressValues.push(row);
      }
    });
    const put = (table: number, values: Uint16Array): void => {
      roots.push({ index: base * TABLES + table, bytes: pages.tree(values) });
    };
    if (rules.some(({ services }) => services)) {
      dimensions |= Dimension.service;
      const ranges = rules.map(({ services }) => services);
      for (const table of SERVICE_TABLES)
        put(table, rangeTable(table, ranges, bitmaps, table === Table.other ? 256 : undefined));
    }
    if (rules.some(({ sourcePorts }) => sourcePorts)) {
      dimensions |= Dimension.sourcePort;
      const ranges = rules.map(({ sourcePorts }) => sourcePorts);
      for (const table of SOURCE_TABLES) put(table, rangeTable(table, ranges, bitmaps));
    }
    put(Table.kind, kindTable(rules, bitmaps));
    const named = rules.reduce((bits, { states }) => bits | states, 0) & ~1;
    rulesets.encodeValue(
      {
        rules: rules.length,
        dimensions,
        defaultAction: defaults.actions[direction] as number,
        states: named & ((1 << STATES.length) - 1),
        log: defaults.log ? 1 : 0,
      },
      sets,
      direction * rulesets.valueSize,
    );
    const values = new Uint8Array(rules.length * rulesMap.valueSize);
    rules.forEach(({ identity, action, log }, i) => {
      rulesMap.encodeValue({ identity, action, log: log ? 1 : 0 }, values, i * rulesMap.valueSize);
    });
    ruleRows.push({ map: rulesMap.name, indexes: seq(base * maxRules, rules.length), values });
  });

  const rootValues = new Uint8Array(roots.length * PAGE_SIZE);
  roots.forEach(({ bytes }, i) => {
    rootValues.set(bytes, i * PAGE_SIZE);
  });
  const arrays: ArrayPart[] = [
    { map: 'bitmaps', indexes: seq(bitmaps.base, bitmaps.count), values: bitmaps.rows.slice() },
    { map: 'pages', indexes: seq(pages.base, pages.count), values: pages.rows },
    { map: 'pages', indexes: roots.map(({ index }) => index), values: rootValues },
    ...ruleRows,
    { map: rulesets.name, indexes: seq(bank * DIRECTIONS, DIRECTIONS), values: sets },
  ];
  return {
    arrays: arrays.filter(({ indexes }) => indexes.length > 0),
    addressKeys,
    addressValues,
    bitmaps: bitmaps.count,
    pages: pages.count,
  };
}

function bytes16(value: bigint): Uint8Array {
  return Buffer.from(value.toString(16).padStart(32, '0'), 'hex');
}
