// SPDX-License-Identifier: Apache-2.0
/** Whether the kernel limits a pod, as its maps say. */
import type { Running } from '../images.ts';
import { limitersOf } from '../pod-limits.ts';
import type { PodRecord } from '../pod-record.ts';
import type { TablePage, TablesRequest } from './tables.ts';

const TABLE = 'limits';

/** What is missing, in words. Throws KernelError. */
export async function missingLimits(
  { addresses, bandwidth }: PodRecord,
  running: Iterable<Running>,
  read: (request: TablesRequest) => Promise<TablePage>,
): Promise<string[]> {
  if (bandwidth === undefined) return [];
  const limiters = limitersOf(running);
  if (limiters.length === 0) return ['no RateLimiter of the node limits its bandwidth'];
  const missing: string[] = [];
  for (const { instance } of limiters)
    for (const address of addresses) {
      const { rows } = await read({ cube: instance.cubeKey, table: TABLE, match: address });
      if (!rows.some(({ key }) => key === address))
        missing.push(`Cube ${instance.cubeKey} has no limit for ${address}`);
    }
  return missing;
}
