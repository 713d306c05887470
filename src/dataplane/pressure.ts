// SPDX-License-Identifier: Apache-2.0
/** How full the maps of a node are. Pure. */
import type { CubeNodeStatus } from '../api/generated/types.ts';

export interface MapUsage {
  /** `namespace/name` of the cube; empty for a map of the node. */
  readonly cube: string;
  readonly map: string;
  readonly used: number;
  readonly max: number;
  /** Its oldest rows make room, and nobody misses them. */
  readonly isCache: boolean;
}

type Pressure = NonNullable<CubeNodeStatus['mapPressure']>;

/** What the status can hold. */
const MOST_SHOWN = 256;

/** A map appears at 80 % and goes below 70 %, so that a status is not written for every row. */
export function pressureOf(usage: Iterable<MapUsage>, before: Pressure): Pressure {
  const shown = new Set(before.map(({ cube, map }) => `${cube} ${map}`));
  const list: (Pressure[number] & { share: number })[] = [];
  for (const { cube, map, used, max, isCache } of usage) {
    const share = max === 0 ? 0 : used / max;
    if (isCache || share < (shown.has(`${cube} ${map}`) ? 0.7 : 0.8)) continue;
    list.push({ cube, map, level: share >= 1 ? 'Full' : 'High', maxEntries: max, share });
  }
  // The fullest ones, where there are too many; otherwise in the order of the cubes, which does not change.
  if (list.length > MOST_SHOWN) list.sort((a, b) => b.share - a.share).splice(MOST_SHOWN);
  return list.map(({ share, ...shownOf }) => shownOf);
}
