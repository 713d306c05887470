// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { licenceOf, numberProblems, problemsOf } from './files.ts';

const HEAD = '// SPDX-License-Identifier: Apache-2.0\n';

test('programs of the kernel are GPL-2.0-only, everything else is Apache-2.0', () => {
  expect(licenceOf('bpf/router/router.bpf.c')).toContain('GPL-2.0-only');
  expect(licenceOf('test/kernel/fixtures/one.bpf.c')).toContain('GPL-2.0-only');
  expect(licenceOf('test/kernel/fixtures/one.h')).toContain('GPL-2.0-only');
  expect(licenceOf('src/api/group.ts')).toContain('Apache-2.0');
  expect(licenceOf('README.md')).toBeUndefined();
});

test('a good file has no problem; a shebang may come before the licence', () => {
  expect(problemsOf('src/a.ts', `${HEAD}export const a = 1;\n`)).toEqual([]);
  expect(problemsOf('src/cli/main.ts', `#!/usr/bin/env node\n${HEAD}`)).toEqual([]);
});

test('a missing or wrong licence is named', () => {
  expect(problemsOf('src/a.ts', 'export const a = 1;\n')).toEqual([expect.stringContaining('src/a.ts:1')]);
  expect(problemsOf('bpf/include/a.h', HEAD)).toEqual([expect.stringContaining('GPL-2.0-only')]);
});

test('a long file is refused, but not a test or generated code', () => {
  const long = HEAD + 'x();\n'.repeat(400);
  expect(problemsOf('src/a.ts', long)).toEqual([expect.stringContaining('401 lines')]);
  expect(problemsOf('src/a.test.ts', long)).toEqual([]);
  expect(problemsOf('src/api/generated/a.ts', long)).toEqual([]);
});

test('marks of unfinished work are found with their line', () => {
  const mark = ['TO', 'DO'].join('');
  expect(problemsOf('src/a.ts', `${HEAD}// ${mark}: later\n`)).toEqual([
    expect.stringContaining('src/a.ts:2'),
  ]);
});

test('a decision has a number of its own', () => {
  const paths = ['docs/adr/0001-one.md', 'docs/adr/0002-two.md', 'docs/adr/0001-other.md', 'docs/0001-no.md'];
  expect(numberProblems(paths)).toEqual([expect.stringContaining('docs/adr/0001-other.md')]);
});
