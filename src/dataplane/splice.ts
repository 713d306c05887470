// SPDX-License-Identifier: Apache-2.0
/**
 * Links and the Transparent chains that go into them → wires: what is joined to what in the end. Pure. The links
 * themselves stay as they are, and so do the cubes at their ends: a cube's program depends on its link alone, never on
 * what is spliced into it, so that a splice changes edges and nothing else.
 */
import type { CubeType } from '../cubes/cube-type.ts';
import type { Finding, Graph, GraphLink, LinkEnd, Wire, WireEnd } from './graph-model.ts';
import { refOf } from './objects.ts';
import { endsOf, type Line, lineOf, strayTail } from './splice-line.ts';
import { type Place, placeId, placesOf } from './splice-place.ts';

export interface Splices {
  readonly wires: Graph['wires'];
  readonly through: Graph['through'];
  /** By `CubeLink ns/name`: about the heads of chains. */
  readonly findings: readonly (readonly [ref: string, finding: Finding])[];
}

export interface SpliceInput {
  readonly links: ReadonlyMap<string, GraphLink>;
  /** Of any cube that is there, by key. */
  typeOf(cube: string): CubeType | undefined;
  /** Whether the cube can be in the kernel. */
  isProgrammed(cube: string): boolean;
}

/** A chain at its place. */
interface Placed {
  readonly line: Line;
  readonly place: Place;
}

/** What stands on a way, with the end towards its start and the one towards its end. */
interface Segment {
  readonly near: WireEnd;
  readonly far: WireEnd;
  /** Key of the cubes, in the order of the way. */
  readonly cubes: readonly string[];
}

export function resolveSplices(input: SpliceInput): Splices {
  const findings: [string, Finding][] = [];
  const say = (head: GraphLink, finding: Finding) =>
    findings.push([refOf('CubeLink', head.object.metadata), finding]);
  const lines: Line[] = [];
  for (const link of input.links.values()) {
    if (link.object.spec.splice !== undefined) {
      const line = lineOf(link, input);
      if ('reason' in line) say(link, line);
      else lines.push(line);
    } else if (link.ends.some(({ type }) => type === 'Next')) {
      const stray = strayTail(link, input);
      if (stray !== undefined) say(link, stray);
    }
  }
  const placed: Placed[] = [];
  const places = placesOf(lines, input.links);
  for (const line of lines) {
    const place = places.get(line.head.key);
    if (place === undefined) continue;
    if ('reason' in place) say(line.head, place);
    else placed.push({ line, place });
  }
  const stacks = new Map<string, Segment[]>();
  for (const { line, place } of placed.sort(byRank)) {
    const segment = segmentOf(line, input);
    if (segment === undefined) continue;
    const stack = stacks.get(place.id);
    if (stack === undefined) stacks.set(place.id, [segment]);
    else stack.push(segment);
  }
  return { ...wire(input, stacks, placed), findings };
}

/** The highest priority first, then the oldest, then by name. */
function byRank(a: Placed, b: Placed): number {
  const [x, y] = [a.line.rank, b.line.rank];
  if (x.priority !== y.priority) return y.priority - x.priority;
  if (x.since !== y.since) return x.since < y.since ? -1 : 1;
  return x.name < y.name ? -1 : 1;
}

/** Undefined for a chain that is left out: Open, with a cube that is not programmed. */
function segmentOf(line: Line, { isProgrammed }: SpliceInput): Segment | undefined {
  const missing = line.cubes.find((cube) => !isProgrammed(cube));
  if (missing === undefined) {
    const [near, far] = endsOf(line);
    return { near, far, cubes: line.cubes };
  }
  if (line.open) return undefined;
  const cut = { type: 'Cut', cube: missing } as const;
  return { near: cut, far: cut, cubes: [] };
}

const turned = ({ near, far, cubes }: Segment): Segment => ({
  near: far,
  far: near,
  cubes: [...cubes].reverse(),
});

function wire(
  input: SpliceInput,
  stacks: ReadonlyMap<string, readonly Segment[]>,
  placed: readonly Placed[],
): Pick<Splices, 'wires' | 'through'> {
  const wires: Wire[] = [];
  const through = new Map<string, readonly string[]>();
  const join = (segments: readonly Segment[], layer: 2 | 3): void => {
    for (const [i, { far }] of segments.entries()) {
      const next = segments[i + 1];
      if (next !== undefined) wires.push({ ends: [far, next.near], layer });
    }
  };
  const end = (one: WireEnd): Segment => ({ near: one, far: one, cubes: [] });
  for (const { key, object, ends } of input.links.values()) {
    if (object.spec.splice !== undefined || ends.some(({ type }) => type === 'Next')) continue;
    const [a, b] = ends;
    const atA = stacks.get(placeId(a)) ?? [];
    const atB = (stacks.get(placeId(b)) ?? []).map(turned).reverse();
    const between = [...atA, ...(stacks.get(`CubeLink ${key}`) ?? []), ...atB];
    join([end(a), ...between, end(b)], layerOf(ends, input));
    const cubes = between.flatMap((segment) => segment.cubes);
    if (cubes.length > 0) through.set(key, cubes.map(nameOf));
  }
  const bare = new Map(placed.flatMap(({ place }) => (place.bare ? [[place.id, place.bare] as const] : [])));
  for (const [id, start] of bare) {
    const stack = stacks.get(id);
    // Answers of these cubes go back as frames: there is no router that knows the next hop.
    if (stack !== undefined) join([end(start), ...stack, end({ type: 'Host' })], 2);
  }
  return { wires, through };
}

function layerOf(ends: readonly LinkEnd[], { typeOf }: SpliceInput): 2 | 3 {
  const cube = ends.find((end) => end.type === 'Cube');
  return (cube?.type === 'Cube' && typeOf(cube.cube)?.layer) || 3;
}

export function nameOf(cube: string): string {
  return cube.slice(cube.indexOf('/') + 1);
}
