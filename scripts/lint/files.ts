// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Lines that one file may have, outside tests and generated code. */
const MAX_LINES = 400;
const APACHE = 'SPDX-License-Identifier: Apache-2.0';
const GPL = 'SPDX-License-Identifier: GPL-2.0-only';
/** Marks of unfinished work; put together here so that this file holds none. */
const UNFINISHED = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|X{3})\\b`);

/** Paths of the project's files, those not yet committed included, those ignored by git not. */
export function projectFiles(root: string): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return listed.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

export function isGenerated(path: string): boolean {
  return path.startsWith('crds/') || path.includes('/generated/') || path.startsWith('docs/reference/');
}

function isTest(path: string): boolean {
  return path.startsWith('test/') || path.endsWith('.test.ts');
}

/** The licence that a file's head must name, or undefined where none is asked for. */
export function licenceOf(path: string): string | undefined {
  if (/^(bpf|test\/kernel\/fixtures)\/.*\.[ch]$/.test(path)) return GPL;
  return /\.(ts|cjs|sh|cc|h|c|go)$/.test(path) || path === '.ci/run' || path === 'Makefile'
    ? APACHE
    : undefined;
}

/** What is wrong with one file's text, one line each. Pure. */
export function problemsOf(path: string, text: string): string[] {
  const problems: string[] = [];
  const lines = text.split('\n');
  const licence = licenceOf(path);
  if (licence !== undefined && !lines.slice(0, 3).some((line) => line.includes(licence))) {
    problems.push(`${path}:1: no licence: write "${licence}" into its first line`);
  }
  const isSource = /\.(ts|c|h|cc|sh)$/.test(path);
  if (!isSource || isGenerated(path)) return problems;
  if (!isTest(path) && lines.length - 1 > MAX_LINES) {
    problems.push(`${path}: ${lines.length - 1} lines, at most ${MAX_LINES}: split it by what it holds`);
  }
  for (const [index, line] of lines.entries()) {
    if (UNFINISHED.test(line)) problems.push(`${path}:${index + 1}: unfinished: do it, or open an issue`);
  }
  return problems;
}

/** Decisions that have their number from another one: branches that grew beside each other. Pure. */
export function numberProblems(paths: readonly string[]): string[] {
  const first = new Map<string, string>();
  return paths.flatMap((path) => {
    const number = /^docs\/adr\/(\d+)-/.exec(path)?.[1];
    if (number === undefined) return [];
    const other = first.get(number);
    if (other === undefined) first.set(number, path);
    return other === undefined ? [] : [`${path}: has the number of ${other}: give it the next free one`];
  });
}

/** Checks heads, lengths and marks of unfinished work in all files of the project, and the numbers of decisions. */
export function fileProblems(root: string): string[] {
  const paths = projectFiles(root);
  const problems = paths.flatMap((path) => {
    if (licenceOf(path) === undefined) return [];
    return problemsOf(path, readFileSync(join(root, path), 'utf8'));
  });
  return [...problems, ...numberProblems(paths)];
}
