// SPDX-License-Identifier: Apache-2.0
/** A link as far as it matters here; cubes by their keys. */
interface Joined {
  readonly ends: readonly ({ readonly type: 'Cube'; readonly cube: string } | { readonly type: string })[];
}

export interface Ring {
  /** Keys of the links in it. */
  readonly links: readonly string[];
  /** Keys of its cubes, sorted. */
  readonly cubes: readonly string[];
}

interface Part {
  readonly cubes: Set<string>;
  readonly inside: string[];
  outside: number;
}

/** Cubes that are linked to each other in a ring and, all together, to nothing else. */
export function closedRings(links: ReadonlyMap<string, Joined>): Ring[] {
  const rings: Ring[] = [];
  for (const { cubes, inside, outside } of connectedParts(links)) {
    // A tree has one link less than cubes.
    if (outside > 0 || inside.length < cubes.size) continue;
    rings.push({ links: inside, cubes: [...cubes].sort() });
  }
  return rings;
}

function connectedParts(links: ReadonlyMap<string, Joined>): Iterable<Part> {
  const partOf = new Map<string, Part>();
  const parts = new Set<Part>();
  for (const [key, { ends }] of links) {
    const cubes = ends.flatMap((end) => ('cube' in end ? [end.cube] : []));
    const part: Part = { cubes: new Set(cubes), inside: [], outside: 0 };
    if (cubes.length === 2) part.inside.push(key);
    else part.outside++;
    for (const other of new Set(cubes.map((cube) => partOf.get(cube)))) {
      if (other === undefined) continue;
      for (const cube of other.cubes) part.cubes.add(cube);
      part.inside.push(...other.inside);
      part.outside += other.outside;
      parts.delete(other);
    }
    for (const cube of part.cubes) partOf.set(cube, part);
    parts.add(part);
  }
  return parts;
}
