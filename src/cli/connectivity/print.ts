// SPDX-License-Identifier: Apache-2.0
/** A report for people. */
import type { Colours } from '../print/colours.ts';
import { storyLines } from '../print/story.ts';
import { tableLines } from '../print/table.ts';
import type { Place } from './legs.ts';
import type { ConnectivityReport, PathReport, TestReport } from './report.ts';

export function reportLines(report: ConnectivityReport, paint: Colours): string[] {
  const { tests, nodes, families, passed } = report;
  const rows = tests.map(({ name, result, paths, skipped = '', description }) => [
    name,
    result,
    result === 'Skipped' ? '' : `${paths.filter((one) => one.passed).length}/${paths.length}`,
    result === 'Skipped' ? `left out: ${skipped}` : description,
  ]);
  const [head = '', ...lines] = tableLines(['TEST', 'RESULT', 'PATHS', 'WHAT'], rows);
  const painted = lines.map((line, at) => {
    const { result } = tests[at] as TestReport;
    return result === 'Failed' ? paint.red(line) : result === 'Skipped' ? paint.dim(line) : line;
  });
  const paths = tests.flatMap((test) => test.paths);
  const bad = paths.filter((one) => !one.passed).length;
  const where = `${families.join(' and ')} on ${nodes.join(' and ')}`;
  const end = passed
    ? paint.green(`All ${paths.length} paths work: ${where}.`)
    : paint.red(`${bad} of ${paths.length} paths do not work: ${where}.`);
  const told = new Set<string>();
  return [head, ...painted, ...tests.flatMap((test) => failureLines(test, paint, told)), '', end];
}

/** `told`: places whose packet has been shown already. */
function failureLines({ name, paths }: TestReport, paint: Colours, told: Set<string>): string[] {
  const groups = Map.groupBy(
    paths.filter((one) => !one.passed),
    ({ path, why, place }) => JSON.stringify([path, why, place]),
  );
  return [...groups.values()].flatMap((same) => {
    const { path, why, place, trace } = same[0] as PathReport;
    const kinds = same.map(({ kind, family }) => `${kind} ${family}`.trim()).join(', ');
    const title = `${paint.red('Failed')} ${paint.bold(`${name}: ${path}`)} (${kinds}): ${why}`;
    const key = JSON.stringify(place);
    if (place === undefined) return ['', title];
    if (told.has(key)) return ['', title, `  at ${whereOf(place)}, as above`];
    told.add(key);
    const shown = trace?.findLast(({ story }) => story !== undefined);
    const isShown = place.reason !== 'BetweenNodes';
    const lines =
      shown?.story && isShown ? storyLines(shown.story, paint, `${shown.from} on ${shown.node}`) : [];
    return ['', title, ...placeLines(place), ...lines.map((line) => `    ${line}`)];
  });
}

const whereOf = ({ node, by, reason }: Place): string =>
  `${by === undefined ? '' : `${by} on `}${node}: ${reason}`;

function placeLines(place: Place): string[] {
  const { description, remedy } = place;
  return [`  at ${whereOf(place)}: ${description}`, ...(remedy === '' ? [] : [`  To do: ${remedy}`])];
}
