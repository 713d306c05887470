// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { commitOf } from './checkout.ts';
import { run } from './process.ts';

test('the commit before is found; in a shallow checkout it is said how to get it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cubeplane-'));
  try {
    const [whole, shallow] = [join(folder, 'whole'), join(folder, 'shallow')];
    const author = [
      '-c',
      'user.name=test',
      '-c',
      'user.email=test@example.org',
      '-c',
      'commit.gpgsign=false',
    ];
    await run(['git', 'init', '--quiet', whole]);
    for (const message of ['one', 'two'])
      await run(['git', '-C', whole, ...author, 'commit', '--quiet', '--allow-empty', '-m', message]);
    await run(['git', 'clone', '--quiet', '--depth=1', `file://${whole}`, shallow]);
    expect(await commitOf(whole, 'HEAD~1')).toMatch(/^[0-9a-f]{40}$/);
    expect(await commitOf(shallow, 'HEAD')).toBe(await commitOf(whole, 'HEAD'));
    await expect(commitOf(shallow, 'HEAD~1')).rejects.toThrow('git fetch --deepen=1');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
