// SPDX-License-Identifier: Apache-2.0

/** One line of docs/soak.md. */
export interface Row {
  readonly name: string;
  readonly what: string;
  readonly counts: string;
  /** `YYYY-MM-DD`, UTC. */
  readonly date: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: readonly string[];
}

const HEAD = '| name | what | counts | date | minutes | result |';

/** The cells of the table that stands in a document, by name. */
function rowsOf(document: string): Map<string, string> {
  const lines = document.split('\n').filter((line) => /^\| `/.test(line));
  return new Map(lines.map((line) => [/`([^`]+)`/.exec(line)?.[1] ?? '', line]));
}

function lineOf(row: Row): string {
  const result =
    row.failed.length === 0
      ? `${row.passed} passed`
      : `${row.passed} passed, **${row.failed.length} failed**: ${[...new Set(row.failed)].join('; ')}`;
  const cells = [
    `\`${row.name}\``,
    row.what,
    row.counts,
    row.date,
    (row.seconds / 60).toFixed(1),
    result.replaceAll('|', '\\|'),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The document with these rows in the place of those of the same names; the others stay as they were. */
export function soakDocument(
  before: string,
  rows: readonly Row[],
  order: readonly string[],
  machine: string,
): string {
  const lines = rowsOf(before);
  for (const row of rows) lines.set(row.name, lineOf(row));
  const table = order.flatMap((name) => lines.get(name) ?? []);
  return `# Soak

The tests of this project with counts that take too long for every run. \`npm run soak\` runs them and writes this page;
\`npm run soak -- --only NAME\` runs one and replaces its line.

Last run on ${machine}.

${HEAD}
${HEAD.replaceAll(/[^|]+/g, ' --- ')}
${table.join('\n')}
`;
}
