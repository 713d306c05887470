// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../dataplane/client.ts';
import type { DropCount, NodeCounters } from '../../dataplane/inspect/counters.ts';
import { interrupted } from '../interrupted.ts';
import { colours } from '../print/colours.ts';
import { tableLines } from '../print/table.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';
import { outputOf } from './tables.ts';

export interface DropsOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly cube?: string;
  readonly watch?: boolean;
}

interface Place extends DropCount {
  /** `namespace/name` of a cube, or `entry`. */
  readonly by: string;
}

const WATCH_MS = 1000;

export async function drops(options: DropsOptions): Promise<void> {
  const output = outputOf(options.output);
  const directory = agentDirectory(options);
  const look = async () => placesOf(await askAgent(directory, 'counters', {}), options.cube);
  const first = await look();
  if (output !== undefined && !options.watch) return await printData(first, output);
  if (!options.watch) return printAll(first);
  await follow(first, look, output);
}

function placesOf({ drops: entry, cubes }: NodeCounters, cube: string | undefined): Place[] {
  const all = [
    ...entry.map((drop): Place => ({ by: 'entry', ...drop })),
    ...cubes.flatMap(({ cube: key, drops: list }) => list.map((drop): Place => ({ by: key, ...drop }))),
  ];
  return all.filter(({ by }) => cube === undefined || by === cube || by.slice(by.indexOf('/') + 1) === cube);
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
  for (const text of lines) process.stdout.write(`${text}\n`);
  const reasons = new Map(places.map((place) => [place.reason, place]));
  process.stdout.write('\n');
  for (const { reason, description, remedy } of reasons.values()) {
    process.stdout.write(
      `${paint.bold(reason)}: ${description}${remedy === '' ? '' : ` ${paint.dim(remedy)}`}\n`,
    );
  }
}

/** One line for each reason that was counted since the line before, until interrupted. */
async function follow(
  first: readonly Place[],
  look: () => Promise<Place[]>,
  output: 'json' | 'yaml' | undefined,
): Promise<void> {
  const keyOf = ({ by, reason }: Place) => `${by} ${reason}`;
  const seen = new Map(first.map((place) => [keyOf(place), place.packets]));
  const told = new Set<string>();
  const stop = interrupted();
  while (!stop.aborted) {
    await sleep(WATCH_MS, undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) return;
    const time = new Date().toISOString();
    for (const place of await look()) {
      const more = place.packets - (seen.get(keyOf(place)) ?? 0);
      seen.set(keyOf(place), place.packets);
      if (more <= 0) continue;
      const { by, reason, description, remedy } = place;
      if (output !== undefined) {
        process.stdout.write(`${JSON.stringify({ time, by, reason, packets: more, description, remedy })}\n`);
        continue;
      }
      process.stdout.write(`${time.slice(11, 19)}  ${by}  ${reason}  ${more}\n`);
      if (!told.has(reason)) process.stdout.write(`          ${description} ${remedy}\n`);
      told.add(reason);
    }
  }
}
