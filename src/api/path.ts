// SPDX-License-Identifier: Apache-2.0
/** A linear chain's `path` as links: each step is linked to the next. */
import type { Endpoint, LinkTemplate, PathStep, ServiceChainSpec } from './generated/types.ts';

function end(step: PathStep, side: 'in' | 'out'): Endpoint {
  if (step.type !== 'Cube') return step;
  const { cube, ...rest } = step;
  return { ...rest, cube: { name: cube.name, port: cube[side] } };
}

/** Links `path-0`, `path-1`, … in the order of the steps. */
export function pathToLinks(path: readonly PathStep[]): LinkTemplate[] {
  return path.slice(1).map((step, index) => ({
    name: `path-${index}`,
    endpoints: [end(path[index] as PathStep, 'out'), end(step, 'in')],
  }));
}

/** The links of a chain, however it is written. What a chain that goes into a link has before it is Next, too. */
export function chainLinks({ links, path = [], target }: ServiceChainSpec): LinkTemplate[] {
  if (links !== undefined) return links;
  return pathToLinks(target?.type === 'Link' ? [{ type: 'Next' }, ...path] : path);
}
