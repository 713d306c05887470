// SPDX-License-Identifier: Apache-2.0
/** Edges and attachments of the cubes at XDP. Pure. */
import type { Graph } from './graph-model.ts';
import { EdgeKind, edgeIndex, edgeWord, XDP_SLOT } from './layout.ts';
import { pinNameOfInterface } from './names.ts';
import type { DesiredState } from './state.ts';

/** Ports of a type that can be spliced in, and so also of a cube at XDP. */
const OUTSIDE = 0;
const INSIDE = 1;

/** `ports`: port of slot 0 of each interface by name, which is its port of the XDP entry's slot too. */
export function xdpEdges(
  graph: Graph,
  slotOf: ReadonlyMap<string, number>,
  ports: ReadonlyMap<string, number>,
): [number, bigint][] {
  const edges: [number, bigint][] = [];
  for (const { interface: end, cubes, next } of graph.xdp) {
    const port = ports.get(end.name);
    const slots = cubes.map((cube) => slotOf.get(cube));
    const [first] = slots;
    if (port === undefined || end.info === undefined) continue;
    if (first !== undefined) edges.push([edgeIndex(XDP_SLOT, port), edgeWord(EdgeKind.Cube, first, OUTSIDE)]);
    for (const [i, slot] of slots.entries()) {
      if (slot === undefined) continue;
      const before = slots[i - 1];
      const after = slots[i + 1];
      if (i === 0) edges.push([edgeIndex(slot, OUTSIDE), edgeWord(EdgeKind.Device, end.info.ifindex)]);
      else if (before !== undefined)
        edges.push([edgeIndex(slot, OUTSIDE), edgeWord(EdgeKind.Cube, before, INSIDE)]);
      if (after !== undefined) edges.push([edgeIndex(slot, INSIDE), edgeWord(EdgeKind.Cube, after, OUTSIDE)]);
      else if (i === slots.length - 1 && next !== undefined)
        edges.push([edgeIndex(slot, INSIDE), edgeWord(EdgeKind.Pass, 0)]);
    }
  }
  return edges;
}

/** Where the entry program of XDP has to sit, and which one; none at all while no cube is there. */
export function xdpAttachments(graph: Graph, hash: string | undefined): DesiredState['xdp'] {
  const links = new Map<string, { ifindex: number; name: string }>();
  for (const { interface: end, isBlocked } of graph.xdp) {
    if (end.info === undefined || isBlocked) continue;
    links.set(pinNameOfInterface(end.name), { ifindex: end.info.ifindex, name: end.name });
  }
  return { entry: graph.xdp.length > 0 ? (hash ?? '') : undefined, links };
}

/** Interfaces that TC has no part in: behind their cubes comes the host. */
export function xdpOnly(graph: Graph): ReadonlySet<string> {
  return new Set(graph.xdp.filter(({ next }) => next !== 'TC').map(({ interface: end }) => end.name));
}

/** Interfaces whose packets end, because a chain that is Closed lacks its cubes at XDP. */
export function xdpClosed(graph: Graph): ReadonlySet<string> {
  const closed = graph.xdp.filter(({ isBlocked, interface: end }) => isBlocked && !end.open);
  return new Set(closed.map(({ interface: end }) => end.name));
}
