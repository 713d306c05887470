// SPDX-License-Identifier: Apache-2.0
/** Programs with a bug put into their source: a model that does not see it is no model. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A bug: text of a source file that stands there exactly once, and what it becomes. */
export interface Bug {
  readonly what: string;
  /** Below bpf/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Builds objects with bugs, one after the other, in a copy of the sources. */
export class Planter {
  readonly #root = mkdtempSync(join(tmpdir(), 'cubeplane-planted-'));

  constructor() {
    for (const folder of ['bpf', 'test/kernel/fixtures']) {
      cpSync(join(ROOT, folder), join(this.#root, folder), { recursive: true });
    }
    copyFileSync(join(ROOT, 'Makefile'), join(this.#root, 'Makefile'));
  }

  /** Path of the object, until the next call. @throws Error when the text is not in the source once. */
  build(object: string, bug: Bug): string {
    const path = join(this.#root, 'bpf', bug.file);
    const source = readFileSync(path, 'utf8');
    const parts = source.split(bug.from);
    if (parts.length !== 2) {
      throw new Error(
        `"${bug.what}": ${bug.file} holds ${parts.length - 1} times what is to change: ${bug.from}`,
      );
    }
    writeFileSync(path, parts.join(bug.to));
    try {
      execFileSync('make', ['-s', '-C', this.#root, `build/bpf/${object}.o`], {
        stdio: 'pipe',
        timeout: 120_000,
      });
    } finally {
      writeFileSync(path, source);
    }
    return join(this.#root, 'build/bpf', `${object}.o`);
  }

  close(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
