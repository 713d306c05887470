// SPDX-License-Identifier: Apache-2.0

/** The measures of one of the suites `network` as tables, one a number of Services. Pure. */
import type { Measure } from '../measure.ts';
import { ALTERNATIVES } from './names.ts';

const RATIOS = ['cubeplane/iptables', 'cubeplane/nftables'] as const;

export function networkTables(measures: readonly Measure[]): string {
  const sizes = Map.groupBy(measures, ({ name }) => name.split('.')[1] ?? '');
  return [...sizes].map(([size, own]) => `#### ${size} Services\n\n${table(own)}`).join('\n\n');
}

function table(measures: readonly Measure[]): string {
  const rows = Map.groupBy(measures, ({ name }) => name.split('.').slice(2, 4).join('.'));
  const named = (own: readonly Measure[], name: string): Measure | undefined =>
    own.find((measure) => measure.name.endsWith(`.${name}`));
  const alternatives = ALTERNATIVES.filter((name) => named(measures, name) !== undefined);
  const lines = [...rows].map(([row, own]) => {
    const unit = own.find(({ unit: other }) => other !== 'ratio')?.unit ?? '';
    const figures = alternatives.map((name) => figure(named(own, name)));
    const ratios = RATIOS.map((name) => ratio(named(own, name)));
    return `| ${row}, ${unit} | ${[...figures, ...ratios].join(' | ')} |`;
  });
  const head = ['', ...alternatives, ...RATIOS];
  return [
    `| ${head.join(' | ')} |`,
    `|---|${head
      .slice(1)
      .map(() => '---:|')
      .join('')}`,
    ...lines,
  ].join('\n');
}

function figure(measure: Measure | undefined): string {
  return measure === undefined ? '' : `${measure.value} ± ${measure.spread}`;
}

function ratio(measure: Measure | undefined): string {
  if (measure === undefined) return '';
  const text = `${measure.value} ± ${measure.spread}`;
  return measure.met === false ? `**${text}**` : text;
}
