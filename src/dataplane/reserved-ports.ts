// SPDX-License-Identifier: Apache-2.0
/**
 * Ports of the host's addresses that cubes claim, among those that the kernel gives to no process by itself. Pure; what the kernel
 * has is a list of others and of ours, and the list of ours is on disk, so that only these are ever taken back.
 */

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** The text of `net.ipv4.ip_local_reserved_ports`: `8080,49152-65535`. What is no range is left out. */
export function parsePorts(text: string): PortRange[] {
  return text.split(',').flatMap((part) => {
    const found = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (!found) return [];
    return [{ first: Number(found[1]), last: Number(found[2] ?? found[1]) }];
  });
}

export function formatPorts(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

/** In order, with nothing twice. */
export function joinPorts(ranges: readonly PortRange[]): PortRange[] {
  const joined: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before && first <= before.last + 1) before.last = Math.max(before.last, last);
    else joined.push({ first, last });
  }
  return joined;
}

/** What is in `ranges` and in none of `without`. */
export function subtractPorts(ranges: readonly PortRange[], without: readonly PortRange[]): PortRange[] {
  let left = joinPorts(ranges);
  for (const hole of without) {
    left = left.flatMap(({ first, last }) => {
      if (hole.last < first || hole.first > last) return [{ first, last }];
      const parts: PortRange[] = [];
      if (first < hole.first) parts.push({ first, last: hole.first - 1 });
      if (hole.last < last) parts.push({ first: hole.last + 1, last });
      return parts;
    });
  }
  return left;
}

export interface Reservation {
  /** What the kernel is to have. */
  readonly all: readonly PortRange[];
  /** Of it what others do not have: ours to take back. */
  readonly ours: readonly PortRange[];
}

/** @param now what the kernel has. @param ours of it what an agent added. */
export function planReservation(
  now: readonly PortRange[],
  ours: readonly PortRange[],
  wanted: readonly PortRange[],
): Reservation {
  const others = subtractPorts(now, ours);
  return { all: joinPorts([...others, ...wanted]), ours: subtractPorts(wanted, others) };
}
