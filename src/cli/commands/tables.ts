// SPDX-License-Identifier: Apache-2.0
import { askAgent } from '../../dataplane/client.ts';
import type { Cell, TablePage } from '../../dataplane/inspect/tables.ts';
import { PROTOCOL_TITLES } from '../../dataplane/trace/packet-words.ts';
import { CliError, EXIT } from '../errors.ts';
import { tableLines } from '../print/table.ts';
import { printData } from './get.ts';
import { agentDirectory } from './plug.ts';

export interface TablesOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
  readonly offset: string;
  readonly limit: string;
  readonly match?: string;
}

export async function tables(
  cube: string | undefined,
  table: string | undefined,
  options: TablesOptions,
): Promise<void> {
  const output = outputOf(options.output);
  const directory = agentDirectory(options);
  if (cube === undefined || table === undefined) {
    const { tables: list } = await askAgent(directory, 'listTables', cube === undefined ? {} : { cube });
    if (output !== undefined) return await printData(list, output);
    const rows = list.map((one) => [
      one.cube,
      one.table,
      one.used === undefined ? '' : `${one.used}/${one.max}`,
      one.description,
    ]);
    return print(['CUBE', 'TABLE', 'ROWS', 'DESCRIPTION'], rows);
  }
  const page = await askAgent(directory, 'readTable', {
    cube,
    table,
    offset: wholeNumber('--offset', options.offset),
    limit: wholeNumber('--limit', options.limit),
    ...(options.match === undefined ? {} : { match: options.match }),
  });
  if (output !== undefined) return await printData(page, output);
  printPage(page);
}

/** @throws CliError for another format. */
export function outputOf(output: string | undefined): 'json' | 'yaml' | undefined {
  if (output === undefined || output === 'json' || output === 'yaml') return output;
  throw new CliError(
    EXIT.usage,
    `there is no output format ${output} here`,
    'use json or yaml, or leave -o out',
  );
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CliError(EXIT.usage, `${name} ${text} is not a whole number`, 'give for example 100');
}

function printPage({ columns, rows, offset, more, cube, table }: TablePage): void {
  if (rows.length === 0) {
    process.stderr.write(`no rows in table ${table} of ${cube}${offset > 0 ? ` from ${offset} on` : ''}\n`);
    return;
  }
  print(
    columns.map((column) => column.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toUpperCase()),
    rows.map((row) => columns.map((column) => cellText(column, row[column]))),
  );
  if (more) process.stderr.write(`there are more rows: --offset ${offset + rows.length}\n`);
}

/** Columns that hold addresses, where this is none. */
const NO_ADDRESS = '::';

function cellText(column: string, cell: Cell | undefined): string {
  if (cell === undefined || cell === null || cell === NO_ADDRESS) return '';
  if (column === 'proto') return PROTOCOL_TITLES[Number(cell)] ?? String(cell);
  return Array.isArray(cell) ? cell.map(String).join(',') : String(cell);
}

export function print(header: readonly string[], rows: readonly (readonly string[])[]): void {
  for (const text of tableLines(header, rows)) process.stdout.write(`${text}\n`);
}
