// SPDX-License-Identifier: Apache-2.0
import type { CubeType } from '../cubes/cube-type.ts';

/** A link as far as it matters here; cubes by their keys. */
interface Joined {
  readonly ends: readonly ({ readonly type: 'Cube'; readonly cube: string } | { readonly type: string })[];
}

export interface BroadcastLoop {
  /** Key of the link that closes it. */
  readonly link: string;
  /** Keys of its cubes, in the order of the ring. */
  readonly cubes: readonly string[];
}

/**
 * Links that close a ring in which a broadcast never ends: one without a cube that ends a segment and with one that
 * joins its ports. Links are taken in their order; a link that closes a ring is left out of what follows, so that the
 * others are in no ring.
 *
 * One way between the ends of a link is enough to look at: if another one held a joining cube, the two ways together
 * would be a ring that had been found before.
 */
export function broadcastLoops(
  links: ReadonlyMap<string, Joined>,
  segmentOf: (cube: string) => CubeType['segment'],
): BroadcastLoop[] {
  const neighbours = new Map<string, Set<string>>();
  const at = (cube: string): Set<string> => {
    const set = neighbours.get(cube) ?? new Set();
    neighbours.set(cube, set);
    return set;
  };
  const loops: BroadcastLoop[] = [];
  for (const [key, { ends }] of links) {
    const [a, b] = ends.flatMap((end) => ('cube' in end ? [end.cube] : []));
    if (a === undefined || b === undefined || segmentOf(a) === 'ends' || segmentOf(b) === 'ends') continue;
    const ring = way(neighbours, a, b);
    if (ring?.some((cube) => segmentOf(cube) === 'joins')) {
      loops.push({ link: key, cubes: ring });
      continue;
    }
    at(a).add(b);
    at(b).add(a);
  }
  return loops;
}

/** The cubes from one to another, both included; undefined where no links lead there. */
function way(
  neighbours: ReadonlyMap<string, ReadonlySet<string>>,
  from: string,
  to: string,
): string[] | undefined {
  const cameFrom = new Map<string, string | undefined>([[from, undefined]]);
  for (const cube of cameFrom.keys()) {
    if (cube === to) break;
    for (const next of neighbours.get(cube) ?? []) if (!cameFrom.has(next)) cameFrom.set(next, cube);
  }
  if (!cameFrom.has(to)) return undefined;
  const cubes: string[] = [];
  for (let cube: string | undefined = to; cube !== undefined; cube = cameFrom.get(cube)) cubes.unshift(cube);
  return cubes;
}
