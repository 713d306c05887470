// SPDX-License-Identifier: Apache-2.0

/**
 * `npm run bench -- [--quick] [--only NAME] [--json FILE] [--report FILE]`: measurements, each interleaved with what it is
 * compared to. Nothing here passes or fails: the figures are printed with their goals.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { refused, UsageError } from '../harness/usage.ts';
import type { Measure } from './measure.ts';
import { writeReport } from './report.ts';

/** What a file of ./suites exports. */
export interface Suite {
  readonly name: string;
  readonly summary: string;
  run(options: SuiteOptions): Promise<readonly Measure[]>;
}

export interface SuiteOptions {
  /** Fewer rounds and smaller sizes: a look, not a result. */
  readonly quick: boolean;
  say(line: string): void;
}

const USAGE = `npm run bench -- [--quick] [--only NAME] [--json FILE] [--report FILE [--from FILE]] [--list]

  --quick       fewer rounds and smaller sizes: shows that it works, and roughly where it stands
  --only NAME   one suite (repeatable); --list names them
  --json FILE   one JSON object a measure, a line each: name value unit better goal met spread rounds
  --report FILE puts the results into a document, as docs/performance.md
  --from FILE   takes them from the JSON of earlier runs (repeatable) and runs nothing
`;

async function suites(): Promise<Suite[]> {
  const folder = new URL('./suites/', import.meta.url);
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.ts'))
    .sort();
  return Promise.all(
    files.map(async (file) => ((await import(new URL(file, folder).href)) as { suite: Suite }).suite),
  );
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'string' },
      report: { type: 'string' },
      from: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.from.length > 0) {
    if (values.report === undefined) throw new UsageError('--from needs --report FILE');
    writeReport(values.report, values.from.flatMap(readMeasures), values.quick);
    return 0;
  }
  const all = await suites();
  if (values.list) {
    for (const suite of all) process.stdout.write(`${suite.name.padEnd(14)} ${suite.summary}\n`);
    return 0;
  }
  const unknown = values.only.filter((name) => !all.some((suite) => suite.name === name));
  if (unknown.length > 0)
    throw new UsageError(
      `no suite ${unknown.join(', ')}; there are: ${all.map((suite) => suite.name).join(', ')}`,
    );
  const measures: Measure[] = [];
  for (const suite of all) {
    if (values.only.length > 0 && !values.only.includes(suite.name)) continue;
    const started = Date.now();
    process.stdout.write(`\n${suite.name}: ${suite.summary}\n`);
    const say = (line: string): void => {
      process.stdout.write(`  ${((Date.now() - started) / 1000).toFixed(0).padStart(4)} s  ${line}\n`);
    };
    for (const measure of await suite.run({ quick: values.quick, say })) {
      measures.push(measure);
      process.stdout.write(`${row(measure)}\n`);
    }
  }
  if (values.json !== undefined)
    writeFileSync(values.json, measures.map((measure) => `${JSON.stringify(measure)}\n`).join(''));
  if (values.report !== undefined) writeReport(values.report, measures, values.quick);
  const missed = measures.filter((measure) => measure.met === false);
  process.stdout.write(
    `\n${measures.length} measures, ${missed.length} short of their goal${missed.length ? `: ${missed.map((m) => m.name).join(', ')}` : ''}\n`,
  );
  return 0;
}

/** What `--json` wrote. */
function readMeasures(path: string): Measure[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Measure);
}

function row(measure: Measure): string {
  const goal =
    measure.goal === undefined
      ? ''
      : `  goal ${measure.better === 'lower' ? '≤' : '≥'} ${measure.goal}: ${measure.met ? 'met' : 'not met'}`;
  return `  ${measure.name.padEnd(40)} ${String(measure.value).padStart(10)} ${measure.unit.padEnd(9)} ± ${measure.spread} (${measure.rounds} rounds)${goal}${measure.note === undefined ? '' : `\n      ${measure.note}`}`;
}

process.exitCode = await main().catch((failure: unknown) => refused('npm run bench', failure));
