// SPDX-License-Identifier: Apache-2.0
/** The maps of a cube as tables: which there are, and their rows with names, typed and a page at a time. */

import type { MapDescription } from '../../api/schemas/cube-type.ts';
import type { DecidedPacket, MapCodec } from '../../cubes/cube-type.ts';
import { CUBE_TYPES } from '../../cubes/generated/index.ts';
import { AgentError } from '../errors.ts';
import { attachments, fragments, hostAddresses, overlaySources, pods } from '../generated/tcx.ts';
import type { Running } from '../images.ts';
import { type RawRow, rowsOf } from '../kernel/map-reader.ts';
import type { Pins } from '../kernel/pins.ts';
import type { MapUsage } from '../pressure.ts';
import { mapPath } from './counters.ts';

export interface TablesRequest {
  /** `namespace/name` or a name that only one cube of the node has; `node` for the maps that all share; absent: all. */
  readonly cube?: string;
  readonly table?: string;
  /** Rows to pass over. */
  readonly offset?: number;
  /** Rows at most; 100 by default. */
  readonly limit?: number;
  /** Rows of which a cell holds this text. */
  readonly match?: string;
}

export interface TableInfo {
  /** `namespace/name`, or `node`. */
  readonly cube: string;
  readonly table: string;
  readonly description: string;
  /** Rows; absent where nobody counts them. */
  readonly used?: number;
  readonly max?: number;
}

/** Text, numbers and truth values; lists as they are; numbers beyond 2^53 as text. */
export type Cell = string | number | boolean | readonly Cell[] | null;

export interface TablePage {
  readonly cube: string;
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  readonly offset: number;
  /** There are rows behind these. */
  readonly more: boolean;
}

export interface TablesInput {
  readonly node: string;
  readonly pins: Pins;
  readonly running: readonly Running[];
  readonly usage: readonly MapUsage[];
}

export const NODE_TABLES = 'node';
const MAX_ROWS = 10_000;

const SHARED: Readonly<Record<string, { readonly codec: MapCodec; readonly description: string }>> = {
  attachments: {
    codec: attachments,
    description: 'Interfaces that the entry program sits on, by their number.',
  },
  pods: { codec: pods, description: 'Where pods of the node are, by their address.' },
  overlay_sources: { codec: overlaySources, description: 'Which node may send from which prefix.' },
  host_addresses: { codec: hostAddresses, description: 'Addresses of the host itself.' },
  fragments: { codec: fragments, description: 'Ports of fragmented datagrams.' },
};

interface Table extends TableInfo {
  readonly path: string;
  readonly codec: MapCodec;
  /** Column → kind of the object that its number stands for. */
  readonly objects: Readonly<Record<string, string>>;
  /** A map with the same keys, whose columns are shown too. */
  readonly beside?: { readonly path: string; readonly codec: MapCodec };
  readonly running?: Running;
}

export function listTables(input: TablesInput, { cube }: TablesRequest): TableInfo[] {
  const all = cube === undefined ? allTables(input) : tablesNamed(input, cube);
  return all.map(({ cube: key, table, description, used, max }) => ({
    cube: key,
    table,
    description,
    ...(used === undefined ? {} : { used }),
    ...(max === undefined ? {} : { max }),
  }));
}

/** One page of a table. Throws AgentError NotFound or InvalidRequest, KernelError. */
export async function readTable(input: TablesInput, request: TablesRequest): Promise<TablePage> {
  const { cube = '', table: name = '', offset = 0, limit = 100, match } = request;
  if (!Number.isInteger(offset) || offset < 0 || !Number.isInteger(limit) || limit < 1 || limit > MAX_ROWS)
    throw new AgentError(
      'InvalidRequest',
      `offset ${offset} and limit ${limit}: not a page`,
      `give a limit of 1 to ${MAX_ROWS} and an offset of at least 0`,
    );
  const tables = tablesNamed(input, cube);
  const table = tables.find((one) => one.table === name);
  if (table === undefined)
    throw new AgentError(
      'NotFound',
      `${cube} has no table ${name}`,
      `it has ${tables.map((one) => one.table).join(', ')}`,
    );
  const rows: Record<string, Cell>[] = [];
  let passed = 0;
  let more = false;
  for await (const raw of rowsOf(table.path, table.beside?.path)) {
    const row = rowOf(raw, table);
    if (match !== undefined && !Object.values(row).some((cell) => String(cell).includes(match))) continue;
    if (passed++ < offset) continue;
    more = rows.length === limit;
    if (more) break;
    rows.push(row);
  }
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return { cube: table.cube, table: name, columns, rows, offset, more };
}

function allTables(input: TablesInput): Table[] {
  return [...input.running.flatMap((running) => tablesOf(input, running)), ...sharedTables(input)];
}

function tablesNamed(input: TablesInput, name: string): Table[] {
  if (name === NODE_TABLES) return sharedTables(input);
  const found = input.running.filter(
    ({ instance: { cubeKey } }) => cubeKey === name || cubeKey.slice(cubeKey.indexOf('/') + 1) === name,
  );
  const [running, other] = found;
  const keys = input.running.map(({ instance }) => instance.cubeKey);
  if (running === undefined)
    throw new AgentError(
      'NotFound',
      `no cube ${name} runs on node ${input.node}`,
      `there are ${[...keys, NODE_TABLES].join(', ')}`,
    );
  if (other !== undefined)
    throw new AgentError(
      'InvalidRequest',
      `${name} is the name of ${found.map(({ instance }) => instance.cubeKey).join(' and ')}`,
      'give the namespace too: NAMESPACE/NAME',
    );
  return tablesOf(input, running);
}

/** What a cube type's schema says of its maps; none for a type without one. */
export function describedMaps(type: string): readonly MapDescription[] {
  return (CUBE_TYPES as Readonly<Record<string, { maps: readonly MapDescription[] }>>)[type]?.maps ?? [];
}

function tablesOf({ pins, usage }: TablesInput, running: Running): Table[] {
  const { type } = running.plan.cube;
  const descriptions = describedMaps(type.type);
  const cube = running.instance.cubeKey;
  return Object.entries(type.maps)
    .filter(([name]) => !name.endsWith('scratch'))
    .map(([name, { codec }]): Table => {
      const described = descriptions.find((one) => one.name === name);
      const beside = described?.beside ?? '';
      const other = type.maps[beside];
      return {
        cube,
        table: name,
        description: described?.description ?? '',
        objects: described?.objects ?? {},
        path: mapPath(pins, running, name),
        codec,
        ...(other ? { beside: { path: mapPath(pins, running, beside), codec: other.codec } } : {}),
        running,
        ...usageOf(usage, cube, name),
      };
    });
}

function sharedTables({ pins, usage }: TablesInput): Table[] {
  return Object.entries(SHARED).map(([table, { codec, description }]) => ({
    cube: NODE_TABLES,
    table,
    description,
    objects: {},
    path: pins.sharedMap(table),
    codec,
    ...usageOf(usage, '', table),
  }));
}

function usageOf(usage: readonly MapUsage[], cube: string, map: string): { used?: number; max?: number } {
  const found = usage.find((one) => one.cube === cube && one.map === map);
  return found === undefined ? {} : { used: found.used, max: found.max };
}

function rowOf(raw: RawRow, { codec, objects, beside, running }: Table): Record<string, Cell> {
  const row = new Map<string, Cell>();
  put(row, 'key', codec.decodeKey(raw.key));
  put(row, 'value', sumOf(raw.values, codec));
  if (beside && raw.beside) put(row, 'beside', sumOf(raw.beside, beside.codec));
  const packet = packetOf(row);
  for (const [column, kind] of Object.entries(objects)) {
    const id = row.get(column);
    if (id === undefined) continue;
    const name = running?.image.nameObject?.(kind, BigInt(id as number | string), packet);
    if (name !== undefined) row.set(column === 'key' || column === 'value' ? kind : `${column}Name`, name);
  }
  return Object.fromEntries(row);
}

/** Members of a struct as columns of their own; a plain value under the name of what it is. */
function put(row: Map<string, Cell>, name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    row.set(name, cellOf(value));
    return;
  }
  for (const [member, inner] of Object.entries(value)) {
    if (typeof inner === 'object' && inner !== null && !Array.isArray(inner)) put(row, member, inner);
    else row.set(row.has(member) ? `${name}.${member}` : member, cellOf(inner));
  }
}

function cellOf(value: unknown): Cell {
  if (typeof value === 'bigint')
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(cellOf);
  return value as Cell;
}

function sumOf(values: readonly Buffer[], codec: MapCodec): unknown {
  const [first, ...others] = values.map((bytes) => codec.decodeValue(bytes));
  return others.reduce(add, first);
}

/** Values of two CPUs as one: counters add up. */
function add(a: unknown, b: unknown): unknown {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a + b;
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a;
  const other = b as Record<string, unknown>;
  return Object.fromEntries(Object.entries(a).map(([name, value]) => [name, add(value, other[name])]));
}

/** The tuple of a row that has one, as of a session. */
function packetOf(row: ReadonlyMap<string, Cell>): DecidedPacket {
  const text = (name: string) => (typeof row.get(name) === 'string' ? String(row.get(name)) : '::');
  const number = (name: string) => (typeof row.get(name) === 'number' ? Number(row.get(name)) : 0);
  return {
    src: text('src'),
    dst: text('dst'),
    sport: number('sport'),
    dport: number('dport'),
    proto: number('proto'),
  };
}
