// SPDX-License-Identifier: Apache-2.0
/** Tunnel routes → which VTEP may send packets from which prefix. Pure. */
import { formatPrefix, masked, parseAddress, parsePrefix } from '../api/ip.ts';
import { encodeAddress, encodePrefix, type Hex, PREFIX_LENGTHS } from './layout.ts';

export interface OverlaySources {
  readonly rows: ReadonlyMap<Hex, Hex>;
  /** The VTEPs themselves, each as a host's prefix of its own: nobody else may send from there. */
  readonly nodes: ReadonlyMap<Hex, Hex>;
  /** Of 128, longest first. */
  readonly lengthsV4: readonly number[];
  readonly lengthsV6: readonly number[];
  /** Whether any VTEP has an IPv6 address: the outer header is then 20 bytes longer. */
  readonly hasIPv6Remote: boolean;
  /** What could not be taken, for people. */
  readonly problems: readonly string[];
}

export const NO_SOURCES: OverlaySources = {
  rows: new Map(),
  nodes: new Map(),
  lengthsV4: [],
  lengthsV6: [],
  hasIPv6Remote: false,
  problems: [],
};

export interface TunnelSource {
  /** Canonical text. */
  readonly prefix: string;
  readonly remote: string;
}

/** The tunnel routes among rows of a Route table or a router's own routes; others, and malformed ones, are passed over. */
export function tunnelsOf(rows: readonly unknown[]): TunnelSource[] {
  const found: TunnelSource[] = [];
  for (const row of rows as { destination?: string; type?: string; tunnel?: { remote?: string } }[]) {
    if (row.type !== 'Tunnel') continue;
    const prefix = parsePrefix(row.destination ?? '');
    const remote = row.tunnel?.remote ?? '';
    if (prefix === undefined || parseAddress(remote) === undefined) continue;
    found.push({ prefix: formatPrefix(masked(prefix)), remote });
  }
  return found;
}

export function overlaySources(tunnels: Iterable<TunnelSource>): OverlaySources {
  const byPrefix = new Map<string, string>();
  const problems: string[] = [];
  for (const { prefix, remote } of tunnels) {
    const other = byPrefix.get(prefix);
    if (other === undefined) byPrefix.set(prefix, remote);
    else if (other !== remote)
      problems.push(
        `${prefix} is tunnelled to ${other} and to ${remote}; only packets from ${other} are let in`,
      );
  }
  const lengths = { v4: new Set<number>(), v6: new Set<number>() };
  for (const prefix of byPrefix.keys()) {
    const length = Number(prefix.slice(prefix.indexOf('/') + 1));
    if (length === 0) continue;
    if (prefix.includes(':')) lengths.v6.add(length);
    else lengths.v4.add(length + 96);
  }
  const longest = (set: Set<number>, family: string) => {
    const all = [...set].sort((a, b) => b - a);
    if (all.length > PREFIX_LENGTHS) {
      problems.push(
        `tunnel routes of ${family} have ${all.length} prefix lengths; sources of the ${PREFIX_LENGTHS} longest are let in, packets from others are dropped`,
      );
    }
    return all.slice(0, PREFIX_LENGTHS);
  };
  const rows = new Map<Hex, Hex>();
  const nodes = new Map<Hex, Hex>();
  let hasIPv6Remote = false;
  for (const [prefix, remote] of byPrefix) {
    rows.set(encodePrefix(prefix), encodeAddress(remote));
    nodes.set(encodePrefix(`${remote}/${remote.includes(':') ? 128 : 32}`), encodeAddress(remote));
    hasIPv6Remote ||= remote.includes(':');
  }
  return {
    rows,
    nodes,
    lengthsV4: longest(lengths.v4, 'IPv4'),
    lengthsV6: longest(lengths.v6, 'IPv6'),
    hasIPv6Remote,
    problems,
  };
}
