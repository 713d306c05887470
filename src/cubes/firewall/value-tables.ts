// SPDX-License-Identifier: Apache-2.0
/** The dimensions of one direction that are indexed by 16 bits: services, source ports, kinds of packet. */
import { type Bitmaps, clearBit, setBit, WORDS } from './bitmaps.ts';
import { type Range, type RuleMeaning, STATES, TIERS } from './rule-meaning.ts';
import { POLICY_PRIORITY } from './rule-order.ts';

const VALUES = 65536;

/**
 * The bitmap of each value of one table, by elementary intervals: it changes only where a range begins or ends.
 * `ranges`: of each rule; undefined: all values of all tables. Ranges of other tables fulfil nothing here.
 */
export function rangeTable(
  table: number,
  ranges: readonly (readonly Range[] | undefined)[],
  bitmaps: Bitmaps,
  values = VALUES,
): Uint16Array {
  const bits = new Uint32Array(WORDS);
  const edges = new Map<number, { starts: number[]; ends: number[] }>();
  const edge = (at: number) => {
    let found = edges.get(at);
    if (!found) {
      found = { starts: [], ends: [] };
      edges.set(at, found);
    }
    return found;
  };
  ranges.forEach((list, rule) => {
    if (!list) setBit(bits, rule);
    for (const range of list ?? []) {
      if (range.table !== table) continue;
      edge(range.from).starts.push(rule);
      edge(range.to + 1).ends.push(rule);
    }
  });
  const result = new Uint16Array(values);
  const depth = new Uint8Array(ranges.length); // ranges of one rule may overlap; at most 64 + 16 a rule
  let from = 0;
  let bitmap = bitmaps.intern(bits);
  for (const at of [...edges.keys()].sort((a, b) => a - b)) {
    result.fill(bitmap, from, Math.min(at, values));
    from = at;
    const { starts, ends } = edge(at);
    for (const rule of starts) {
      depth[rule] = (depth[rule] as number) + 1;
      setBit(bits, rule);
    }
    for (const rule of ends) {
      depth[rule] = (depth[rule] as number) - 1;
      if (depth[rule] === 0) clearBit(bits, rule);
    }
    bitmap = bitmaps.intern(bits);
  }
  result.fill(bitmap, Math.min(from, values), values);
  return result;
}

/** STATE_BEHIND_ADMIN and STATE_BEHIND_BASELINE of bpf/firewall/firewall.h, in the table of kinds only. */
const BEHIND = [STATES.length, STATES.length + 1] as const;

/** The states of a rule, and whether it stands behind the tiers that may pass a packet on. */
function statesOf({ states, tier, priority }: RuleMeaning): number {
  if ((states & 1) === 0) return states;
  const isLast = tier === undefined && priority > POLICY_PRIORITY;
  const behindAdmin = isLast || (tier !== undefined && tier !== TIERS[0]);
  return states | (behindAdmin ? 1 << BEHIND[0] : 0) | (isLast ? 1 << BEHIND[1] : 0);
}

/** What a rule says of the kind of packet; rules that say the same are looked at once. */
interface Kind {
  readonly states: number;
  readonly mask: number;
  readonly set: number;
  readonly isTcpOnly: boolean;
  readonly hasSourcePorts: boolean;
  readonly rules: number[];
}

/** Table `kind`: state * 512 + (TCP: 256 + flags; else: protocol). */
export function kindTable(rules: readonly RuleMeaning[], bitmaps: Bitmaps): Uint16Array {
  const kinds = new Map<string, Kind>();
  rules.forEach((meaning, rule) => {
    const { tcpFlags, sourcePorts } = meaning;
    const states = statesOf(meaning);
    const { mask, set } = tcpFlags ?? { mask: 0, set: 0 };
    const isTcpOnly = tcpFlags !== undefined;
    const hasSourcePorts = sourcePorts !== undefined;
    const name = `${states} ${mask} ${set} ${isTcpOnly} ${hasSourcePorts}`;
    const kind = kinds.get(name) ?? { states, mask, set, isTcpOnly, hasSourcePorts, rules: [] };
    kinds.set(name, kind);
    kind.rules.push(rule);
  });
  const list = [...kinds.values()];
  const known = new Map<string, number>();
  const result = new Uint16Array((STATES.length + BEHIND.length) * 512);
  for (let i = 0; i < result.length; i++) {
    const state = i >> 9;
    const isTcp = (i & 256) !== 0;
    const value = i & 255;
    const matching = list.flatMap((kind, index) => (matches(kind, state, isTcp, value) ? [index] : []));
    const name = matching.join();
    let bitmap = known.get(name);
    if (bitmap === undefined) {
      const bits = new Uint32Array(WORDS);
      for (const index of matching) for (const rule of (list[index] as Kind).rules) setBit(bits, rule);
      bitmap = bitmaps.intern(bits);
      known.set(name, bitmap);
    }
    result[i] = bitmap;
  }
  return result;
}

function matches(kind: Kind, state: number, isTcp: boolean, value: number): boolean {
  if (!((kind.states >> state) & 1)) return false;
  if (isTcp) return (value & kind.mask) === kind.set;
  const hasPorts = value === 17 || value === 132;
  return !kind.isTcpOnly && (hasPorts || !kind.hasSourcePorts);
}
