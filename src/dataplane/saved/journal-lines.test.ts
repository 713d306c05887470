// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type PackedTable, packOwn } from '../tables.ts';
import { END, goneLine, HEADER, readLines, tableLine } from './journal-lines.ts';

const packed = (name: string, rows: unknown[], over: Partial<PackedTable> = {}): PackedTable => {
  const { isOwn: _, ...table } = packOwn(`ns/${name}`, 'Service', rows);
  return { ...table, namespace: 'ns', ...over };
};

const table = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'ü'),
    rows: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }), port: fc.nat() }), { maxLength: 3 }),
    labels: fc.option(fc.dictionary(fc.constantFrom('app', 'tier'), fc.string()), { nil: undefined }),
    slice: fc.option(
      fc.record({
        owner: fc.string(),
        index: fc.nat(9),
        count: fc.nat(9),
        revision: fc.string(),
      }),
      { nil: undefined },
    ),
  })
  .map(({ name, rows, ...over }) => packed(name, rows, over));

/** Writes, each of which sets some tables and removes others. */
const writes = fc.array(
  fc.record({
    set: fc.array(table, { maxLength: 3 }),
    gone: fc.array(fc.constantFrom('ns/a', 'ns/b'), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 6 },
);

type Write = { readonly set: readonly PackedTable[]; readonly gone: readonly string[] };

const textOf = ({ set, gone }: Write): string => [...set.map(tableLine), ...gone.map(goneLine), END].join('');

/** What there is after each write, from nothing. */
function statesOf(list: readonly Write[]): Record<string, PackedTable>[] {
  const state = new Map<string, PackedTable>();
  return list.map(({ set, gone }) => {
    for (const each of set) state.set(each.key, each);
    for (const key of gone) state.delete(key);
    return Object.fromEntries(state);
  });
}

const tablesOf = (content: string) => Object.fromEntries(readLines(content)?.tables ?? []);

test('wherever a journal is cut off, what it holds is the state after a complete write', () => {
  fc.assert(
    fc.property(writes, fc.nat(), (list, at) => {
      const bytes = Buffer.from([HEADER, END, ...list.map(textOf)].join(''));
      const start = Buffer.byteLength(HEADER + END);
      const cut = start + (at % (bytes.length - start + 1));
      const ends = list.map((_, i) =>
        Buffer.byteLength([HEADER, END, ...list.slice(0, i + 1).map(textOf)].join('')),
      );
      const whole = ends.filter((end) => end <= cut).length;
      const saved = readLines(bytes.subarray(0, cut).toString());
      expect(Object.fromEntries(saved?.tables ?? [])).toEqual([{}, ...statesOf(list)][whole]);
      expect(saved?.damaged).toBe(0);
      expect(saved?.isCut).toBe(cut !== (ends[whole - 1] ?? start));
    }),
  );
});

test('writing anew what a journal holds keeps it', () => {
  fc.assert(
    fc.property(writes, (list) => {
      const before = tablesOf([HEADER, END, ...list.map(textOf)].join(''));
      expect(before).toEqual(statesOf(list).at(-1));
      const anew = [HEADER, ...Object.values(before).map(tableLine), END].join('');
      expect(tablesOf(anew)).toEqual(before);
    }),
  );
});

test('a damaged line costs its own entry alone, and is told', () => {
  const lines = [
    HEADER,
    tableLine(packed('a', [1])),
    tableLine(packed('b', [2])),
    tableLine(packed('c', [3])),
  ];
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3 }),
      fc.nat(),
      fc.integer({ min: 1, max: 127 }),
      (which, at, flip) => {
        const bytes = lines.map((line) => Buffer.from(line));
        const hit = bytes[which] as Buffer;
        const place = at % (hit.length - 1);
        const byte = (hit[place] as number) ^ flip;
        // A line in two is two damaged ones, which is tested by the other values.
        fc.pre(byte !== 0x0a && byte !== 0x0d);
        hit[place] = byte;
        // Upper case hexadecimal digits are the same number.
        fc.pre(hit.toString().toLowerCase() !== (lines[which] as string).toLowerCase() || place >= 8);
        const saved = readLines(Buffer.concat([...bytes, Buffer.from(END)]).toString());
        expect([...(saved?.tables.keys() ?? [])].sort()).toEqual(
          ['ns/a', 'ns/b', 'ns/c'].filter((_, i) => i !== which - 1),
        );
        expect(saved).toMatchObject({ damaged: 1, isCut: false });
      },
    ),
  );
});

test('neither nothing nor another version is a journal', () => {
  expect(readLines('')).toBeUndefined();
  expect(readLines(HEADER)).toBeUndefined();
  expect(readLines('\0\0\0\0')).toBeUndefined();
  expect(readLines(`5a1dc9f0 {"version":2}\n${tableLine(packed('a', []))}${END}`)).toBeUndefined();
  expect(readLines(HEADER + END)).toEqual({ tables: new Map(), damaged: 0, isCut: false });
});
