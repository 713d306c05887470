// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../dataplane/client.ts';
import type { DropCount, NodeCounters } from '../../dataplane/inspect/counters.ts';
import type { Refusals } from '../../dataplane/inspect/refusals.ts';
import { interrupted } from '../interrupted.ts';
import { colours } from '../print/colours.ts';
import { tableLines } from '../print/table.ts';
import { followFlows } from './flows.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';
import { outputOf } from './tables.ts';

export interface DropsOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly cube?: string;
  readonly watch?: boolean;
  readonly packets?: boolean;
  readonly count?: string;
}

interface Place extends DropCount {
  /** `namespace/name` of a cube, or `entry`. */
  readonly by: string;
  /** Where rules or policies refused the packets: which did, most first. */
  readonly rules?: readonly RuleCount[];
}

type RuleCount = Omit<Refusals, 'cube'>;

const WATCH_MS = 1000;

export async function drops(options: DropsOptions): Promise<void> {
  const output = outputOf(options.output);
  if (options.packets) return await followFlows({ ...options, verdict: 'Dropped' }, output);
  const directory = agentDirectory(options);
  const look = async () => {
    const counters = await askAgent(directory, 'counters', {});
    const { refusals } = await askAgent(directory, 'refusals', {});
    return placesOf(counters, refusals, options.cube);
  };
  const first = await look();
  if (output !== undefined && !options.watch) return await printData(first, output);
  if (!options.watch) return printAll(first);
  await follow(first, look, output);
}

/** Reasons of which a rule is the cause, and what that rule does. */
const BY_RULE: Readonly<Record<string, Refusals['action']>> = {
  DroppedByRule: 'Drop',
  RejectedByRule: 'Reject',
};

function placesOf(
  { drops: entry, cubes }: NodeCounters,
  refusals: readonly Refusals[],
  cube: string | undefined,
): Place[] {
  const rulesOf = (key: string, reason: string): { rules?: RuleCount[] } => {
    const rules = refusals
      .filter((one) => one.cube === key && one.action === BY_RULE[reason])
      .map(({ cube: _, ...rule }) => rule);
    return rules.length === 0 ? {} : { rules };
  };
  const all = [
    ...entry.map((drop): Place => ({ by: 'entry', ...drop })),
    ...cubes.flatMap(({ cube: key, drops: list }) =>
      list.map((drop): Place => ({ by: key, ...drop, ...rulesOf(key, drop.reason) })),
    ),
    ...auditPlaces(refusals),
  ];
  return all.filter(({ by }) => cube === undefined || by === cube || by.slice(by.indexOf('/') + 1) === cube);
}

/** Stands where others have the reason of a drop. */
const AUDIT = 'Audit';

/** What passed only because the policies that refuse it are in audit mode, as if it were a reason. */
function auditPlaces(refusals: readonly Refusals[]): Place[] {
  const audited = refusals.filter(({ action }) => action === 'Audit');
  return [...new Set(audited.map(({ cube }) => cube))].map((by) => {
    const rules = audited.filter(({ cube }) => cube === by).map(({ cube: _, ...rule }) => rule);
    return {
      by,
      reason: AUDIT,
      description: 'Passed, though network policies refuse it: these are in audit mode.',
      remedy: 'Allow it by a policy, if it should pass, before the policies are enforced.',
      packets: rules.reduce((sum, { packets }) => sum + packets, 0),
      rules,
    };
  });
}

/** Below the table of reasons. */
function ruleLines(places: readonly Place[]): string[] {
  const rows = places.flatMap(({ by, rules = [] }) =>
    rules.map(({ text, origin, packets }) => [by, text, origin.direction ?? '', String(packets)]),
  );
  return rows.length === 0 ? [] : ['', ...tableLines(['BY', 'RULE OR POLICY', 'DIRECTION', 'PACKETS'], rows)];
}

function printAll(places: readonly Place[]): void {
  if (places.length === 0) {
    process.stderr.write('nothing has been dropped\n');
    return;
  }
  const paint = colours(process.stdout);
  const lines = tableLines(
    ['BY', 'REASON', 'PACKETS'],
    places.map(({ by, reason, packets }) => [by, reason, String(packets)]),
  );
  for (const text of [...lines, ...ruleLines(places)]) process.stdout.write(`${text}\n`);
  const reasons = new Map(places.map((place) => [place.reason, place]));
  process.stdout.write('\n');
  for (const { reason, description, remedy } of reasons.values()) {
    process.stdout.write(
      `${paint.bold(reason)}: ${description}${remedy === '' ? '' : ` ${paint.dim(remedy)}`}\n`,
    );
  }
}

interface Line {
  readonly key: string;
  readonly packets: number;
  readonly place: Place;
  readonly rule?: RuleCount;
}

/** What is counted by itself: each rule, and each reason for which no rule is known. */
function linesOf(places: readonly Place[]): Line[] {
  return places.flatMap((place): Line[] => {
    const { by, reason, packets, rules = [] } = place;
    const byRule = rules.map((rule) => ({
      key: `${by} ${reason} ${rule.text}`,
      packets: rule.packets,
      place,
      rule,
    }));
    const rest = packets - rules.reduce((sum, rule) => sum + rule.packets, 0);
    return [...byRule, { key: `${by} ${reason}`, packets: rest, place }];
  });
}

/** One line for each rule or reason that was counted since the line before, until interrupted. */
async function follow(
  first: readonly Place[],
  look: () => Promise<Place[]>,
  output: 'json' | 'yaml' | undefined,
): Promise<void> {
  const seen = new Map(linesOf(first).map(({ key, packets }) => [key, packets]));
  const told = new Set<string>();
  const stop = interrupted();
  while (!stop.aborted) {
    await sleep(WATCH_MS, undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) return;
    const time = new Date().toISOString();
    for (const { key, packets, place, rule } of linesOf(await look())) {
      const more = packets - (seen.get(key) ?? 0);
      seen.set(key, Math.max(packets, seen.get(key) ?? 0));
      if (more <= 0) continue;
      const { by, reason, description, remedy } = place;
      if (output !== undefined) {
        const said = { time, by, reason, packets: more, description, remedy };
        process.stdout.write(`${JSON.stringify(rule === undefined ? said : { ...said, rule })}\n`);
        continue;
      }
      const cause = rule === undefined ? '' : `  ${rule.text}`;
      process.stdout.write(`${time.slice(11, 19)}  ${by}  ${reason}  ${more}${cause}\n`);
      if (!told.has(reason)) process.stdout.write(`          ${description} ${remedy}\n`);
      told.add(reason);
    }
  }
}
