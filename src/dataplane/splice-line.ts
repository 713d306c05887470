// SPDX-License-Identifier: Apache-2.0
/** The cubes of a Transparent chain, followed from the link at its head to the one that ends in Next. Pure. */
import { LABELS } from '../api/group.ts';
import type { CubeType } from '../cubes/cube-type.ts';
import type { Finding, GraphLink, LinkEnd } from './graph-model.ts';

export interface Line {
  readonly head: GraphLink;
  /** Keys of its cubes, from the head on, as far as they are known. */
  readonly cubes: readonly string[];
  /** Port towards the head of the first cube, and towards Next of the last one. */
  readonly first: string;
  readonly last: string;
  /** Keys of the links between its cubes. */
  readonly inner: readonly string[];
  /** Left out, instead of cutting its link, while a cube is not programmed. */
  readonly open: boolean;
  readonly rank: { readonly priority: number; readonly since: string; readonly name: string };
}

export interface LineInput {
  readonly links: ReadonlyMap<string, GraphLink>;
  typeOf(cube: string): CubeType | undefined;
}

type CubeEnd = Extract<LinkEnd, { type: 'Cube' }>;

/** A finding where the links form no such line. A cube that is not there ends it: what is behind it is unknown. */
export function lineOf(head: GraphLink, { links, typeOf }: LineInput): Line | Finding {
  const at = portIndex(links);
  const cubes: string[] = [];
  const inner: string[] = [];
  const [outer, start] = head.ends[0].type === 'Cube' ? [head.ends[1], head.ends[0]] : head.ends;
  if (start.type !== 'Cube') return notAPath(head, 'it joins no cube', 'make one endpoint a port of a cube');
  let end: CubeEnd = start;
  for (;;) {
    const type = typeOf(end.cube);
    cubes.push(end.cube);
    if (type === undefined) break;
    const pair = type.transparent;
    if (pair === undefined) return notSpliceable(head, end.cube, type);
    if (end.port !== pair.outside && end.port !== pair.inside) {
      const ports = `${pair.outside} and ${pair.inside}`;
      return notAPath(head, `Cube ${end.cube} has no port ${end.port}`, `use its ports ${ports}`);
    }
    const port = end.port === pair.outside ? pair.inside : pair.outside;
    const next = at.get(`${end.cube}/${port}`);
    if (next === undefined) {
      const what = `port ${port} of Cube ${end.cube} is not linked`;
      return notAPath(head, what, 'link it to the next cube, or to an endpoint of type Next');
    }
    const far = next.link.ends[1 - next.index] as LinkEnd;
    if (far.type === 'Next' && next.link.object.spec.splice === undefined) {
      return { ...lineFrom(head, outer), cubes, first: start.port, last: port, inner };
    }
    if (far.type !== 'Cube') {
      const what = `port ${port} of Cube ${end.cube} is linked by CubeLink ${next.link.key}, which does not lead on`;
      return notAPath(head, what, 'link it to the next cube, or to Next without splice');
    }
    if (cubes.includes(far.cube)) {
      const what = `it comes back to Cube ${far.cube}`;
      return { ...notAPath(head, what, 'link the last cube to Next'), reason: 'LinkCycle' };
    }
    inner.push(next.link.key);
    end = far;
  }
  return { ...lineFrom(head, outer), cubes, first: start.port, last: start.port, inner };
}

/** What stands against a link that ends in Next without a head that leads there. */
export function strayTail(tail: GraphLink, { links, typeOf }: LineInput): Finding | undefined {
  const at = portIndex(links);
  const seen: string[] = [];
  let end: LinkEnd | undefined = tail.ends.find((one) => one.type === 'Cube');
  while (end?.type === 'Cube' && !seen.includes(end.cube)) {
    seen.push(end.cube);
    const type = typeOf(end.cube);
    // That it is not there is said of the link that names it.
    if (type === undefined) return undefined;
    const pair = type.transparent;
    const port: string | undefined = end.port === pair?.inside ? pair.outside : pair?.inside;
    const before: { link: GraphLink; index: number } | undefined = pair && at.get(`${end.cube}/${port}`);
    if (before?.link.object.spec.splice !== undefined) return undefined;
    end = before?.link.ends[1 - before.index];
  }
  const message = `spec.endpoints: Next stands behind ${seen.join(', ')}, to which no link with splice leads; make one, or delete the link`;
  return { condition: 'Accepted', reason: 'NotAPath', message };
}

function lineFrom(head: GraphLink, outer: LinkEnd): Pick<Line, 'head' | 'open' | 'rank'> {
  const { metadata, spec } = head.object;
  const { priority = 500, since = metadata.creationTimestamp ?? '' } = spec.splice ?? {};
  const name = `${metadata.namespace ?? ''}/${metadata.labels?.[LABELS.chain] ?? metadata.name}`;
  return { head, open: 'open' in outer && outer.open, rank: { priority, since, name } };
}

/** The two ends of a whole line. */
export function endsOf({ cubes, first, last }: Line): [CubeEnd, CubeEnd] {
  return [
    { type: 'Cube', cube: cubes[0] as string, port: first },
    { type: 'Cube', cube: cubes[cubes.length - 1] as string, port: last },
  ];
}

function portIndex(links: ReadonlyMap<string, GraphLink>): Map<string, { link: GraphLink; index: number }> {
  const at = new Map<string, { link: GraphLink; index: number }>();
  for (const link of links.values()) {
    for (const [index, end] of link.ends.entries()) {
      if (end.type === 'Cube') at.set(`${end.cube}/${end.port}`, { link, index });
    }
  }
  return at;
}

function notAPath(head: GraphLink, what: string, remedy: string): Finding {
  return {
    condition: 'Accepted',
    reason: 'NotAPath',
    message: `spec.splice: from CubeLink ${head.key} no line of cubes leads to Next: ${what}; ${remedy}`,
  };
}

function notSpliceable(head: GraphLink, cube: string, { type }: CubeType): Finding {
  const message = `Cube ${cube} is a ${type}, which cannot be spliced into a link; use a type with the ports outside and inside, or link it in a Terminating chain`;
  return {
    condition: 'Accepted',
    reason: 'NotSpliceable',
    message: `spec.splice: CubeLink ${head.key}: ${message}`,
  };
}
