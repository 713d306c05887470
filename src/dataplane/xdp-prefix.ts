// SPDX-License-Identifier: Apache-2.0
/**
 * Cubes at XDP are a prefix of the chain behind an interface: what is received meets them before TC, what is sent does not.
 * So TC sees the interface linked to whatever the last of them is linked to, and they know nothing of each other. Pure.
 */
import type { Finding, GraphLink, LinkEnd, XdpPrefix } from './graph-model.ts';

export interface XdpPrefixes {
  readonly prefixes: readonly XdpPrefix[];
  /** The links as TC sees them. */
  readonly links: Map<string, GraphLink>;
  /** By key of the link. */
  readonly refused: ReadonlyMap<string, Finding>;
  /** By key of a link or cube: what does not keep it out. */
  readonly findings: readonly (readonly [ref: string, finding: Finding])[];
}

/** The two ports of a cube at XDP; undefined for a cube in TC. */
export type PortsAtXdp = (cube: string) => { readonly outside: string; readonly inside: string } | undefined;

export function xdpPrefixes(all: ReadonlyMap<string, GraphLink>, portsOf: PortsAtXdp): XdpPrefixes {
  const refused = new Map<string, Finding>();
  const findings: [string, Finding][] = [];
  const tc = new Map<string, GraphLink>();
  /** `CUBE PORT` of cubes at XDP → link, and its other end. */
  const peers = new Map<string, { link: GraphLink; end: LinkEnd }>();
  const atXdp = (end: LinkEnd | undefined) => (end?.type === 'Cube' ? portsOf(end.cube) : undefined);
  for (const [key, link] of all) {
    if (!link.ends.some(atXdp)) {
      tc.set(key, link);
      continue;
    }
    const wrong = wrongNeighbour(link, atXdp);
    if (wrong !== undefined) {
      refused.set(key, wrong);
      continue;
    }
    for (const [i, end] of link.ends.entries()) {
      const other = link.ends[1 - i];
      if (end.type === 'Cube' && other !== undefined)
        peers.set(`${end.cube} ${end.port}`, { link, end: other });
    }
  }
  const prefixes: XdpPrefix[] = [];
  for (const { ends } of all.values()) {
    for (const [i, end] of ends.entries()) {
      const first = ends[1 - i];
      if (end.type !== 'Interface' || first?.type !== 'Cube') continue;
      if (peers.get(`${first.cube} ${first.port}`)?.end !== end) continue;
      const { cubes, last } = follow(first, peers, portsOf);
      const foreign = end.info?.xdp?.isForeign === true ? end.info.xdp : undefined;
      prefixes.push({
        interface: end,
        cubes,
        next: last?.end.type === 'Cube' ? 'TC' : last?.end.type === 'Stack' ? 'Host' : undefined,
        isBlocked: foreign !== undefined,
      });
      if (last?.end.type === 'Cube') tc.set(last.link.key, { ...last.link, ends: [end, last.end] });
      if (foreign !== undefined) {
        const message = `interface ${end.name} has the XDP program ${foreign.name} (id ${foreign.id}) of somebody else, which is not replaced, so this cube sees no packet; take it off (ip link set dev ${end.name} xdp off), or set hook to TC`;
        for (const cube of cubes)
          findings.push([
            `Cube ${cube}`,
            { condition: 'ResolvedRefs', reason: 'ForeignXDPProgram', message },
          ]);
      }
    }
  }
  return { prefixes, links: tc, refused, findings };
}

function follow(
  first: LinkEnd & { type: 'Cube' },
  peers: ReadonlyMap<string, { link: GraphLink; end: LinkEnd }>,
  portsOf: PortsAtXdp,
): { cubes: string[]; last: { link: GraphLink; end: LinkEnd } | undefined } {
  const cubes: string[] = [];
  for (let cube = first.cube; ; ) {
    cubes.push(cube);
    const next = peers.get(`${cube} ${portsOf(cube)?.inside}`);
    const at = next?.end.type === 'Cube' && portsOf(next.end.cube) ? next.end.cube : undefined;
    if (at === undefined || cubes.includes(at)) return { cubes, last: next };
    cube = at;
  }
}

function wrongNeighbour(
  link: GraphLink,
  atXdp: (end: LinkEnd | undefined) => { outside: string; inside: string } | undefined,
): Finding | undefined {
  for (const [i, end] of link.ends.entries()) {
    const ports = atXdp(end);
    const other = link.ends[1 - i];
    if (end.type !== 'Cube' || ports === undefined || other === undefined) continue;
    const name = end.cube.slice(end.cube.indexOf('/') + 1);
    const theirs = atXdp(other);
    const refuse = (reason: string, message: string): Finding => ({
      condition: 'Accepted',
      reason,
      message: `spec.endpoints[${i}]: Cube ${name} runs at the XDP hook: ${message}`,
    });
    const isPod = other.type === 'Pods' || (other.type === 'Interface' && other.info?.isPod === true);
    if (isPod) {
      return refuse(
        'XDPOnPods',
        'pods are not reached by it, it would slow all their traffic down; link it to an uplink, or set its hook to TC',
      );
    }
    if (end.port === ports.outside) {
      const before = theirs !== undefined && other.type === 'Cube' && other.port === theirs.inside;
      if (other.type !== 'Interface' && !before) {
        return refuse(
          'XDPNotAtInterface',
          `its port ${end.port} can only be linked to an Interface, or to the port ${ports.inside} of another cube at XDP; correct the link, or set its hook to TC`,
        );
      }
    } else if (end.port === ports.inside) {
      const behind =
        other.type === 'Cube'
          ? theirs === undefined || other.port === theirs.outside
          : other.type === 'Stack';
      if (!behind) {
        return refuse(
          'XDPNotAtInterface',
          `what passes its port ${end.port} goes on to TC, so that can only be linked to a cube, or to the Stack; correct the link, or set its hook to TC`,
        );
      }
    }
  }
  return undefined;
}
