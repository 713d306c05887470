// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Measure } from './measure.ts';
import { draw } from './network/draw.ts';
import { plotsOf } from './network/plots.ts';
import { networkTables } from './network/table.ts';

interface Marks {
  readonly begin: string;
  readonly end: string;
}

const RESULTS: Marks = {
  begin: '<!-- results: npm run bench -- --report writes what stands between these marks -->',
  end: '<!-- end of results -->',
};
/** The suite `network` has a place of its own: it is too long to be measured again with each of the others. */
const NETWORK: Marks = {
  begin: '<!-- network: npm run bench -- --only network --report writes what stands between these marks -->',
  end: '<!-- end of network -->',
};

/**
 * Puts tables of the measures, one a suite, between the marks of a document, and plots into a folder beside it that is named as
 * the document; all else stays as it is, also the results of suites that were not run where they have marks of their own.
 */
export function writeReport(path: string, measures: readonly Measure[], quick: boolean): void {
  const isNetwork = ({ name }: Measure): boolean => name.startsWith('network.');
  const [network, others] = [measures.filter(isNetwork), measures.filter((measure) => !isNetwork(measure))];
  let document = readFileSync(path, 'utf8');
  if (others.length > 0) document = replaced(document, RESULTS, results(others, quick), path);
  if (network.length > 0) {
    const text = [heading(network, quick), writePlots(path, network), networkTables(network)].join('\n\n');
    document = replaced(document, NETWORK, text, path);
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
function writePlots(path: string, measures: readonly Measure[]): string {
  const folder = basename(path).replace(/\.md$/, '');
  mkdirSync(join(dirname(path), folder), { recursive: true });
  const images = plotsOf(measures).map((plot) => {
    const file = join(folder, `${plot.file}.svg`);
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
