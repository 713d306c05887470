// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type DirectoryChange, ManifestDirectory } from './directory.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cubeplane-directory-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
const files = ({ changed, removed }: DirectoryChange) => ({ changed: [...changed.entries()], removed });

test('a scan hands out what is new, different or gone', async () => {
  put('a.yaml', '1');
  put('b.json', '2');
  put('.hidden.yaml', '3');
  put('notes.txt', '4');
  mkdirSync(join(directory, 'sub.yaml'));
  const manifests = new ManifestDirectory(directory);
  expect(files(await manifests.scan())).toEqual({
    changed: [
      ['a.yaml', '1'],
      ['b.json', '2'],
    ],
    removed: [],
  });
  expect(files(await manifests.scan())).toEqual({ changed: [], removed: [] });
  put('a.yaml', '10');
  rmSync(join(directory, 'b.json'));
  expect(files(await manifests.scan())).toEqual({ changed: [['a.yaml', '10']], removed: ['b.json'] });
});

test('a directory that disappears is a failure and removes nothing', async () => {
  put('a.yaml', '1');
  const manifests = new ManifestDirectory(directory);
  await manifests.scan();
  rmSync(directory, { recursive: true });
  const change = await manifests.scan();
  expect(change.failure).toContain(directory);
  expect(files(change)).toEqual({ changed: [], removed: [] });
});

test('links are followed, as in a mounted ConfigMap', async () => {
  mkdirSync(join(directory, '..data-1'));
  writeFileSync(join(directory, '..data-1', 'a.yaml'), 'one');
  symlinkSync('..data-1', join(directory, '..data'));
  symlinkSync('..data/a.yaml', join(directory, 'a.yaml'));
  const manifests = new ManifestDirectory(directory);
  expect(files(await manifests.scan()).changed).toEqual([['a.yaml', 'one']]);
  mkdirSync(join(directory, '..data-2'));
  writeFileSync(join(directory, '..data-2', 'a.yaml'), 'two');
  symlinkSync('..data-2', join(directory, '..data-new'));
  renameSync(join(directory, '..data-new'), join(directory, '..data'));
  expect(files(await manifests.scan()).changed).toEqual([['a.yaml', 'two']]);
});

test('follow hands out changes as they come, also when the directory comes late or comes again', async () => {
  rmSync(directory, { recursive: true });
  const stop = new AbortController();
  const seen: DirectoryChange[] = [];
  let tell: () => void = () => {};
  const next = async (wanted: (change: DirectoryChange) => boolean) => {
    for (;;) {
      const found = seen.findIndex(wanted);
      if (found >= 0) return files(seen.splice(0, found + 1)[found] as DirectoryChange);
      await new Promise<void>((resolve) => {
        tell = resolve;
      });
    }
  };
  const following = new ManifestDirectory(directory).follow((change) => {
    seen.push(change);
    tell();
  }, stop.signal);
  await next((change) => change.failure !== undefined);
  mkdirSync(directory);
  put('.a.tmp', '1');
  renameSync(join(directory, '.a.tmp'), join(directory, 'a.yaml'));
  expect(await next((change) => change.changed.size > 0)).toEqual({
    changed: [['a.yaml', '1']],
    removed: [],
  });
  const started = performance.now();
  put('.a.tmp', '2');
  renameSync(join(directory, '.a.tmp'), join(directory, 'a.yaml'));
  expect((await next((change) => change.changed.size > 0)).changed).toEqual([['a.yaml', '2']]);
  // By the kernel's event, not by the rescan.
  expect(performance.now() - started).toBeLessThan(2_000);
  rmSync(join(directory, 'a.yaml'));
  expect((await next((change) => change.removed.length > 0)).removed).toEqual(['a.yaml']);
  stop.abort();
  await following;
});
