// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { ageText, durationText, tableLines } from './table.ts';

test('columns are as wide as their widest cell', () => {
  expect(
    tableLines(
      ['NAME', 'TYPE'],
      [
        ['a', 'Router'],
        ['longer', ''],
      ],
    ),
  ).toEqual(['NAME     TYPE', 'a        Router', 'longer']);
});

test.each([
  [0, '0s'],
  [119, '119s'],
  [120, '2m'],
  [252, '4m12s'],
  [1500, '25m'],
  [5 * 3600 + 180, '5h3m'],
  [30 * 3600, '30h'],
  [3 * 86400 + 7 * 3600, '3d7h'],
  [80 * 86400, '80d'],
  [1000 * 86400, '2y270d'],
])('%d s is %s', (seconds, text) => {
  expect(durationText(seconds * 1000)).toBe(text);
});

test('a moment that is none has no age', () => {
  expect(ageText(undefined, new Date())).toBe('<unknown>');
  expect(ageText('2026-01-01T00:00:00Z', new Date('2026-01-01T00:01:00Z'))).toBe('60s');
});
