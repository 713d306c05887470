// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { measurePrograms, VERIFIER_LIMIT } from './support/programs.ts';

const root = join(import.meta.dirname, '../..');

test('every program passes the verifier, with all switches off and on, within a quarter of its limit', async () => {
  const programs = await measurePrograms(root);
  const sources = new Set(programs.map(({ source }) => source));
  expect([...sources].sort()).toEqual(globSync('bpf/*/*.bpf.c', { cwd: root }).sort());
  for (const { source, name, verified, jited } of programs) {
    expect({ source, name, verified, small: verified <= VERIFIER_LIMIT / 4, jited: jited > 0 }).toEqual({
      source,
      name,
      verified,
      small: true,
      jited: true,
    });
  }
}, 120_000);

test('the table of programs lists every program', async () => {
  const table = readFileSync(join(root, 'docs/reference/programs.md'), 'utf8');
  const listed = [...table.matchAll(/^\| (bpf\S+) \| (\w+) \|/gm)].map(
    ([, source, name]) => `${source} ${name}`,
  );
  const programs = await measurePrograms(root);
  const remedy = 'node scripts/programs.ts writes the table anew';
  expect({ remedy, listed }).toEqual({
    remedy,
    listed: programs.map(({ source, name }) => `${source} ${name}`),
  });
}, 120_000);
