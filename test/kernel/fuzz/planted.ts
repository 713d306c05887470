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

/** One bug in so many is planted; all with CUBEPLANE_PLANTED=all, as in `npm run soak`. Each costs a build and a campaign, some 3 s. */
const ONE_IN = 3;

/** The bugs that this run plants. Of all of them the text is looked for. @throws Error when one is not in the source once. */
export function planted<Planted extends Bug>(bugs: readonly Planted[]): readonly Planted[] {
  for (const bug of bugs) halvesOf(bug, readFileSync(join(ROOT, 'bpf', bug.file), 'utf8'));
  return process.env.CUBEPLANE_PLANTED === 'all' ? bugs : bugs.filter((_, index) => index % ONE_IN === 0);
}

/** What stands before and behind the text. */
function halvesOf({ what, file, from }: Bug, source: string): readonly string[] {
  const halves = source.split(from);
  if (halves.length !== 2)
    throw new Error(`"${what}": ${file} holds ${halves.length - 1} times what is to change: ${from}`);
  return halves;
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
    const changed = halvesOf(bug, source).join(bug.to);
    writeFileSync(path, changed);
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
