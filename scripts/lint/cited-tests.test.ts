// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { citationsOf, testNamesOf } from './cited-tests.ts';

const ROOT = join(import.meta.dirname, '../..');

const SOURCE = `
test('a plain one', () => {});
it("another's", async () => {});
test(\`\${COUNT} agents, \${MORE} nodes\`, () => {});
describe.each(FAMILIES)('%s', () => {
  test.each(PROTOCOLS)('%s: of each', () => {});
  test.each<[string]>([['x']])('typed %s', () => {});
  test.each\`a | b\`('of a table', () => {});
});
test.skip('left out', () => {});
test.todo('not written');
test.skip.each([1])('nor these', () => {});
const named = 'a name in a text: test("no test")';
`;

const page = (row: string) =>
  `| a | b |\n| --- | --- |\n| c | d |\n\n| was | is | test |\n| --- | --- | --- |\n${row}\n\nEnd.\n`;

test('names of tests are read as they stand in the source, without those that are skipped', () => {
  expect(testNamesOf(SOURCE)).toEqual([
    'a plain one',
    "another's",
    '… agents, … nodes',
    '…: of each',
    'typed …',
    'of a table',
  ]);
});

test('citations are those of the last column', () => {
  const row =
    '| a | b | [`test/a.test.ts`](../test/a.test.ts) one<br>[`test/b.test.ts`](../test/b.test.ts) …: two |';
  expect(citationsOf(page(row), 'test')).toEqual([
    [
      { path: 'test/a.test.ts', name: 'one' },
      { path: 'test/b.test.ts', name: '…: two' },
    ],
  ]);
});

test.each([
  ['nothing', '| a | b | |'],
  ['a file alone', '| a | b | [`test/a.test.ts`](../test/a.test.ts) |'],
  ['another file than it shows', '| a | b | [`test/a.test.ts`](../test/b.test.ts) one |'],
])('a row that cites %s is refused', (_, row) => {
  expect(() => citationsOf(page(row), 'test')).toThrow('no citation of a test');
});

describe('docs/polykube.md', () => {
  const rows = citationsOf(readFileSync(join(ROOT, 'docs/polykube.md'), 'utf8'), 'kept away by');

  test('has a row for each defect', () => {
    expect(rows).toHaveLength(10);
  });

  test.each(rows.flat().map(({ path, name }) => [path, name] as const))(
    '%s has the test “%s”',
    (path, name) => {
      expect(existsSync(join(ROOT, path))).toBe(true);
      expect(testNamesOf(readFileSync(join(ROOT, path), 'utf8'))).toContain(name);
    },
  );
});
