// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureKubernetes } from '../test/harness/kube/build.ts';
import { stderrLog } from '../test/harness/progress.ts';
import { prepareRealCluster } from '../test/harness/real/cluster.ts';
import { endOnSignals } from './check/command.ts';
import { runJestPart } from './check/jest-part.ts';
import { PARTS, type Part, selectParts } from './check/parts.ts';
import { failures, type PartResult, passedCount } from './check/result.ts';
import { lint } from './lint/lint.ts';

const REAL_CLUSTER_TEST = 'test/e2e/real-cluster.test.ts';

const HELP = `Usage: npm test -- [--only PART]... [--json FILE] [PATTERN]...

Runs every check of the project, in this order, and ends with the line "N passed, N failed".
${PARTS.map((part) => `  ${part.name.padEnd(8)}${part.description}`).join('\n')}

Options:
  --only PART   this part alone; may be repeated
  --json FILE   machine-readable results (default build/test/results.json)
  PATTERN       only test files whose path matches, as jest takes it

A test that is skipped counts as failed, and so does a part that leaves processes, network namespaces or pinned BPF
objects behind. Parts after unit need root. Status: 0 nothing failed, 1 something did, 2 wrong usage.

Examples:
  npm test -- --only unit
  npm test -- --only netns test/netns/demo
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true, default: [] },
      json: { type: 'string', default: 'build/test/results.json' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const parts = selectParts(values.only);
  const needsRoot = parts.some((part) => part.name !== 'lint' && part.name !== 'unit');
  if (needsRoot && process.getuid?.() !== 0) {
    throw new Error(
      'parts kernel, netns and e2e need root: run it with sudo, or with --only lint --only unit',
    );
  }
  endOnSignals();
  if (parts.some((part) => part.kubernetes)) {
    await ensureKubernetes();
    // What takes minutes once is no time of the test that needs it.
    const needed =
      positionals.length === 0 || positionals.some((pattern) => new RegExp(pattern).test(REAL_CLUSTER_TEST));
    if (needed) await prepareRealCluster(stderrLog);
  }
  const results: PartResult[] = [];
  for (const part of parts) results.push(await runPart(part, positionals));
  return await report(results, values.json);
}

async function runPart(part: Part, patterns: readonly string[]): Promise<PartResult> {
  process.stderr.write(`\n== ${part.name}: ${part.description}\n`);
  const started = performance.now();
  const outcome = part.name === 'lint' ? { checks: await lint() } : await runJestPart(part, patterns);
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  return { part: part.name, seconds, ...outcome };
}

async function report(results: readonly PartResult[], jsonPath: string): Promise<number> {
  const failed = failures(results);
  const passed = passedCount(results);
  const path = resolve(jsonPath);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(
    path,
    `${JSON.stringify({ passed, failed: failed.length, failures: failed, parts: results }, null, 1)}\n`,
  );
  const write = (line: string) => process.stdout.write(`${line}\n`);
  write('');
  for (const { part, seconds, checks } of results) {
    const good = checks.filter((check) => check.ok).length;
    write(
      `${part.padEnd(8)}${String(good).padStart(6)} passed ${String(checks.length - good).padStart(5)} failed ${seconds.toFixed(1).padStart(8)} s`,
    );
  }
  if (failed.length > 0) write('\nFailed:');
  for (const { part, name, detail } of failed)
    write(
      `  ${part}: ${name}${detail === '' ? '' : `\n    ${detail.split('\n').slice(0, 12).join('\n    ')}`}`,
    );
  write(`\nresults: ${jsonPath}`);
  write(`${passed} passed, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (failure) {
  process.stderr.write(`npm test: ${failure instanceof Error ? failure.message : failure}\n`);
  process.exitCode = 2;
}
