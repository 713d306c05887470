// SPDX-License-Identifier: Apache-2.0

/** One thing that was checked: a test, a lint step, or what a part left behind. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What failed, for people; empty when nothing did. */
  readonly detail: string;
}

/** What one part of the tests came to. */
export interface PartResult {
  readonly part: string;
  /** Wall-clock seconds. */
  readonly seconds: number;
  readonly checks: readonly Check[];
  /** Jest's own results, where the part is a jest project. */
  readonly jest?: JestResults;
}

/** What we read of the file that `jest --json --outputFile` writes. */
export interface JestResults {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly JestFile[];
  readonly [field: string]: unknown;
}

export interface JestFile {
  /** Absolute path. */
  readonly name: string;
  readonly status: 'passed' | 'failed' | string;
  /** Why the file as a whole failed: an import, a hook. */
  readonly message: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: 'passed' | 'failed' | 'pending' | 'skipped' | 'todo' | 'disabled' | string;
    readonly failureMessages?: readonly string[] | null;
  }[];
}

export function passedCount(parts: readonly PartResult[]): number {
  return parts.reduce((sum, part) => sum + part.checks.filter((check) => check.ok).length, 0);
}

export function failures(parts: readonly PartResult[]): (Check & { readonly part: string })[] {
  return parts.flatMap((part) =>
    part.checks.filter((check) => !check.ok).map((check) => ({ part: part.part, ...check })),
  );
}

/**
 * One check a test. A test that did not run counts as failed: a skipped test proves nothing, and an `only` elsewhere in
 * its file would hide it. A file that failed without a failing test (an import, a hook) is a check of its own.
 */
export function checksOfJest(results: JestResults, root: string): Check[] {
  const checks: Check[] = [];
  for (const file of results.testResults) {
    const where = file.name.startsWith(`${root}/`) ? file.name.slice(root.length + 1) : file.name;
    for (const test of file.assertionResults) {
      const ran = test.status === 'passed' || test.status === 'failed';
      checks.push({
        name: `${where}: ${test.fullName}`,
        ok: test.status === 'passed',
        detail: ran
          ? firstLine(test.failureMessages?.[0] ?? '')
          : `did not run (${test.status}): remove skip, todo or only`,
      });
    }
    if (file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')) {
      checks.push({ name: where, ok: false, detail: firstLine(file.message) });
    }
  }
  if (checks.length === 0) checks.push({ name: 'tests', ok: false, detail: 'no test was found' });
  return checks;
}

/** The first line that says something, without colours. */
function firstLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with the escape character
  const plain = text.replace(/\u001b\[[0-9;]*m/g, '');
  const lines = plain.split('\n').map((line) => line.trim());
  return lines.find((line) => line !== '' && !line.startsWith('●')) ?? '';
}
