// SPDX-License-Identifier: Apache-2.0

import { colours } from '../../src/cli/print/colours.ts';
import { formatElapsed } from '../../test/harness/progress.ts';

/** Tells on standard output what happens, with the time since the start. */
export class Story {
  readonly #started = Date.now();
  readonly #paint = colours(process.stdout);

  get elapsed(): string {
    return formatElapsed(Date.now() - this.#started);
  }

  /** One line for one thing done. */
  say(text: string): void {
    process.stdout.write(`${this.#paint.dim(this.elapsed.padStart(5))}  ${text}\n`);
  }

  /** What a step that takes long is at. */
  detail(text: string): void {
    process.stdout.write(`${this.#paint.dim(`${this.elapsed.padStart(5)}    ${text}`)}\n`);
  }

  title(text: string): void {
    process.stdout.write(`\n${this.#paint.bold(text)}\n`);
  }

  /** Lines of output, indented. */
  show(lines: readonly string[]): void {
    for (const line of lines) process.stdout.write(line === '' ? '\n' : `       ${line}\n`);
  }

  good(text: string): void {
    process.stdout.write(`${this.#paint.dim(this.elapsed.padStart(5))}  ${this.#paint.green(text)}\n`);
  }
}
