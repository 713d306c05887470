// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { run } from '../../test/harness/process.ts';
import { formatElapsed } from '../../test/harness/progress.ts';
import { REGISTRY } from '../../test/harness/real/images.ts';
import type { State } from '../cluster/state.ts';
import { parseJunit, parseList, type TestCase } from './results.ts';

export interface Programs {
  /** Upstream's tests. */
  readonly tests: string;
  readonly ginkgo: string;
}

/** Registries that upstream's tests name images of. */
const REGISTRIES = [
  'promoterE2eRegistry',
  'buildImageRegistry',
  'gcEtcdRegistry',
  'gcRegistry',
  'sigStorageRegistry',
  'dockerLibraryRegistry',
  'cloudProviderGcpRegistry',
];

/** Names of all tests that there are. */
export async function listTests({ tests }: Programs): Promise<string[]> {
  const { stdout } = await run([tests, '--list-tests'], { timeoutMs: 300_000 });
  return parseList(stdout);
}

/** A regular expression that matches these names and no others: ginkgo puts the name of the suite in front. */
export function patternOf(names: readonly string[]): string {
  return `(${names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')})\\s*$`;
}

/** Runs tests against a cluster, from outside of it and of its nodes' subnet. `directory` gets their log and reports. */
export async function runTests(
  programs: Programs,
  { nodes, kubectl, insideKubeconfig }: State,
  chosen: readonly string[],
  options: { readonly directory: string; readonly procs: number; readonly log: (line: string) => void },
): Promise<TestCase[]> {
  const { directory, procs, log } = options;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const repositories = join(directory, 'registries.yaml');
  await writeFile(repositories, REGISTRIES.map((name) => `${name}: ${REGISTRY}\n`).join(''));
  const outside = nodes.find(({ name }) => name === 'internet');
  const workers = nodes.filter(({ name }) => name.startsWith('node-'));
  // -v: a line for each test that ends
  const ginkgo = ['-v', '--no-color', '--timeout=3h', '--poll-progress-after=0s', `--procs=${procs}`];
  const flags = [
    `--kubeconfig=${insideKubeconfig}`,
    `--kubectl-path=${kubectl}`,
    '--provider=skeleton',
    `--num-nodes=${workers.length}`,
    `--report-dir=${directory}`,
    '--dump-logs-on-failure=false',
  ];
  const argv = [
    ...(outside?.enter ?? []),
    programs.ginkgo,
    ...ginkgo,
    `--focus=${patternOf(chosen)}`,
    programs.tests,
    '--',
    ...flags,
  ];
  const env = { ...process.env, KUBE_TEST_REPO_LIST: repositories };
  await follow(argv, { env, logPath: join(directory, 'e2e.log'), total: chosen.length, log });
  const results: TestCase[] = [];
  for (const file of await readdir(directory))
    if (/^junit.*\.xml$/.test(file))
      results.push(...parseJunit(await readFile(join(directory, file), 'utf8')));
  if (results.length === 0) throw new Error(`the tests wrote no report: ${join(directory, 'e2e.log')}`);
  return results;
}

/** Keeps its output in a log, and tells of each test that ends. Its status says no more than the reports do. */
async function follow(
  [program = '', ...args]: readonly string[],
  {
    env,
    logPath,
    total,
    log,
  }: { env: NodeJS.ProcessEnv; logPath: string; total: number; log: (line: string) => void },
): Promise<void> {
  const began = Date.now();
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const end = () => {
    // the whole group: ginkgo's processes outlive it
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', end);
  const file = createWriteStream(logPath);
  let done = 0;
  let failed = 0;
  let said = began;
  for (const stream of [child.stdout, child.stderr])
    createInterface(stream).on('line', (line) => {
      file.write(`${line}\n`);
      const ended = /^[•\s]*(?:•|S)? ?(\[FAILED\])? ?\[(\d+\.\d+) seconds\]/.exec(line);
      if (ended === null) return;
      done += 1;
      if (line.includes('[FAILED]')) failed += 1;
      if (Date.now() - said < 10_000 && done < total) return;
      said = Date.now();
      log(`${done} of ${total} tests ended, ${failed} failed (${formatElapsed(said - began)})`);
    });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  process.removeListener('exit', end);
  file.end();
}
