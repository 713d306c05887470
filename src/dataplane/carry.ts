// SPDX-License-Identifier: Apache-2.0
/** Which rows a state map of another layout or size takes over from the one before it. Pure. */
import type { MapDeclaration, MigrateRow } from '../cubes/cube-type.ts';

/** What may be carried into a state map. */
export interface Carried {
  readonly version: number;
  /** max_entries; undefined: the object's own. */
  readonly size: number | undefined;
  readonly writer: MapDeclaration['writer'];
  /** Makes rows of another version into rows of this one. */
  readonly migrate?: MigrateRow;
}

interface Layout {
  readonly map: string;
  readonly version: number;
  readonly size: number | undefined;
}

/** Name of a state map's pin: `MAP_VERSION_SIZE`. */
export function statePinOf(map: string, version: number, size: number | undefined): string {
  return `${map}_${version}_${size ?? 'own'}`;
}

export function layoutOfPin(pin: string): Layout | undefined {
  const match = /^(.+)_(\d+)_(own|\d+)$/.exec(pin);
  if (match === null) return undefined;
  const [, map = '', version, size] = match;
  return { map, version: Number(version), size: size === 'own' ? undefined : Number(size) };
}

/** The pin among those `there` whose rows the map that is pinned as `pin` takes over; the newest layout of several. */
export function carriedFrom(
  pin: string,
  carried: Carried | undefined,
  there: Iterable<string>,
): string | undefined {
  const map = layoutOfPin(pin)?.map;
  if (carried === undefined) return undefined;
  let best: { readonly pin: string; readonly version: number } | undefined;
  for (const other of there) {
    const layout = layoutOfPin(other);
    if (other === pin || layout?.map !== map || layout === undefined) continue;
    if (isCarried(carried, layout) && (best?.version ?? -1) < layout.version)
      best = { pin: other, version: layout.version };
  }
  return best?.pin;
}

/** State maps of an instance that begin with the rows of an earlier one: map, and that one's pin. */
export function carriedMaps(
  {
    stateMaps,
    carried,
  }: { readonly stateMaps: ReadonlyMap<string, string>; readonly carried: ReadonlyMap<string, Carried> },
  there: ReadonlySet<string>,
): [map: string, from: string][] {
  return [...stateMaps].flatMap(([map, pin]): [string, string][] => {
    // A map that is there has its rows: it was pinned when they were in it.
    const from = there.has(pin) ? undefined : carriedFrom(pin, carried.get(map), there);
    return from === undefined ? [] : [[map, from]];
  });
}

function isCarried(carried: Carried, from: Layout): boolean {
  if (carried.writer === 'program') return from.version === carried.version || carried.migrate !== undefined;
  // What user space writes is worth having only as a whole: the image adopts it. It knows its own layout only.
  if (from.version !== carried.version || from.size === undefined || carried.size === undefined) return false;
  return carried.size >= from.size;
}
