// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../dataplane/client.ts';
import type { NodeCounters } from '../../dataplane/inspect/counters.ts';
import { CliError, EXIT } from '../errors.ts';
import { interrupted } from '../interrupted.ts';
import { tableLines } from '../print/table.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';
import { outputOf } from './tables.ts';
import { type PortRate, rates } from './top-rates.ts';

export interface TopOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly once?: boolean;
  readonly interval: string;
}

const HEADER = ['CUBE', 'PORT', 'RX PACKETS/S', 'RX BYTES/S', 'TX PACKETS/S', 'TX BYTES/S', 'DROPS/S'];
const HOME_AND_CLEAR = '\u001b[H\u001b[J';

export async function top(options: TopOptions): Promise<void> {
  const output = outputOf(options.output);
  const seconds = Number(options.interval);
  if (!Number.isFinite(seconds) || seconds < 0.1 || seconds > 3600)
    throw new CliError(
      EXIT.usage,
      `--interval ${options.interval} is no duration`,
      'give seconds, 0.1 to 3600',
    );
  const directory = agentDirectory(options);
  const look = (): Promise<NodeCounters> => askAgent(directory, 'counters', {});
  const stop = interrupted();
  for (let before = await look(); !stop.aborted; ) {
    await sleep(seconds * 1000, undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) return;
    const now = await look();
    const rows = rates(before, now);
    before = now;
    if (output !== undefined) await printData(rows, output);
    else printRates(rows, now.node);
    if (options.once) return;
  }
}

function printRates(rows: readonly PortRate[], node: string): void {
  if (process.stdout.isTTY)
    process.stdout.write(`${HOME_AND_CLEAR}node ${node}  ${new Date().toISOString()}\n\n`);
  const cells = rows.map((row) => [
    row.cube,
    row.port,
    short(row.rxPackets),
    short(row.rxBytes),
    short(row.txPackets),
    short(row.txBytes),
    row.drops === undefined ? '' : short(row.drops),
  ]);
  for (const text of tableLines(HEADER, cells)) process.stdout.write(`${text}\n`);
}

/** `950`, `12.3k`, `4.56M`: three digits. */
function short(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const)
    if (value >= size) return `${(value / size).toPrecision(3)}${unit}`;
  return value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1);
}
