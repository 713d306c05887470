// SPDX-License-Identifier: Apache-2.0
/** Reads pinned maps for people and for metrics: sums of per-CPU words, rows a page at a time. */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { BpfMap, MapType } from './addon/index.ts';

/** Rows looked at before others get their turn. */
const ROWS_A_TURN = 2000;

/** An array of per-CPU values that are words of u64: their sums, a list of words an index. Throws KernelError. */
export function sumsOf(path: string): number[][] {
  const map = BpfMap.openPinned(path);
  try {
    const { keys, values, count } = map.dumpSync();
    const result: number[][] = [];
    for (let i = 0; i < count; i++) {
      const one = values.subarray(i * map.valueStride, (i + 1) * map.valueStride);
      result[keys.readUInt32LE(i * 4)] = sumWords(one, map.valueSize / 8);
    }
    return result;
  } finally {
    map.close();
  }
}

function sumWords(bytes: Buffer, words: number): number[] {
  const sums = Array.from({ length: words }, () => 0);
  for (let at = 0; at < words * 8 * Math.floor(bytes.length / (words * 8)); at += 8) {
    const word = (at / 8) % words;
    sums[word] = (sums[word] ?? 0) + Number(bytes.readBigUInt64LE(at));
  }
  return sums;
}

export interface RawRow {
  readonly key: Buffer;
  /** One value, or one a CPU. */
  readonly values: readonly Buffer[];
  /** The same of the row with this key in the map beside it. */
  readonly beside?: readonly Buffer[];
}

/**
 * The rows of a map, as they come, and others get their turn in between. Rows that come or go meanwhile may be in it or
 * not. Rows of arrays that are all zero are left out: nobody has written them. Throws KernelError.
 *
 * @param beside path of another map with the same keys.
 */
export async function* rowsOf(path: string, beside?: string): AsyncGenerator<RawRow> {
  const map = BpfMap.openPinned(path);
  let other: BpfMap | undefined;
  try {
    if (beside !== undefined) other = BpfMap.openPinned(beside);
    const isArray = map.type === MapType.Array || map.type === MapType.PerCpuArray;
    let seen = 0;
    for (const key of map.keys()) {
      if (++seen % ROWS_A_TURN === 0) await yieldToOthers();
      if (seen > 2 * map.maxEntries) return; // a deleted key has made it start again
      const bytes = map.lookup(key);
      if (bytes === undefined || (isArray && bytes.every((byte) => byte === 0))) continue;
      const more = other?.lookup(key);
      yield { key, values: split(bytes, map), ...(other && more ? { beside: split(more, other) } : {}) };
    }
  } finally {
    other?.close();
    map.close();
  }
}

function split(bytes: Buffer, { valueSize, valueStride, perCpu }: BpfMap): Buffer[] {
  if (!perCpu) return [bytes];
  const slot = Math.ceil(valueSize / 8) * 8;
  return Array.from({ length: valueStride / slot }, (_, cpu) =>
    bytes.subarray(cpu * slot, cpu * slot + valueSize),
  );
}
