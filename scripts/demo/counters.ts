// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { COMMON_DROP_REASONS, CUBE_COUNTERS, CUBE_DROP_REASONS } from '../../src/api/generated/reasons.ts';
import { tableLines } from '../../src/cli/print/table.ts';
import { BpfMap } from '../../src/dataplane/kernel/addon/index.ts';
import { Pins } from '../../src/dataplane/kernel/pins.ts';
import { pinNameOf } from '../../src/dataplane/names.ts';
import { labPins } from '../../test/harness/lab.ts';
import type { Stage } from './stage.ts';

interface CubeObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly nodeName: string; readonly type: string };
}

/** What the programs of a node's cubes have counted, straight from their maps in the kernel. */
export async function counterLines(stage: Stage, node: string): Promise<string[]> {
  const pins = new Pins(labPins(stage.client.namespace.lab.id), node);
  const cubes = (await stage.objects<CubeObject>('cubes')).filter((cube) => cube.spec.nodeName === node);
  const rows = cubes.map(({ metadata, spec }) => {
    const folder = pins.cube(pinNameOf(`${metadata.namespace}/${metadata.name}`));
    const [received, , sent] = columnSums(folder, 'port_counters', 4);
    const reasons = [...COMMON_DROP_REASONS, ...(CUBE_DROP_REASONS[spec.type] ?? [])];
    const own = CUBE_COUNTERS[spec.type] ?? [];
    return [
      metadata.name.split('.')[1] ?? metadata.name,
      String(received ?? 0n),
      String(sent ?? 0n),
      named(rowSums(folder, 'drops'), reasons) || 'none',
      named(rowSums(folder, 'counters'), own),
    ];
  });
  return tableLines(['CUBE', 'RECEIVED', 'SENT', 'DROPPED', 'OF ITS OWN'], rows);
}

function named(values: readonly bigint[], names: readonly { id: number; name: string }[]): string {
  return names.flatMap(({ id, name }) => (values[id] ? [`${name} ${values[id]}`] : [])).join(', ');
}

/** Sums over all rows and CPUs of each u64 in the values of a per-CPU array. */
function columnSums(folder: string, map: string, columns: number): bigint[] {
  const sums = Array.from({ length: columns }, () => 0n);
  for (const row of rows(folder, map))
    for (const [at, value] of row.entries()) sums[at % columns] = (sums[at % columns] ?? 0n) + value;
  return sums;
}

/** Sums over all CPUs, by key, of a per-CPU array of u64. */
function rowSums(folder: string, map: string): bigint[] {
  return rows(folder, map).map((row) => row.reduce((sum, value) => sum + value, 0n));
}

/** All values of a map, wherever below the cube's folder it is pinned: kept over revisions, or with an instance. */
function rows(folder: string, name: string): bigint[][] {
  if (!existsSync(folder)) return [];
  const pin = readdirSync(folder, { recursive: true })
    .map(String)
    .find((file) => basename(file) === name || basename(file).startsWith(`${name}_`));
  if (pin === undefined) return [];
  const map = BpfMap.openPinned(join(folder, pin));
  try {
    return Array.from({ length: map.maxEntries }, (_, index) => {
      const key = Buffer.alloc(4);
      key.writeUInt32LE(index);
      const value = map.lookup(key) ?? Buffer.alloc(0);
      return Array.from({ length: value.length / 8 }, (_unused, at) => value.readBigUInt64LE(at * 8));
    });
  } finally {
    map.close();
  }
}
