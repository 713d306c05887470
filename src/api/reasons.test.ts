// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import {
  ADDRESS_REASONS,
  CONDITION_REASONS,
  FINDING_REASONS,
  MANIFEST_REASONS,
  NETWORK_REASONS,
  PLACE_REASONS,
  PROVIDER_REASONS,
  TRANSLATION_REASONS,
} from './reasons.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Where the text of a reason stands in source code: a member, a condition's third argument, a helper's first. */
const USES = [
  /\breason: '([A-Z]\w+)'/g,
  /\bcondition\(\s*'\w+',\s*'\w+',\s*'([A-Z]\w+)'/g,
  /\b(?:problem|finding|refuse)\(\s*'([A-Z]\w+)'/g,
];

function usesIn(text: string): string[] {
  return USES.flatMap((pattern) => [...text.matchAll(pattern)].map(([, reason]) => reason ?? ''));
}

const files = globSync('src/**/*.ts', { cwd: ROOT }).filter(
  (path) => !path.endsWith('.test.ts') && !path.includes('/generated/') && !path.includes('/schemas/'),
);
const texts = files.map((path) => [path, readFileSync(join(ROOT, path), 'utf8')] as const);

test('every reason that source code gives is described, and so stands in the reference', () => {
  const known = new Set(
    [
      ...Object.values(CONDITION_REASONS),
      ADDRESS_REASONS,
      FINDING_REASONS,
      MANIFEST_REASONS,
      NETWORK_REASONS,
      PLACE_REASONS,
      PROVIDER_REASONS,
      TRANSLATION_REASONS,
    ].flatMap(Object.keys),
  );
  const used = texts.flatMap(([path, text]) => usesIn(text).map((reason) => ({ path, reason })));
  expect(used.length).toBeGreaterThan(40);
  expect(used.filter(({ reason }) => !known.has(reason))).toEqual([]);
});

test('every failure of the kernel that becomes a condition is described', () => {
  const text = readFileSync(join(ROOT, 'src/dataplane/kernel/failure.ts'), 'utf8');
  const codes = [...text.matchAll(/(?:new AgentError|fail)\(\s*'(\w+)'/g)].map(([, code]) => code ?? '');
  expect(codes).toContain('ObjectMissing');
  expect(codes.filter((code) => !(code in CONDITION_REASONS.Programmed))).toEqual([]);
});

test('the reference lists them all', () => {
  const page = readFileSync(join(ROOT, 'docs/reference/reasons.md'), 'utf8');
  const missing = [
    ...Object.values(CONDITION_REASONS),
    ADDRESS_REASONS,
    PROVIDER_REASONS,
    TRANSLATION_REASONS,
  ]
    .flatMap((reasons) => Object.entries(reasons))
    .filter(([reason, meaning]) => !page.includes(`| \`${reason}\` | ${meaning} |`));
  expect(missing).toEqual([]);
});
