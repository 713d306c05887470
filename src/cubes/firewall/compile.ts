// SPDX-License-Identifier: Apache-2.0

/**
 * Rules → the tables of one bank, as rows for the maps of bpf/firewall/firewall.h. Rules that a packet cannot be told apart
 * by have one bitmap, however many prefixes and ports lead there.
 */
import { familyRows } from './address-side.ts';
import { Bitmaps } from './bitmaps.ts';
import { addresses, addressLengths, rulesets, rules as rulesMap } from './generated/codec.ts';
import { Pages } from './pages.ts';
import {
  type RuleMeaning,
  type RulePrefix,
  SERVICE_TABLES,
  SOURCE_TABLES,
  TABLES,
  Table,
} from './rule-meaning.ts';
import { kindTable, rangeTable } from './value-tables.ts';

/** address_row.only of a bitmap with more words than one. */
const NO_WORD = 0xffffffff;
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

/** Eight tables of 256 second pages, one of 12 and one of 1, for each direction: more can never be. */
const MAX_LEAVES = DIRECTIONS * (8 * 256 + 12 + 1);

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
  const roots: Row[] = [];
  const heads: Row[] = [];
  const rowOf = (bitmap: number) => {
    const single = bitmaps.single(bitmap);
    return { bitmap, only: single?.index ?? NO_WORD, word: single?.word ?? 0n };
  };
  const addressKeys: Uint8Array[] = [];
  const addressValues: Uint8Array[] = [];
  const sets = new Uint8Array(DIRECTIONS * rulesets.valueSize);
  const ruleRows: ArrayPart[] = [];

  directions.forEach((rules, direction) => {
    const base = bank * DIRECTIONS + direction;
    const sides: [(rule: RuleMeaning) => readonly RulePrefix[], number][] = [
      [(rule) => rule.sources, Dimension.source],
      [(rule) => rule.destinations, Dimension.destination],
    ];
    let dimensions = 0;
    sides.forEach(([listOf, dimension], side) => {
      if (rules.every((rule) => listOf(rule).length === 0)) return;
      dimensions |= dimension;
      const table = base * 2 + side;
      ([4, 6] as const).forEach((family, index) => {
        const { all, lengths: used, rows } = familyRows(family, rules.map(listOf), bitmaps);
        const head = new Uint8Array(addressLengths.valueSize);
        addressLengths.encodeValue({ all: rowOf(all), count: used.length, lengths: used }, head);
        heads.push({ index: table * 2 + index, bytes: head });
        for (const { length, value, bitmap } of rows) {
          const key = new Uint8Array(addresses.keySize);
          addresses.encodeKey({ addr: bytes16(value), table, length }, key);
          const row = new Uint8Array(addresses.valueSize);
          addresses.encodeValue(rowOf(bitmap), row);
          addressKeys.push(key);
          addressValues.push(row);
        }
      });
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
    rulesets.encodeValue(
      {
        rules: rules.length,
        dimensions,
        defaultAction: defaults.actions[direction] as number,
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

  const arrays: ArrayPart[] = [
    { map: 'bitmaps', indexes: seq(bitmaps.base, bitmaps.count), values: bitmaps.rows.slice() },
    { map: 'pages', indexes: seq(pages.base, pages.count), values: pages.rows },
    part('pages', roots),
    part(addressLengths.name, heads),
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

interface Row {
  readonly index: number;
  readonly bytes: Uint8Array;
}

function part(map: string, rows: readonly Row[]): ArrayPart {
  return {
    map,
    indexes: rows.map(({ index }) => index),
    values: Buffer.concat(rows.map(({ bytes }) => bytes)),
  };
}

function bytes16(value: bigint): Uint8Array {
  return Buffer.from(value.toString(16).padStart(32, '0'), 'hex');
}
