// SPDX-License-Identifier: Apache-2.0

/** What the spec of a forwarder means: pure, and the only place that decides it. */
import type { Forwarder, ForwarderAction, ForwarderRule } from '../../api/generated/types.ts';
import type { CubeInput, Problem } from '../cube-type.ts';
import { type MatchRow, matchRows } from '../packet-match.ts';
import { type ForwarderSettings, rules as rulesCodec } from './generated/codec.ts';

const Action = { Output: 1, Drop: 2, Punt: 3 } as const;
const ALL_PORTS = 0xffffffffffffffffn;

export interface Row {
  readonly match: MatchRow;
  /** Place in the spec. */
  readonly rule: number;
  readonly action: number;
  readonly port: number;
}

export interface Desired {
  /** In the order of trial. */
  readonly rows: readonly Row[];
  readonly settings: ForwarderSettings;
  readonly problems: readonly Problem[];
}

export const ruleName = ({ name }: ForwarderRule, place: number): string => name ?? `rules[${place}]`;

export function desired({ spec, ports }: Pick<CubeInput<Forwarder>, 'spec' | 'ports'>): Desired {
  const problems: Problem[] = [];
  const byName = new Map(ports.map(({ name, id }) => [name, id]));
  const idOf = (name: string, field: string): number => {
    const id = byName.get(name);
    if (id === undefined)
      problems.push({
        reason: 'UnknownPort',
        field,
        message: `the forwarder has no port ${name} (it has ${[...byName.keys()].join(', ') || 'none'}); name one of them or link ${name}`,
      });
    return id ?? 0;
  };
  const actionOf = (action: ForwarderAction, field: string) => ({
    action: Action[action.type],
    port: action.type === 'Output' ? idOf(action.output.port, `${field}.output.port`) : 0,
  });

  const rows: Row[] = [];
  const ordered = [...spec.rules.entries()].sort(([i, a], [j, b]) => a.priority - b.priority || i - j);
  for (const [place, rule] of ordered) {
    const field = `spec.forwarder.rules[${place}]`;
    const inPorts = (rule.inPorts ?? []).map((name, i) => idOf(name, `${field}.inPorts[${i}]`));
    const set = inPorts.reduce((bits, id) => bits | (1n << BigInt(id)), 0n);
    const matches = matchRows(rule, inPorts.length === 0 ? ALL_PORTS : set);
    if (matches.length === 0)
      problems.push({
        reason: 'Invalid',
        field,
        message: `no packet can match rule ${ruleName(rule, place)}: its prefixes are of different families, or its source and destination ports of different protocols; correct or remove it`,
      });
    const action = actionOf(rule.action, `${field}.action`);
    for (const match of matches) rows.push({ match, rule: place, ...action });
  }
  if (rows.length > rulesCodec.maxEntries)
    problems.push({
      reason: 'Invalid',
      field: 'spec.forwarder.rules',
      message: `the rules are ${rows.length} combinations of prefixes and ports, and ${rulesCodec.maxEntries} fit; merge prefixes or ranges, or spread them over several forwarders`,
    });
  const fallback = actionOf(spec.defaultAction, 'spec.forwarder.defaultAction');
  return {
    rows,
    settings: { rows: rows.length, defaultAction: fallback.action, defaultPort: fallback.port },
    problems,
  };
}
