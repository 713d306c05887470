// SPDX-License-Identifier: Apache-2.0
import { type FSWatcher, watch } from 'node:fs';
import { access, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

const MANIFEST = /\.(ya?ml|json)$/;
/** Several events of one change, and writers of several files, come within this time. */
const SETTLE_MS = 20;
/** Events of the kernel may be lost (network file systems, a queue overrun), so the directory is looked at anyway. */
const RESCAN_MS = 5_000;

/** What a scan found against the one before. */
export interface DirectoryChange {
  /** Texts of files that are new or different. */
  readonly changed: ReadonlyMap<string, string>;
  readonly removed: readonly string[];
  /** Why it could not be read; then nothing of the above. */
  readonly failure?: string;
}

/** True for the files that count: YAML and JSON, not hidden (editors and atomic writers use hidden names). */
export function isManifestName(name: string): boolean {
  return MANIFEST.test(name) && !name.startsWith('.');
}

/**
 * The manifest files right in one directory, not below it. Symbolic links are followed, so a mounted ConfigMap works.
 * A directory that cannot be read is a failure, not an empty directory: nothing counts as removed then.
 */
export class ManifestDirectory {
  readonly path: string;
  readonly #counts: (name: string) => boolean;
  readonly #stamps = new Map<string, string>();

  /** `counts`: names of the files that are read. */
  constructor(path: string, counts = isManifestName) {
    this.path = path;
    this.#counts = counts;
  }

  /** Looks at the whole directory, or at some names only, which costs nothing for the others. */
  async scan(only?: ReadonlySet<string>): Promise<DirectoryChange> {
    const changed = new Map<string, string>();
    const removed: string[] = [];
    try {
      const names = only === undefined ? await readdir(this.path) : [...only];
      const present = new Set<string>();
      for (const name of names.filter(this.#counts).sort()) {
        const path = join(this.path, name);
        const info = await stat(path, { bigint: true }).catch(ifGone);
        if (info === undefined || !info.isFile()) continue;
        present.add(name);
        const stamp = `${info.dev} ${info.ino} ${info.size} ${info.mtimeNs} ${info.ctimeNs}`;
        if (this.#stamps.get(name) === stamp) continue;
        const text = await readFile(path, 'utf8').catch(ifGone);
        if (text === undefined) continue;
        changed.set(name, text);
        this.#stamps.set(name, stamp);
      }
      // A file that is gone and a directory that is gone look the same from inside.
      if (only !== undefined && present.size < only.size) await access(this.path);
      for (const name of only ?? this.#stamps.keys()) {
        if (this.#stamps.has(name) && !present.has(name)) removed.push(name);
      }
      for (const name of removed) this.#stamps.delete(name);
      return { changed, removed };
    } catch (failure) {
      const { code, message } = failure as NodeJS.ErrnoException;
      const remedy = code === 'ENOENT' ? 'create it, or mount it again' : 'make it readable for the agent';
      // What was read before the failure is in force; it is not handed out twice.
      return { changed, removed: [], failure: `${this.path} cannot be read: ${message}; ${remedy}` };
    }
  }

  /**
   * Calls `scanned` with each change, one at a time, until the signal ends it. The first call comes in any case, with
   * all files that are there.
   */
  async follow(
    scanned: (change: DirectoryChange) => void | Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let watcher: FSWatcher | undefined;
    let wake: () => void = () => {};
    let first = true;
    let failed = false;
    // Names that the kernel told of since the last scan; undefined: anything may have changed.
    let names: Set<string> | undefined;
    const abort = () => wake();
    signal.addEventListener('abort', abort);
    try {
      while (!signal.aborted) {
        let woken = false;
        const sleeping = new Promise<void>((resolve) => {
          wake = () => {
            woken = true;
            resolve();
          };
        });
        // Watched before it is read: a change in between wakes the next round.
        watcher ??= this.#watch(
          (name) => {
            // A mounted ConfigMap changes by one link, `..data`, that all its files lead through.
            if (name === null || name.startsWith('..')) names = undefined;
            else names?.add(name);
            wake();
          },
          () => {
            names = undefined;
            watcher?.close();
            watcher = undefined;
          },
        );
        const some = names;
        names = new Set();
        const change = await this.scan(some);
        if (signal.aborted) return;
        const recovered = failed && change.failure === undefined;
        if (
          first ||
          recovered ||
          change.failure !== undefined ||
          change.changed.size > 0 ||
          change.removed.length > 0
        ) {
          await scanned(change);
        }
        first = false;
        failed = change.failure !== undefined;
        if (failed) {
          watcher?.close();
          watcher = undefined;
        }
        if (failed) names = undefined;
        const rescan = () => {
          names = undefined;
          wake();
        };
        const timer = setTimeout(rescan, failed ? 500 : RESCAN_MS);
        await sleeping;
        clearTimeout(timer);
        if (woken && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      }
    } finally {
      signal.removeEventListener('abort', abort);
      watcher?.close();
    }
  }

  #watch(changed: (name: string | null) => void, lost: () => void): FSWatcher | undefined {
    try {
      const watcher = watch(this.path, { persistent: true });
      watcher.on('change', (_, name) => changed(name === null ? null : String(name)));
      watcher.on('error', lost);
      return watcher;
    } catch {
      return undefined; // not there: the scan says so
    }
  }
}

/** A file that disappears between two calls, or a link that leads nowhere, is not there. */
function ifGone(failure: NodeJS.ErrnoException): undefined {
  if (failure.code === 'ENOENT') return undefined;
  throw failure;
}
