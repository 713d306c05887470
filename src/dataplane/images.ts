// SPDX-License-Identifier: Apache-2.0
/**
 * The images of the cubes that run here: what their maps hold, fed with the tables that each cube selects. Which rows
 * that makes is the cube type's knowledge; which writes reach the kernel when is the agent's.
 */
import type { CubeImage, ImageChange, MapWrite, NodeInput, Problem } from '../cubes/cube-type.ts';
import { releaseMemory } from './kernel/memory.ts';
import { selects } from './objects.ts';
import type { InstancePlan } from './place-instances.ts';
import type { Instance } from './state.ts';
import { type PackedTable, type TableChange, unpack } from './tables.ts';

export interface Running {
  readonly key: string;
  readonly instance: Instance;
  plan: InstancePlan;
  readonly image: CubeImage;
  /** Keys of the tables that the image holds. */
  readonly tables: Set<string>;
  readonly problems: Map<string, readonly Problem[]>;
  /** Writes that wait for packets under way. */
  afterGrace: MapWrite[];
  /** When the image wants to be called, in seconds of the programs' clock. */
  dueAt: number | undefined;
}

/** Reads all rows of a map of a complete instance. */
export type Dump = (map: string) => Promise<{ count: number; keys: Buffer; values: Buffer }>;

/** Seconds of CLOCK_MONOTONIC, the clock of the programs, with their fractions: a drain begins now, not up to a second ago. */
export function clock(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** The same in milliseconds. */
export function monotonic(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** The first of the times at which any of these wants to be called. */
export function nextDue(all: Iterable<{ readonly dueAt?: number | undefined }>): number | undefined {
  let due: number | undefined;
  for (const { dueAt } of all) due = earlier(due, dueAt);
  return due;
}

/** Calls the images that wanted to be called by now. */
export function tickDue(all: Iterable<Running>, now: number): void {
  for (const running of all)
    if (running.dueAt !== undefined && running.dueAt <= now) running.dueAt = running.image.tick(now);
}

/** Parsed rows of so many tables are worth giving back before the next ones are parsed. */
const TABLES_A_RELEASE = 2500;

/** Rows of one table, parsed at most once for all images of a change. */
type Rows = (table: PackedTable) => readonly unknown[];

export function parseOnce(): Rows {
  let last: PackedTable | undefined;
  let rows: readonly unknown[] = [];
  return (table) => {
    if (table !== last) rows = unpack(table);
    last = table;
    return rows;
  };
}

/**
 * An image for an instance. Where `dump` is given its rows are read from the kernel first: those of `maps`. Otherwise
 * `previous` hands over what it knows of the state maps.
 */
export async function startImage(options: {
  key: string;
  instance: Instance;
  plan: InstancePlan;
  node: NodeInput;
  tables: ReadonlyMap<string, PackedTable>;
  previous?: CubeImage;
  adopt?: { dump: Dump; maps: readonly string[] };
}): Promise<Running> {
  const { key, instance, plan, node, tables, previous, adopt } = options;
  const { cube } = plan;
  const image = cube.type.image(cube.input, node, previous);
  for (const map of adopt?.maps ?? []) {
    const { count, keys, values } = (await adopt?.dump(map)) ?? { count: 0, keys: NONE, values: NONE };
    if (count > 0) image.adopt(map, count, keys, values);
  }
  const dueAt = image.tick(clock());
  const running: Running = {
    key,
    instance,
    plan,
    image,
    tables: new Set(),
    problems: new Map(),
    afterGrace: [],
    dueAt,
  };
  let since = 0;
  for (const table of tables.values()) {
    setTable(running, table, unpack);
    if (++since % TABLES_A_RELEASE === 0) releaseMemory();
  }
  image.settle();
  if (since > TABLES_A_RELEASE) releaseMemory();
  return running;
}

const NONE = Buffer.alloc(0);

/** Maps of an instance whose rows user space writes. */
export function agentMaps(plan: InstancePlan, of?: 'state' | 'config'): string[] {
  return Object.entries(plan.cube.type.maps)
    .filter(([, map]) => map.writer === 'agent' && (of === undefined || map.class === of))
    .map(([name]) => name);
}

function wants(running: Running, table: PackedTable): boolean {
  const { object } = running.plan.cube;
  const selection = object.spec.tables?.find(({ type }) => type === table.type);
  if (selection === undefined) return false;
  if (table.isOwn === true) return true;
  return table.namespace === (object.metadata.namespace ?? '') && selects(selection.selector, table.labels);
}

function setTable(running: Running, table: PackedTable, rows: Rows): boolean {
  if (!wants(running, table)) return unsetTable(running, table.key);
  running.tables.add(table.key);
  note(running, table.key, running.image.setTable(table.key, rows(table), table.slice, table.type));
  return true;
}

function unsetTable(running: Running, key: string): boolean {
  if (!running.tables.delete(key)) return false;
  note(running, key, running.image.setTable(key, undefined));
  running.problems.delete(key);
  return true;
}

function note(running: Running, key: string, problems: readonly Problem[]): void {
  if (problems.length === 0) running.problems.delete(key);
  else running.problems.set(key, problems);
}

/** Passes changes of tables on; additions before removals. Returns whether the image heard of any. */
export function feed(running: Running, changes: readonly TableChange[], rows: Rows): boolean {
  let heard = false;
  running.image.tick(clock()); // first: what a change sets going, as the drain of a backend, starts now
  for (const { after } of changes) if (after !== undefined) heard = setTable(running, after, rows) || heard;
  for (const { key, after } of changes) if (after === undefined) heard = unsetTable(running, key) || heard;
  if (heard) running.dueAt = earlier(running.dueAt, running.image.tick(clock()));
  return heard;
}

/** After `Cube.spec.tables` changed: the image gets what it selects now and loses what it does not. */
export function reselect(
  running: Running,
  plan: InstancePlan,
  tables: ReadonlyMap<string, PackedTable>,
): void {
  const before = JSON.stringify(running.plan.cube.object.spec.tables ?? []);
  running.plan = plan;
  if (JSON.stringify(plan.cube.object.spec.tables ?? []) === before) return;
  running.image.tick(clock());
  for (const table of tables.values()) if (!running.tables.has(table.key)) setTable(running, table, unpack);
  for (const key of [...running.tables]) {
    const table = tables.get(key);
    if (table === undefined || !wants(running, table)) unsetTable(running, key);
  }
  running.dueAt = earlier(running.dueAt, running.image.tick(clock()));
}

export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  return b === undefined ? a : Math.min(a, b);
}

export function isEmpty(change: ImageChange): boolean {
  return change.writes.length === 0 && change.afterGrace.length === 0;
}

/** All writes that an image asks for, behind those that have waited for packets under way. */
export function takeAll(running: Running): ImageChange {
  const change = running.image.take();
  const waited = running.afterGrace;
  running.afterGrace = [];
  return waited.length === 0
    ? change
    : { writes: change.writes, afterGrace: [...waited, ...change.afterGrace] };
}
