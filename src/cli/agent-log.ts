// SPDX-License-Identifier: Apache-2.0
import { type Logger, pino } from 'pino';
import { colours } from './print/colours.ts';

const NAMES: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/** The agent's log on standard error: JSON lines for machines, short lines where a person watches. */
export function agentLog(level: string): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!process.stderr.isTTY) return pino(options, pino.destination({ dest: 2, sync: true }));
  const paint = colours(process.stderr);
  return pino(options, {
    write: (line: string) => {
      const { level: number, time, msg } = JSON.parse(line) as { level: number; time: string; msg?: string };
      const name = (NAMES[number] ?? '').padEnd(5);
      const shown = number >= 50 ? paint.red(name) : number >= 40 ? paint.yellow(name) : paint.dim(name);
      process.stderr.write(`${paint.dim(time.slice(11, 19))} ${shown} ${msg ?? line.trim()}\n`);
    },
  });
}
