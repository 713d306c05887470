// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Measure } from './measure.ts';
import { draw } from './network/draw.ts';
import { SUITES } from './network/names.ts';
import { isOfNetwork, plotsOf } from './network/plots.ts';
import { networkTables } from './network/table.ts';

interface Marks {
  readonly begin: string;
  readonly end: string;
}

const RESULTS: Marks = {
  begin: '<!-- results: npm run bench -- --report writes what stands between these marks -->',
  end: '<!-- end of results -->',
};
/** The suites `network` have places of their own: they are too long to be measured again with each of the others. */
function marksOf(suite: string): Marks {
  return {
    begin: `<!-- ${suite}: npm run bench -- --only ${suite} --report writes what stands between these marks -->`,
    end: `<!-- end of ${suite} -->`,
  };
}

/**
 * Puts tables of the measures, one a suite, between the marks of a document, and plots into a folder beside it that is named as
 * the document; all else stays as it is, also the results of suites that were not run where they have marks of their own.
 */
export function writeReport(path: string, measures: readonly Measure[], quick: boolean): void {
  const others = measures.filter((measure) => !isOfNetwork(measure));
  let document = readFileSync(path, 'utf8');
  if (others.length > 0) document = replaced(document, RESULTS, results(others, quick), path);
  for (const suite of Object.values(SUITES)) {
    const own = measures.filter(({ name }) => name.startsWith(`${suite}.`));
    if (own.length === 0) continue;
    const text = [heading(own, quick), writePlots(path, suite, own), networkTables(own)].join('\n\n');
    document = replaced(document, marksOf(suite), text, path);
  }
  writeFileSync(path, document);
}

function replaced(document: string, marks: Marks, text: string, path: string): string {
  const begin = document.indexOf(marks.begin);
  const end = document.indexOf(marks.end);
  if (begin < 0 || end < begin)
    throw new Error(`${path} has no place for results: ${marks.begin} … ${marks.end}`);
  return `${document.slice(0, begin + marks.begin.length)}\n\n${text}\n\n${document.slice(end)}`;
}

/** Draws the plots and returns what shows them in the document. */
function writePlots(path: string, suite: string, measures: readonly Measure[]): string {
  const folder = basename(path).replace(/\.md$/, '');
  mkdirSync(join(dirname(path), folder), { recursive: true });
  const images = plotsOf(measures).map((plot) => {
    const file = join(folder, `${suite === SUITES.ipv4 ? '' : `${suite}-`}${plot.file}.svg`);
    writeFileSync(join(dirname(path), file), draw(plot));
    return `![${plot.title}](${file})`;
  });
  return images.join('\n\n');
}

function results(measures: readonly Measure[], quick: boolean): string {
  const suites = Map.groupBy(measures, ({ name }) => name.split('.')[0] ?? '');
  const tables = [...suites].map(([suite, own]) => `### ${suite}\n\n${table(own)}`);
  return [heading(measures, quick), ...tables].join('\n\n');
}

function heading(measures: readonly Measure[], quick: boolean): string {
  const goals = measures.filter(({ goal }) => goal !== undefined);
  const met = goals.filter((measure) => measure.met).length;
  const load = `load average ${loadavg()[1]?.toFixed(0)} when this was written`;
  const look = quick ? ', `--quick`: a look, not a result' : '';
  return [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}, ${load}${look}.`,
    `${measures.length} measures; ${met} of ${goals.length} goals met.`,
  ].join('\n\n');
}

/** The kind of machine, not which one. */
function machine(): string {
  const [cpu] = cpus();
  const kind = `${cpus().length} cores (${cpu?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${kind}, Linux ${release().replace(/-.*/, '')}, Node ${process.version}, mitigations: ${mitigations()}`;
}

/** What makes calls and returns dear: half of the figures below are made of them. */
function mitigations(): string {
  const read = (name: string): string => {
    try {
      return readFileSync(`/sys/devices/system/cpu/vulnerabilities/${name}`, 'utf8')
        .trim()
        .replace(/^Mitigation: /, '');
    } catch {
      return 'unknown';
    }
  };
  return `spectre_v2 ${read('spectre_v2').split(';')[0]}; return stack overflow ${read('spec_rstack_overflow')}`;
}

function table(measures: readonly Measure[]): string {
  const rows = measures.map(({ name, value, unit, spread, rounds, better, goal, met }) => {
    const aim = goal === undefined ? '' : `${better === 'lower' ? '≤' : '≥'} ${goal}`;
    const reached = met === undefined ? '' : met ? 'met' : '**missed**';
    return `| ${name.slice(name.indexOf('.') + 1)} | ${value} ${unit} | ± ${spread} | ${rounds} | ${aim} | ${reached} |`;
  });
  return ['| measure | median | spread | rounds | goal | |', '|---|---:|---:|---:|---:|---|', ...rows].join(
    '\n',
  );
}
