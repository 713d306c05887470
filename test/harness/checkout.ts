// SPDX-License-Identifier: Apache-2.0
/** Another commit of this project beside the one that is tested: checked out, with its node modules, and built. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, utimesSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { run } from './process.ts';
import type { Scope } from './scope.ts';

export const ROOT = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');

/** Names what to compare with, instead of the commit before. */
const VARIABLE = 'CUBEPLANE_UPGRADE_FROM';
/** Goes on with the id of the process that made it. */
const FOLDER = 'cubeplane-checkout-';
const BUILD_MS = 600_000;

export interface Checkout {
  readonly directory: string;
  readonly commit: string;
}

const git = (...args: string[]) => gitIn(ROOT, ...args);

async function gitIn(root: string, ...args: string[]): Promise<string> {
  return (await run(['git', '-C', root, ...args], { timeoutMs: 120_000 })).stdout;
}

/** Checks out and builds the commit before this one, or the one that `$CUBEPLANE_UPGRADE_FROM` names, until the scope ends. */
export async function checkOutPrevious(scope: Scope): Promise<Checkout> {
  const revision = process.env[VARIABLE] || 'HEAD~1';
  await removeLeftCheckouts();
  const commit = await commitOf(ROOT, revision);
  const directory = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`));
  scope.defer(`checkout of ${revision}`, () => removeCheckout(directory));
  await git('worktree', 'add', '--quiet', '--detach', directory, commit);
  await addModules(directory, commit);
  await build(directory, commit);
  return { directory, commit };
}

/** @throws Error that says what to do where the commit is not there, as in a shallow checkout. */
export async function commitOf(root: string, revision: string): Promise<string> {
  try {
    return (await gitIn(root, 'rev-parse', '--verify', '--quiet', `${revision}^{commit}`)).trim();
  } catch (error) {
    throw new Error(
      `${revision} is not in the repository of ${root}: an upgrade starts from another commit. Where the checkout is shallow: ` +
        `git fetch --deepen=1 (in CI: a fetch depth of 2 or more). Another commit may be named by ${VARIABLE}`,
      { cause: error },
    );
  }
}

async function removeCheckout(directory: string): Promise<void> {
  await git('worktree', 'remove', '--force', '--force', directory);
}

/** Those of runs that were killed. */
async function removeLeftCheckouts(): Promise<void> {
  for (const line of (await git('worktree', 'list', '--porcelain')).split('\n')) {
    const [, directory = ''] = /^worktree (.*)$/.exec(line) ?? [];
    const [, pid] = new RegExp(`^${FOLDER}(\\d+)-`).exec(basename(directory)) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await removeCheckout(directory);
  }
}

/** Paths of files that are not as in that commit. */
async function changedSince(commit: string, ...paths: string[]): Promise<ReadonlySet<string>> {
  const listed = await git('diff', '--name-only', '-z', '--no-renames', commit, '--', ...paths);
  return new Set(listed.split('\0'));
}

/** Ours where they are the same, else its own, as scripts/setup.sh installs them. */
async function addModules(directory: string, commit: string): Promise<void> {
  if (!(await changedSince(commit, 'package-lock.json')).has('package-lock.json')) {
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
    return;
  }
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run(['npm', 'install', ...flags], { cwd: directory, timeoutMs: BUILD_MS });
}

/**
 * `make` of that commit. What takes long to build is taken along from here where it is up to date, and files that are the same here
 * are made older than it, so that only what depends on the others is built.
 */
async function build(directory: string, commit: string): Promise<void> {
  const question = ['make', '-C', ROOT, '--question', '--silent', 'all'];
  if ((await run(question, { anyStatus: true })).status === 0) {
    const changed = await changedSince(commit);
    const listed = await run(['git', '-C', directory, 'ls-files', '-z']);
    for (const path of listed.stdout.split('\0'))
      if (path !== '' && !changed.has(path)) utimesSync(join(directory, path), 1, 1);
    mkdirSync(join(directory, 'build'));
    // as old as here: a copy of now would be newer than the sources that differ, which have just been checked out
    for (const built of ['addon', 'cubeplane.node', 'cubeplane-cni'])
      cpSync(join(ROOT, 'build', built), join(directory, 'build', built), {
        recursive: true,
        preserveTimestamps: true,
      });
  }
  const argv = ['make', '-C', directory, '--silent', `-j${cpus().length}`, 'all'];
  await run(argv, { timeoutMs: BUILD_MS });
}
