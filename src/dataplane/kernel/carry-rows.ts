// SPDX-License-Identifier: Apache-2.0
import { basename } from 'node:path';
import type { MigrateRow } from '../../cubes/cube-type.ts';
import { layoutOfPin } from '../carry.ts';
import type { Instance } from '../state.ts';
import { BpfMap, type Dump, Update } from './addon/index.ts';
import { releaseMemory } from './memory.ts';

/** So many bytes of rows are worth giving back at once. */
const LARGE = 4 << 20;

/**
 * Copies the rows of a pinned state map into another one, off the event loop; rows for which there is no room are left.
 * `isFirst`: into a map that no program uses yet, else only rows that it does not have. Returns how many were written.
 * Throws KernelError.
 */
export async function carryRows(
  from: string,
  to: BpfMap,
  migrate: MigrateRow | undefined,
  isFirst: boolean,
): Promise<number> {
  const old = BpfMap.openPinned(from);
  try {
    const dump = await old.dump();
    const version = layoutOfPin(basename(from))?.version ?? 0;
    const { keys, values } = migrate === undefined ? dump : migrated(dump, old, to, version, migrate);
    const written = await to.fill(keys, values, isFirst ? Update.Any : Update.NoExist);
    if (keys.length + values.length > LARGE) releaseMemory();
    return written;
  } finally {
    old.close();
  }
}

/** How rows of an earlier pin become rows of the instance's map; undefined: they are the same. */
export function migrationFrom(instance: Instance, map: string, from: string): MigrateRow | undefined {
  const carried = instance.carried.get(map);
  return layoutOfPin(from)?.version === carried?.version ? undefined : carried?.migrate;
}

function migrated(
  { count, keys, values }: Dump,
  from: BpfMap,
  to: BpfMap,
  version: number,
  migrate: MigrateRow,
): { keys: Buffer; values: Buffer } {
  const newKeys = Buffer.alloc(count * to.keySize);
  const newValues = Buffer.alloc(count * to.valueStride);
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const row = migrate(
      version,
      keys.subarray(i * from.keySize, (i + 1) * from.keySize),
      values.subarray(i * from.valueStride, (i + 1) * from.valueStride),
    );
    if (row === undefined) continue;
    newKeys.set(row.key, kept * to.keySize);
    newValues.set(row.value, kept * to.valueStride);
    kept++;
  }
  return {
    keys: newKeys.subarray(0, kept * to.keySize),
    values: newValues.subarray(0, kept * to.valueStride),
  };
}
