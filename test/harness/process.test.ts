// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { start } from './process.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cubeplane-process-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const run = async (line: string) => await start(['sh', '-c', line], { logPath: join(folder, 'log') });

test('a program that ends while it is looked at is looked at once more', async () => {
  const program = await run('echo done');
  let looks = 0;
  await program.waitUntil('done', async () => {
    looks++;
    if (looks === 1) await program.exited();
    return looks > 1;
  });
  expect(looks).toBe(2);
});

test('one that ends without what is waited for is an error with the end of its log', async () => {
  const program = await run('echo otherwise; exit 3');
  await expect(program.waitForOutput(/ready/)).rejects.toThrow(
    /ended with status 3 before it was saying \/ready\/.*otherwise/s,
  );
});

test('so is one that takes too long', async () => {
  const program = await run('exec sleep 20');
  await expect(program.waitForOutput(/ready/, 100)).rejects.toThrow(/was not saying \/ready\/ within 100 ms/);
  await program.stop();
});
