// SPDX-License-Identifier: Apache-2.0

/** What a mirror copies, written from its schema. It shares no code with src/cubes/mirror or bpf. */
import type { Mirror, MirrorRule } from '../../../src/api/generated/types.ts';
import { type Facts, Matcher } from './match-model.ts';
import type { Parsed } from './parse-model.ts';

/** What is copied to one port. */
export interface ModelCopies {
  /** Rules that copy every packet. */
  readonly always: readonly MirrorRule[];
  /** Rules of which chance decides. */
  readonly sampled: readonly MirrorRule[];
}

export interface MirrorDecision {
  readonly matched: boolean;
  /** By name of port. */
  readonly copies: ReadonlyMap<string, ModelCopies>;
}

export class MirrorModel {
  readonly #rules: readonly { rule: MirrorRule; match: Matcher }[];

  constructor({ rules }: Mirror) {
    this.#rules = rules.map((rule) => ({ rule, match: new Matcher(rule) }));
  }

  decide(facts: Facts, from: 'outside' | 'inside'): MirrorDecision {
    const copies = new Map<string, { always: MirrorRule[]; sampled: MirrorRule[] }>();
    const other = from === 'outside' ? 'Egress' : 'Ingress';
    for (const { rule, match } of this.#rules) {
      if (rule.direction === other || !match.matches(facts)) continue;
      const of = copies.get(rule.port) ?? { always: [], sampled: [] };
      copies.set(rule.port, of);
      (rule.oneIn === 1 ? of.always : of.sampled).push(rule);
    }
    return { matched: copies.size > 0, copies };
  }
}

/** Bytes of headers that a copy keeps: up to 20 bytes of TCP or 8 of another protocol; of a later fragment those of IP. */
function headersOf({ kind, l4, protocol, fragment }: Parsed): number {
  if (kind !== 'ip') return 0;
  if (fragment === 'later') return l4;
  return l4 + (protocol === 6 ? 20 : 8);
}

/** Bytes of a copy by one rule. */
function lengthOf(
  { truncate = Number.POSITIVE_INFINITY }: MirrorRule,
  frame: Buffer,
  packet: Parsed,
): number {
  return Math.min(frame.length, Math.max(truncate, headersOf(packet)));
}

/**
 * How long a copy may be: of the rules that copied it "the longest of them holds", and of those that sample any may be among them.
 */
export function lengthsOf({ always, sampled }: ModelCopies, frame: Buffer, packet: Parsed): number[] {
  const length = (rule: MirrorRule) => lengthOf(rule, frame, packet);
  const wanted = (rule: MirrorRule) => rule.truncate ?? Number.POSITIVE_INFINITY;
  if (always.length === 0) return sampled.map(length);
  const longest = always.reduce((a, b) => (wanted(b) > wanted(a) ? b : a));
  return [longest, ...sampled.filter((rule) => wanted(rule) > wanted(longest))].map(length);
}
