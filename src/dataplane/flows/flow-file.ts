// SPDX-License-Identifier: Apache-2.0
import { appendFileSync } from 'node:fs';
import type { AgentLog } from '../agent-options.ts';
import { textOf } from '../errors.ts';
import type { FlowRecord } from './flow-record.ts';

/**
 * Where the flow log goes: a file, or `-` for standard output. The file is opened for each batch, so that who rotates logs
 * needs to tell nobody: what was renamed is made anew.
 */
export class FlowFile {
  readonly #path: string;
  readonly #log: AgentLog;
  #isFailing = false;

  constructor(path: string, log: AgentLog) {
    this.#path = path;
    this.#log = log;
  }

  /** `suppressed`: events since the last call that were over the rate. A disk that is full costs lines, and not the agent. */
  write(flows: readonly FlowRecord[], suppressed: number, node: string, now: Date): void {
    const lines: object[] = [...flows];
    if (suppressed > 0) lines.push({ time: now.toISOString(), node, suppressed });
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    try {
      if (this.#path === '-') process.stdout.write(text);
      else appendFileSync(this.#path, text, { mode: 0o640 });
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        this.#log.error({ path: this.#path }, `the flow log cannot be written: ${textOf(error)}`);
      this.#isFailing = true;
    }
  }
}
