// SPDX-License-Identifier: Apache-2.0
/** The interface that $(node.uplink) stands for. Pure. */
import type { Graph } from './graph-model.ts';

export const UPLINK = '$(node.uplink)';

/** What is looked at of the node's network. */
interface Interfaces {
  readonly interfaces: ReadonlyMap<string, { readonly name: string; readonly addresses: readonly string[] }>;
  /** That of the default route. */
  readonly uplink: string | undefined;
}

/**
 * That of the default route; where there is none, because all that the node speaks to is on its own network or the route is
 * being replaced, the one that has an address of the Node object, the first address first.
 */
export function uplinkOf(
  { interfaces, uplink }: Interfaces,
  nodeAddresses: readonly string[],
): string | undefined {
  if (uplink !== undefined) return uplink;
  const all = [...interfaces.values()];
  for (const address of nodeAddresses) {
    const holding = all.find(({ addresses }) => addresses.includes(address));
    if (holding !== undefined) return holding.name;
  }
  return undefined;
}

/** Whether a link ends in the uplink and nothing says which interface that is. */
export function lacksUplink({ links }: Pick<Graph, 'links'>): boolean {
  return [...links.values()].some(({ ends }) =>
    ends.some((end) => end.type === 'Interface' && end.name === UPLINK),
  );
}
