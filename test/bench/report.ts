// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { Measure } from './measure.ts';

const BEGIN = '<!-- results: npm run bench -- --report writes what stands between these marks -->';
const END = '<!-- end of results -->';

/** Puts tables of the measures, one a suite, between the marks of a document; the rest of it stays as it is. */
export function writeReport(path: string, measures: readonly Measure[], quick: boolean): void {
  const document = readFileSync(path, 'utf8');
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${path} has no place for results: ${BEGIN} … ${END}`);
  const head = document.slice(0, begin + BEGIN.length);
  writeFileSync(path, `${head}\n\n${results(measures, quick)}\n\n${document.slice(end)}`);
}

function results(measures: readonly Measure[], quick: boolean): string {
  const suites = Map.groupBy(measures, ({ name }) => name.split('.')[0] ?? '');
  const tables = [...suites].map(([suite, own]) => `### ${suite}\n\n${table(own)}`);
  const goals = measures.filter(({ goal }) => goal !== undefined);
  const met = goals.filter((measure) => measure.met).length;
  return [
    `${new Date().toISOString().slice(0, 10)}, ${machine()}${quick ? ', `--quick`: a look, not a result' : ''}.`,
    `${measures.length} measures; ${met} of ${goals.length} goals met.`,
    ...tables,
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
