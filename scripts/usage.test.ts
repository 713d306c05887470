// SPDX-License-Identifier: Apache-2.0
/** What the programs of package.json do with words and options that they do not take: they say so in a line, and do nothing. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');

function call(
  program: string,
  args: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(ROOT, program), ...args], { encoding: 'utf8', cwd: ROOT });
}

const BENCH = 'test/bench/main.ts';
const SOAK = 'scripts/soak.ts';
const DEMO = 'scripts/demo/main.ts';
const KUBE = 'test/harness/kube/main.ts';
const CLUSTER = 'scripts/cluster/main.ts';
const TEST = 'scripts/test.ts';

test.each([
  [BENCH, ['cni'], "Unexpected argument 'cni'"],
  [BENCH, ['--fast'], "Unknown option '--fast'"],
  [BENCH, ['--only', 'nothing'], 'no suite nothing; there are: '],
  [BENCH, ['--from', 'x.json'], '--from needs --report FILE'],
  [SOAK, ['cni'], "Unexpected argument 'cni'"],
  [SOAK, ['--fast'], "Unknown option '--fast'"],
  [SOAK, ['--only', 'nothing'], '--only nothing: there is '],
  [SOAK, ['--times', 'two'], '--times two: not a whole number above 0'],
  [DEMO, ['all'], "Unexpected argument 'all'"],
  [DEMO, ['--kubernets'], "Unknown option '--kubernets'"],
  [DEMO, ['--remove', 'all'], '--remove all: not the id of a kept demo'],
  [KUBE, ['upp'], 'unknown command upp: up, down, status, kubeconfig or kubectl'],
  [KUBE, ['up', '--bear'], '--bear: "up" takes --bare'],
  [KUBE, ['down', 'all'], 'all: "down" takes no argument'],
  [KUBE, ['status', '-v'], '-v: "status" takes no argument'],
  [CLUSTER, ['--light', 'upp'], 'unknown command upp: '],
  [CLUSTER, ['--heavy', 'up'], "Unknown option '--heavy'"],
  [TEST, ['--fast'], "Unknown option '--fast'"],
  [TEST, ['--only', 'nothing'], '--only nothing: no such part; there are '],
] as const)('%s %j is wrong usage', (program, args, message) => {
  const { status, stdout, stderr } = call(program, args);
  expect(stderr).toContain(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).toBe('');
  expect(status).toBe(2);
});

test.each([BENCH, SOAK, DEMO, KUBE, CLUSTER, TEST])('%s says what it takes', (program) => {
  const { status, stdout, stderr } = call(program, ['--help']);
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toContain('npm ');
});
