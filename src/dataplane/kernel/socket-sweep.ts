// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import type { CubeType } from '../../cubes/cube-type.ts';
import { loadObject } from './addon/index.ts';

/** Bytes that the program writes for each socket that it looked at: two words, the first 1 where it ended it. */
const EVENT = 8;

/**
 * Runs an iterator over the sockets of this network namespace that ends those whose peer is gone. It is loaded for that one
 * run: it is needed rarely, and holds maps open otherwise. `maps`: paths of the pins that it shares. Rejects with KernelError.
 */
export async function sweepSockets(
  objects: string,
  { object, program }: NonNullable<CubeType['socketSweep']>,
  maps: Readonly<Record<string, string>>,
): Promise<{ readonly seen: number; readonly ended: number }> {
  const loaded = await loadObject({ path: join(objects, `${object}.o`), reuseMaps: maps });
  try {
    const events = loaded.program(program).readIterator();
    let ended = 0;
    for (let at = 0; at < events.length; at += EVENT) ended += events.readUInt32LE(at);
    return { seen: events.length / EVENT, ended };
  } finally {
    loaded.close();
  }
}
