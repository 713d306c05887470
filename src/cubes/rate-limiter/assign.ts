// SPDX-License-Identifier: Apache-2.0
/**
 * Which limit each address has, and the number of each limit. Pure. An address that several limits name has that of the spec,
 * else that of the table whose key is the smallest, whatever came first, so that agents agree.
 */
import type { Limit } from '../../api/generated/types.ts';
import { addressBytes } from '../codec/address.ts';
import type { Problem } from '../cube-type.ts';

/** Key of what stands in the spec of the cube itself. */
export const SPEC = '';
/** Addresses for each limit that fits. */
export const ADDRESSES = 4;

export interface Assigned {
  readonly limit: Limit;
  readonly number: number;
  /** Whether one of its addresses had the number before: its buckets go on. */
  readonly isKept: boolean;
}

export interface Assignment {
  /** The 16 bytes of an address, as text → number of its limit. */
  readonly addresses: ReadonlyMap<string, number>;
  readonly limits: readonly Assigned[];
  readonly problems: readonly Problem[];
}

interface Chosen {
  readonly limit: Limit;
  readonly addresses: readonly string[];
  number: number;
  isKept: boolean;
}

/** Bytes of an address as a key. */
export function addressKey(address: string): string {
  return Buffer.from(addressBytes(address)).toString('latin1');
}

/**
 * @param sources key of a table, or {@link SPEC} → its limits.
 * @param held numbers that addresses have in the kernel; they are kept where that is possible.
 */
export function assign(
  sources: ReadonlyMap<string, readonly Limit[]>,
  held: ReadonlyMap<string, number>,
  maxLimits: number,
): Assignment {
  const problems: Problem[] = [];
  const owners = new Map<string, string>();
  const chosen: Chosen[] = [];
  for (const [source, limits] of [...sources].sort(([a], [b]) => (a < b ? -1 : 1))) {
    let refused = 0;
    for (const limit of limits) {
      const claimed = claim(limit, source, owners, problems);
      if (claimed.length === 0) continue;
      if (chosen.length >= maxLimits || owners.size > maxLimits * ADDRESSES) {
        for (const address of claimed) owners.delete(address);
        refused++;
      } else chosen.push({ limit, addresses: claimed, number: -1, isKept: false });
    }
    if (refused > 0)
      problems.push({
        reason: 'TooManyLimits',
        ...tableOf(source),
        message: `there is no room for ${refused} of its limits (maxLimits is ${maxLimits}); raise spec.rateLimiter.maxLimits of the Cube`,
      });
  }
  number(chosen, held, maxLimits);
  return {
    addresses: new Map(chosen.flatMap(({ addresses, number }) => addresses.map((one) => [one, number]))),
    limits: chosen,
    problems,
  };
}

const tableOf = (source: string) => (source === SPEC ? {} : { table: source });

/** The addresses of a limit that are its own. */
function claim(limit: Limit, source: string, owners: Map<string, string>, problems: Problem[]): string[] {
  const claimed: string[] = [];
  for (const text of limit.addresses) {
    const address = addressKey(text);
    const owner = owners.get(address);
    if (owner === undefined) {
      owners.set(address, nameOf(limit));
      claimed.push(address);
    } else if (!claimed.includes(address)) {
      problems.push({
        reason: 'DuplicateAddress',
        ...tableOf(source),
        message: `limit ${nameOf(limit)}: address ${text} has the limit ${owner} already; take it out of one of them`,
      });
    }
  }
  return claimed;
}

/** Those that an address of the limit has go first, then the smallest that are free. */
function number(chosen: readonly Chosen[], held: ReadonlyMap<string, number>, maxLimits: number): void {
  const used = new Set<number>();
  for (const one of chosen) {
    for (const address of one.addresses) {
      const before = held.get(address);
      if (before === undefined || before >= maxLimits || used.has(before)) continue;
      used.add(before);
      Object.assign(one, { number: before, isKept: true });
      break;
    }
  }
  let next = 0;
  for (const one of chosen) {
    if (one.isKept) continue;
    while (used.has(next)) next++;
    used.add(next);
    one.number = next;
  }
}

export function nameOf({ name, addresses }: Limit): string {
  return name ?? addresses[0] ?? '';
}
