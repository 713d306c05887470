// SPDX-License-Identifier: Apache-2.0
import { addressBits, covers, formatPrefix, masked, type Prefix, parsePrefix } from '../api/ip.ts';

/** Bound of the CubeTable schema. */
const MAX_EXCEPTS = 16;

/** A prefix without some parts of it. */
export interface Block {
  cidr: string;
  except: string[];
}

/**
 * An ipBlock as blocks of at most 16 exceptions, which together hold the same addresses; none when the exceptions leave
 * nothing. Exceptions outside the prefix take nothing away and are left out.
 *
 * @param cidr a prefix in canonical form, as are the exceptions.
 */
export function blocksOf(cidr: string, except: readonly string[]): Block[] {
  const whole = parsePrefix(cidr) as Prefix;
  const holes = outermost(except.map((text) => parsePrefix(text) as Prefix));
  if (holes.some((hole) => covers(hole, whole))) return [];
  return cut(
    whole,
    holes.filter((hole) => covers(whole, hole)),
  );
}

/** The exceptions that no other one covers, in order: of those that begin alike the widest comes first. */
function outermost(prefixes: readonly Prefix[]): Prefix[] {
  const kept: Prefix[] = [];
  const sorted = [...prefixes].sort(
    (a, b) =>
      a.family - b.family || Number(a.value > b.value) - Number(a.value < b.value) || a.length - b.length,
  );
  for (const prefix of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !covers(last, prefix)) kept.push(prefix);
  }
  return kept;
}

/**
 * Where there are too many holes, the smallest prefix around all of them becomes the only hole, and what that one holds
 * is cut in two halves: so the pieces grow with the number of holes, not with the bits between them.
 */
function cut(whole: Prefix, holes: readonly Prefix[]): Block[] {
  if (holes.length <= MAX_EXCEPTS) {
    return [{ cidr: formatPrefix(whole), except: holes.map(formatPrefix).sort() }];
  }
  const around = commonPrefix(holes);
  const rest = around.length > whole.length ? cut(whole, [around]) : [];
  const bit = 1n << BigInt(addressBits(around.family) - around.length - 1);
  const halves = [around.value, around.value | bit].map((value) => ({
    ...around,
    value,
    length: around.length + 1,
  }));
  return [
    ...rest,
    ...halves.flatMap((half) => {
      const inside = holes.filter((hole) => covers(half, hole));
      return inside.some((hole) => hole.length === half.length) ? [] : cut(half, inside);
    }),
  ];
}

/** The longest prefix that covers all of them: what covers the first and the last covers those between. */
function commonPrefix(sorted: readonly Prefix[]): Prefix {
  let common = sorted[0] as Prefix;
  const last = sorted.at(-1) as Prefix;
  while (!covers(common, last)) common = masked({ ...common, length: common.length - 1 });
  return common;
}
