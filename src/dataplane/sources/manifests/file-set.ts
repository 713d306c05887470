// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from './manifest-object.ts';
import type { ManifestProblem } from './problem.ts';

/** What one version of a file holds. A version with problems is never used. */
export interface FileVersion {
  readonly objects: readonly ManifestObject[];
  readonly problems: readonly ManifestProblem[];
}

/** What is in force, and what keeps a file's newest version from being it. */
export interface Resolved {
  /** By key. */
  readonly objects: ReadonlyMap<string, ManifestObject>;
  readonly problems: readonly ManifestProblem[];
}

interface FileState {
  /** The version on disk. */
  newest: FileVersion;
  /** The last version that was accepted. */
  good: FileVersion | undefined;
}

/**
 * The files of a directory by name. A file whose newest version is broken keeps its last good version in force. An object
 * that stands in two files belongs to the one that had it first; the newest version of the other is refused.
 */
export class FileSet {
  readonly #files = new Map<string, FileState>();
  /** Which file each object in force came from at the last resolution. */
  #owners = new Map<string, string>();

  /** The last good version of a file, to compare a new one with. */
  good(file: string): FileVersion | undefined {
    return this.#files.get(file)?.good;
  }

  /** Whether the newest version of a file is the one in force. */
  isGood(file: string): boolean {
    const state = this.#files.get(file);
    return state !== undefined && state.newest === state.good;
  }

  files(): string[] {
    return [...this.#files.keys()].sort();
  }

  /** A file is there, or has changed. `good` is what was accepted in an earlier life of the agent. */
  set(file: string, newest: FileVersion, good?: FileVersion): void {
    const state = this.#files.get(file);
    this.#files.set(file, { newest, good: good ?? state?.good });
  }

  /** A file is gone, and its objects with it. */
  delete(file: string): void {
    this.#files.delete(file);
  }

  /** Decides what is in force now, and remembers it as each file's last good version. */
  resolve(): Resolved {
    const problems: ManifestProblem[] = [];
    const chosen = new Map<string, FileVersion>();
    const names = this.files();
    for (const name of names) {
      const { newest, good } = this.#state(name);
      problems.push(...newest.problems);
      chosen.set(name, newest.problems.length === 0 ? newest : (good ?? NOTHING));
    }
    // Each round refuses at least one newest version, so there are at most as many rounds as files.
    for (;;) {
      const refused = this.#duplicates(names, chosen);
      if (refused.size === 0) break;
      for (const [name, found] of refused) {
        const { newest, good } = this.#state(name);
        if (chosen.get(name) === newest && newest !== good) {
          problems.push(...found);
          chosen.set(name, good ?? NOTHING);
        } else {
          // Its last good version meets what another file holds by now: that file was there first.
          const taken = new Set(found.map((problem) => problem.object));
          const version = chosen.get(name) ?? NOTHING;
          const objects = version.objects.filter((entry) => !taken.has(entry.key));
          chosen.set(name, { objects, problems: [] });
        }
      }
    }
    const objects = new Map<string, ManifestObject>();
    this.#owners = new Map();
    for (const name of names) {
      const state = this.#state(name);
      const version = chosen.get(name) ?? NOTHING;
      if (version === state.newest) state.good = version;
      for (const entry of version.objects) {
        objects.set(entry.key, entry);
        this.#owners.set(entry.key, name);
      }
    }
    return { objects, problems: problems.map(withObjectText) };
  }

  #state(name: string): FileState {
    const state = this.#files.get(name);
    if (state === undefined) throw new Error(`no file ${name}`);
    return state;
  }

  /** Files that have to give way, each with a problem an object. */
  #duplicates(
    names: readonly string[],
    chosen: ReadonlyMap<string, FileVersion>,
  ): Map<string, ManifestProblem[]> {
    const claims = new Map<string, ManifestObject[]>();
    for (const name of names) {
      for (const entry of chosen.get(name)?.objects ?? []) {
        const list = claims.get(entry.key);
        if (list === undefined) claims.set(entry.key, [entry]);
        else list.push(entry);
      }
    }
    const refused = new Map<string, ManifestProblem[]>();
    for (const [key, entries] of claims) {
      if (entries.length < 2) continue;
      const keeper = entries.find((entry) => entry.file === this.#owners.get(key)) ?? entries[0];
      for (const entry of entries) {
        if (entry === keeper || keeper === undefined) continue;
        const list = refused.get(entry.file) ?? [];
        list.push({
          file: entry.file,
          line: entry.line,
          object: key,
          reason: 'DuplicateObject',
          message: `the same object stands in ${keeper.file}:${keeper.line}`,
          remedy: `remove it from ${entry.file} or from ${keeper.file}`,
        });
        refused.set(entry.file, list);
      }
    }
    return refused;
  }
}

const NOTHING: FileVersion = { objects: [], problems: [] };

/** Problems found here name objects by key; people read `Kind namespace/name`. */
function withObjectText(problem: ManifestProblem): ManifestProblem {
  if (problem.reason !== 'DuplicateObject' || problem.object === undefined) return problem;
  const [kind, namespace, ...name] = problem.object.split('/');
  return { ...problem, object: `${kind} ${namespace === '' ? '' : `${namespace}/`}${name.join('/')}` };
}
