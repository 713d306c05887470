// SPDX-License-Identifier: Apache-2.0
/** Where each Transparent chain goes: into a link, or next to an end of one. Pure. */
import type { Finding, GraphLink, LinkEnd } from './graph-model.ts';
import type { Line } from './splice-line.ts';

export interface Place {
  /** The same for all chains that stand there one after the other. */
  readonly id: string;
  /** An interface that no Terminating chain owns: behind the cubes is the host. */
  readonly bare?: LinkEnd;
}

/** What chains name that go next to an end. */
export function placeId(end: LinkEnd): string {
  if (end.type === 'Interface') return `Interface ${end.name}`;
  return end.type === 'Cube' ? `Cube ${end.cube}/${end.port}` : end.type;
}

/** By the key of the head. */
export function placesOf(
  lines: readonly Line[],
  links: ReadonlyMap<string, GraphLink>,
): Map<string, Place | Finding> {
  const owners = new Map<string, GraphLink>();
  for (const link of links.values()) {
    if (link.object.spec.splice !== undefined) continue;
    for (const end of link.ends) owners.set(placeId(end), link);
  }
  const places = new Map<string, Place | Finding>();
  for (const line of lines) places.set(line.head.key, placeOf(line.head, owners, links));
  const innerOf = new Map(lines.flatMap(({ head, inner }) => inner.map((link) => [link, head.key] as const)));
  for (const { head } of lines) {
    const ring = ringFrom(head.key, innerOf, places);
    if (ring === undefined) continue;
    const message = `spec.splice.link: the chains of CubeLinks ${ring.join(', ')} go into links of each other; name a link of a Terminating chain`;
    for (const key of ring) places.set(key, { condition: 'Accepted', reason: 'LinkCycle', message });
  }
  return places;
}

/** The heads from one on that go into a link of the next one, when that comes back to the first. */
function ringFrom(
  start: string,
  innerOf: ReadonlyMap<string, string>,
  places: ReadonlyMap<string, Place | Finding>,
): string[] | undefined {
  const seen: string[] = [];
  for (let key: string | undefined = start; key !== undefined && !seen.includes(key); ) {
    seen.push(key);
    const place: Place | Finding | undefined = places.get(key);
    key = place !== undefined && 'id' in place ? innerOf.get(place.id.replace(/^CubeLink /, '')) : undefined;
    if (key === start) return seen;
  }
  return undefined;
}

function placeOf(
  head: GraphLink,
  owners: ReadonlyMap<string, GraphLink>,
  links: ReadonlyMap<string, GraphLink>,
): Place | Finding {
  const { metadata, spec } = head.object;
  const own = metadata.namespace ?? '';
  const outer = head.ends.find((end) => end.type !== 'Cube') as LinkEnd;
  if (outer.type === 'Next') {
    const key = `${spec.splice?.namespace ?? own}/${spec.splice?.link}`;
    const target = links.get(key);
    if (target === undefined) {
      return missing(
        'LinkNotFound',
        `spec.splice.link: there is no CubeLink ${key} on this node, or it is not accepted; create it or correct the name`,
      );
    }
    if (target.object.spec.splice !== undefined || target.ends.some(({ type }) => type === 'Next')) {
      const message = `spec.splice.link: CubeLink ${key} is an end of a Transparent chain; name the link that it goes into, and set the order by priority`;
      return { condition: 'Accepted', reason: 'NotSpliceable', message };
    }
    return permitted(target, own) ?? { id: `CubeLink ${key}` };
  }
  const id = placeId(outer);
  const owner = owners.get(id);
  if (owner !== undefined) return permitted(owner, own) ?? { id };
  if (outer.type === 'Interface') return { id, bare: outer };
  return missing(
    'NothingNext',
    `spec.endpoints: no Terminating chain of this node ends at ${id}, so nothing would come next; link it, or delete the chain`,
  );
}

function missing(reason: string, message: string): Finding {
  return { condition: 'ResolvedRefs', reason, message };
}

function permitted(target: GraphLink, namespace: string): Finding | undefined {
  const { metadata, spec } = target.object;
  if (metadata.namespace === namespace || spec.spliceFrom?.includes(namespace)) return undefined;
  const message = `spec.splice: CubeLink ${target.key} lets no chain of namespace ${namespace} in; add ${namespace} to spliceFrom of it or of its chain`;
  return missing('RefNotPermitted', message);
}
