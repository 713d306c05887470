// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import type { Log } from '../../../k8s/log.ts';
import { type Diagnostic, diagnosticText } from '../../../operators/diagnostic.ts';
import { type ManifestProblem, problemText } from './problem.ts';
import { statusDirectory, writeAtomically } from './state-files.ts';

/** What `<state>/<node>/status/manifests.json` holds: how the directory is read, for people and for `cubeplane get`. */
export interface DirectoryReport {
  readonly directory: string;
  /** Objects in force. */
  readonly objects: number;
  /** Why the directory as a whole cannot be read; the last state stays in force. */
  readonly failure?: string;
  /** Files whose newest version is refused; their last good version stays in force. */
  readonly problems: readonly ManifestProblem[];
  /** What could not be translated of objects that are in force. */
  readonly warnings: readonly Diagnostic[];
}

export function reportPath(stateRoot: string, node: string): string {
  return join(statusDirectory(stateRoot, node), 'manifests.json');
}

/** Tells changes of the report to the log, each once, and keeps the file. */
export class Reporter {
  readonly #path: string;
  readonly #log: Log;
  #text = '';
  #said = new Map<string, () => void>();

  constructor(stateRoot: string, node: string, log: Log) {
    this.#path = reportPath(stateRoot, node);
    this.#log = log;
  }

  async set(report: DirectoryReport): Promise<void> {
    const now = new Map<string, () => void>();
    if (report.failure !== undefined) {
      now.set(`${report.failure}: the last state stays in force`, () =>
        this.#log.info({ directory: report.directory }, 'the manifest directory can be read again'),
      );
    }
    for (const problem of report.problems) {
      now.set(`${problemText(problem)}: the last good version of ${problem.file} stays in force`, () =>
        this.#log.info({ file: problem.file }, `${problem.file}: this problem is gone: ${problem.message}`),
      );
    }
    for (const warning of report.warnings) now.set(diagnosticText(warning), () => {});
    for (const text of now.keys())
      if (!this.#said.has(text)) this.#log.warn({ directory: report.directory }, text);
    for (const [text, gone] of this.#said) if (!now.has(text)) gone();
    this.#said = now;
    const text = `${JSON.stringify(report, null, 2)}\n`;
    if (text === this.#text) return;
    await writeAtomically(this.#path, text);
    this.#text = text;
  }
}
