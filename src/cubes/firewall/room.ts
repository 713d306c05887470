// SPDX-License-Identifier: Apache-2.0
/** Whether rules fit into the maps of a firewall. */
import { type Compiled, capacities, compile, type Defaults } from './compile.ts';
import type { Directions } from './rule-order.ts';

/** Why the rules do not fit, in words that follow the name of whose rules they are. */
export function excess(directions: Directions, defaults: Defaults, maxRules: number): string | undefined {
  const tooMany = excessOfRules(directions, maxRules);
  if (tooMany !== undefined) return tooMany;
  const room = capacities(maxRules);
  const prefixes = count(directions, ({ sources, destinations }) => sources.length + destinations.length);
  const ranges = count(
    directions,
    ({ services, sourcePorts }) => 2 * ((services?.length ?? 0) + (sourcePorts?.length ?? 0)),
  );
  const kinds = directions.flat().some(({ tcpFlags }) => tcpFlags) ? 2048 : 64;
  // Each prefix and each end of a range makes at most one bitmap, and one page more; the exact number is only asked for near
  // the limit.
  if (prefixes + ranges + kinds < room.bitmaps && ranges + 64 < room.leaves && 8 * prefixes < room.addresses)
    return undefined;
  return excessOfTables(compile(directions, defaults, 0, maxRules), maxRules);
}

export function excessOfRules(directions: Directions, maxRules: number): string | undefined {
  const most = Math.max(...directions.map((rules) => rules.length));
  return most > maxRules ? `${most} rules in one direction, but maxRules is ${maxRules}` : undefined;
}

export function excessOfTables(
  { bitmaps, pages, addressKeys }: Compiled,
  maxRules: number,
): string | undefined {
  const room = capacities(maxRules);
  if (bitmaps <= room.bitmaps && pages <= room.leaves && addressKeys.length <= room.addresses)
    return undefined;
  return `more distinct prefixes and ports (${bitmaps} sets of rules, ${pages} pages, ${addressKeys.length} prefixes) than maxRules ${maxRules} makes room for (${room.bitmaps}, ${room.leaves}, ${room.addresses})`;
}

function count(directions: Directions, of: (rule: Directions[0][number]) => number): number {
  return directions.flat().reduce((sum, rule) => sum + of(rule), 0);
}
