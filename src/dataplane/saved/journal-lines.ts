// SPDX-License-Identifier: Apache-2.0
/**
 * What a node remembers of its tables, as text: one entry a line, `CRC JSON`, the later one of a key counts. Each line
 * stands alone, so that a damaged one costs no other. A line says that what was written together is complete: slices of
 * a table are in force together or not at all. Pure.
 */
import { crc32 } from 'node:zlib';
import type { PackedTable, Slice } from '../tables.ts';

export const JOURNAL_VERSION = 1;

export interface SavedState {
  readonly tables: ReadonlyMap<string, PackedTable>;
  /** Lines of a complete write that cannot be read. */
  readonly damaged: number;
  /** The last write did not end. */
  readonly isCut: boolean;
}

interface Entry {
  readonly version?: number;
  /** What stands since the last one is complete. */
  readonly end?: true;
  readonly gone?: string;
  readonly table?: Omit<PackedTable, 'rows' | 'isOwn'>;
  /** Base64. */
  readonly rows?: string;
}

function lineOf(entry: Entry): string {
  const text = JSON.stringify(entry);
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

/** The first line of a journal. */
export const HEADER = lineOf({ version: JOURNAL_VERSION });

/** The last line of each write. */
export const END = lineOf({ end: true });

export function tableLine({ key, namespace, labels, type, slice, rows }: PackedTable): string {
  const table = { key, namespace, labels, type, slice };
  return lineOf({ table, rows: Buffer.from(rows, 'latin1').toString('base64') });
}

export function goneLine(key: string): string {
  return lineOf({ gone: key });
}

function entryOf(line: string): Entry | undefined {
  const text = line.slice(9);
  if (line[8] !== ' ' || Number.parseInt(line.slice(0, 8), 16) !== crc32(text)) return undefined;
  return JSON.parse(text) as Entry;
}

/** Undefined: of another version, or no journal at all. */
export function readLines(content: string): SavedState | undefined {
  const tables = new Map<string, PackedTable>();
  let [damaged, bad, isJournal] = [0, 0, false];
  let together: Entry[] = [];
  const lines = content.split('\n');
  // Behind the last newline there is nothing, or the beginning of a line.
  const rest = lines.pop();
  for (const line of lines) {
    const entry = entryOf(line);
    if (entry === undefined) bad++;
    else if (entry.version !== undefined && entry.version !== JOURNAL_VERSION) return undefined;
    else if (entry.end !== true) together.push(entry);
    else {
      for (const { gone, table, rows = '' } of together) {
        if (gone !== undefined) tables.delete(gone);
        if (table !== undefined) tables.set(table.key, packedOf(table, rows));
      }
      damaged += bad;
      [isJournal, bad, together] = [true, 0, []];
    }
  }
  return isJournal ? { tables, damaged, isCut: bad + together.length > 0 || rest !== '' } : undefined;
}

function packedOf(table: NonNullable<Entry['table']>, rows: string): PackedTable {
  const { key, namespace, type } = table;
  const labels = table.labels as Readonly<Record<string, string>> | undefined;
  const slice = table.slice as Slice | undefined;
  return { key, namespace, labels, type, slice, rows: Buffer.from(rows, 'base64').toString('latin1') };
}
