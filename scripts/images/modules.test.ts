// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { isLoaded, LEFT_OUT, type Lock, productionModules } from './modules.ts';

const paths = (lock: Lock, leftOut: string[] = []) =>
  productionModules(lock, leftOut).map(({ path }) => path);

describe('modules of the image', () => {
  it('are what the dependencies need, found as Node finds it', () => {
    const lock: Lock = {
      packages: {
        '': { version: '1', dependencies: { a: '1', left: '1' } },
        'node_modules/a': {
          version: '1',
          dependencies: { b: '1', c: '1' },
          optionalDependencies: { gone: '1' },
        },
        'node_modules/a/node_modules/b': { version: '1', dependencies: { c: '1' } },
        'node_modules/b': { version: '2' },
        'node_modules/c': { version: '1', dependencies: { a: '1' } },
        'node_modules/left': { version: '1', dependencies: { only: '1' } },
        'node_modules/only': { version: '1' },
        'node_modules/dev': { version: '1' },
      },
    };
    expect(paths(lock, ['left'])).toEqual([
      'node_modules/a',
      'node_modules/a/node_modules/b',
      'node_modules/c',
    ]);
    expect(paths(lock)).toContain('node_modules/only');
  });

  it('are those of package.json, without the client that pods do not load', () => {
    const lock = JSON.parse(
      readFileSync(join(import.meta.dirname, '../../package-lock.json'), 'utf8'),
    ) as Lock;
    const names = productionModules(lock).map(({ name }) => name);
    const dependencies = Object.keys(lock.packages['']?.dependencies ?? {});
    expect(names).toEqual(expect.arrayContaining(dependencies.filter((name) => !LEFT_OUT.includes(name))));
    expect(names).not.toContain('@kubernetes/client-node');
    expect(names).not.toContain('jest');
  });

  it.each([
    ['lib/index.js', true],
    ['package.json', true],
    ['LICENSE.md', true],
    ['lib/docs/page.js', true],
    ['index.d.ts', false],
    ['lib/index.js.map', false],
    ['README.md', false],
    ['test/run.js', false],
    ['node_modules/other/index.js', false],
  ])('%s of a package: %s', (path, expected) => {
    expect(isLoaded(path)).toBe(expected);
  });
});
