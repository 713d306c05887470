// SPDX-License-Identifier: Apache-2.0
import { existsSync, rmSync } from 'node:fs';
import { writeRecord } from '../files.ts';

/** Says on disk that the node runs on what was saved: an agent that starts again before the source is heard goes on with that. */
export class RestoreMark {
  readonly #path: string;
  #isSet: boolean;

  constructor(path: string) {
    this.#path = path;
    this.#isSet = existsSync(path);
  }

  get isSet(): boolean {
    return this.#isSet;
  }

  /** Throws where the disk refuses. */
  set(asOf: Date): void {
    writeRecord(this.#path, { asOf: asOf.toISOString() });
    this.#isSet = true;
  }

  clear(): void {
    if (this.#isSet) rmSync(this.#path, { force: true });
    this.#isSet = false;
  }
}
