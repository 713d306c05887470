// SPDX-License-Identifier: Apache-2.0
/** What a cube type declares is what its program has: drop reasons, counters and maps. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { CUBE_TYPES } from '../../src/cubes/generated/index.ts';
import { macroName } from './reasons.ts';

const BPF = join(import.meta.dirname, '../../bpf');

function source(folder: string): string {
  const files = readdirSync(join(BPF, folder)).filter((name) => /\.[ch]$/.test(name));
  return files.map((name) => readFileSync(join(BPF, folder, name), 'utf8')).join('\n');
}

const include = source('include');

describe.each(Object.values(CUBE_TYPES))('$type', (type) => {
  const own = source(type.folder);
  const words = new Set(`${own}\n${include}`.match(/\b(DROP|COUNT|DECIDE)_[A-Z_]+\b/g));
  // what lies in the sockets themselves has no rows that anybody could walk
  const maps = (text: string): string[] =>
    [...text.matchAll(/^struct \{\n((?:\t.*\n)*)\} (\w+) SEC\("\.maps"\);/gm)]
      .filter(([, body = '']) => !body.includes('BPF_MAP_TYPE_SK_STORAGE'))
      .map(([, , name]) => name as string);

  test('drops with every reason, counts with every counter and tells every decision that it declares', () => {
    const declared = [
      ...type.dropReasons.map(({ name }) => `DROP_${macroName(name)}`),
      ...type.counters.map(({ name }) => `COUNT_${macroName(name)}`),
      ...type.decisions.map(({ name }) => `DECIDE_${macroName(name)}`),
    ];
    expect(declared.filter((name) => !words.has(name))).toEqual([]);
  });

  test('describes every map of its own but scratch space', () => {
    const described = type.maps.map(({ name }) => name);
    expect(maps(own).filter((name) => !name.endsWith('scratch') && !described.includes(name))).toEqual([]);
    expect(described.filter((name) => !maps(`${own}\n${include}`).includes(name))).toEqual([]);
  });
});
