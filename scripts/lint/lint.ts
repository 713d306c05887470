// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { command } from '../check/command.ts';
import type { Check } from '../check/result.ts';
import { fileProblems } from './files.ts';
import { generatedProblems } from './generated.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Step {
  readonly name: string;
  /** What is wrong, one problem each; empty for nothing. */
  readonly problems: () => Promise<string[]>;
}

const run = (...argv: string[]) => ({
  problems: async () => {
    const { ok, output } = await command(argv, {
      inherit: false,
      timeoutSeconds: 240,
      env: { NO_COLOR: '1' },
    });
    return ok ? [] : [output.trim()];
  },
});

const bin = (name: string) => join(ROOT, 'node_modules/.bin', name);

const STEPS: readonly Step[] = [
  { name: 'format and rules of TypeScript (biome)', ...run(bin('biome'), 'ci', '--colors=off', '.') },
  { name: 'format of C and C++ (clang-format)', ...run('make', '--silent', '-C', ROOT, 'format-check') },
  { name: 'types (tsc)', ...run(bin('tsc'), '--noEmit', '--pretty', 'false') },
  {
    name: 'directions of imports (dependency-cruiser)',
    ...run(
      bin('depcruise'),
      '--config',
      join(ROOT, '.dependency-cruiser.cjs'),
      '--output-type',
      'err',
      'src',
    ),
  },
  { name: 'licences, lengths, nothing unfinished', problems: async () => fileProblems(ROOT) },
  { name: 'generated files are up to date', problems: () => generatedProblems(ROOT) },
];

/** Runs every step, one after the other, and says what it finds as it goes. One check a step. */
export async function lint(): Promise<Check[]> {
  const checks: Check[] = [];
  for (const { name, problems } of STEPS) {
    const started = performance.now();
    const found = await problems().catch((failure: Error) => [failure.message]);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stderr.write(`${found.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`);
    if (found.length > 0) process.stderr.write(`${found.join('\n')}\n`);
    checks.push({ name, ok: found.length === 0, detail: found.join('\n') });
  }
  return checks;
}
