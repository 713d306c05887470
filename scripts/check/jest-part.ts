// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from './command.ts';
import { leftoverChecks, RUN_VARIABLE, traces } from './leftovers.ts';
import type { Part } from './parts.ts';
import { type Check, checksOfJest, type JestResults } from './result.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Jest looks for a pattern in the whole path, where the folder of the clone may match it. */
function belowRoot(pattern: string): string {
  const root = ROOT.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return `^${root}/.*(?:${pattern})`;
}

/** Runs one jest project, then looks for what its tests left behind. `patterns` choose test files, as jest takes them. */
export async function runJestPart(
  part: Part,
  patterns: readonly string[],
): Promise<{ checks: Check[]; jest?: JestResults }> {
  const directory = join(ROOT, 'build/test');
  const output = join(directory, `${part.name}.json`);
  await mkdir(directory, { recursive: true });
  await rm(output, { force: true });
  const run = `${part.name}-${process.pid}-${Date.now()}`;
  const before = traces();
  const { ok } = await command(
    [
      process.execPath,
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(ROOT, 'node_modules/jest/bin/jest.js'),
      '--selectProjects',
      part.name,
      '--ci',
      '--json',
      `--outputFile=${output}`,
      `--maxWorkers=${part.workers}`,
      `--testTimeout=${part.testSeconds * 1000}`,
      ...(patterns.length > 0 ? ['--', ...patterns.map(belowRoot)] : []),
    ],
    { inherit: true, timeoutSeconds: part.limitSeconds, env: { [RUN_VARIABLE]: run } },
  );
  const left = await leftoverChecks(part.name, run, before);
  let jest: JestResults;
  try {
    jest = JSON.parse(await readFile(output, 'utf8')) as JestResults;
  } catch {
    const detail = `jest wrote no results: it crashed, or took longer than ${part.limitSeconds} s`;
    return { checks: [{ name: `${part.name} runs to its end`, ok: false, detail }, ...left] };
  }
  const checks = checksOfJest(jest, ROOT);
  if (!ok && checks.every((check) => check.ok)) {
    checks.push({
      name: `${part.name} runs to its end`,
      ok: false,
      detail: 'jest ended with an error of its own',
    });
  }
  return { checks: [...checks, ...left], jest };
}
