// SPDX-License-Identifier: Apache-2.0
import type { PrefixFile } from '../../../api/generated/types.ts';
import { eachPrefix, PREFIX_SIZE, putPrefix } from '../../../cubes/codec/prefix.ts';
import { type KubeManifest, keyOfObject, type ManifestObject, objectText } from './manifest-object.ts';
import type { ManifestProblem } from './problem.ts';

/** Of one file; the first ones say enough. */
const MAX_PROBLEMS = 20;

/** True for lists of prefixes, which stand beside the manifests and are followed like them. */
export function isPrefixFileName(name: string): boolean {
  return name.endsWith('.prefixes') && !name.startsWith('.');
}

/** Every line that is no prefix; at most 20. */
export function checkPrefixFile(file: string, text: string): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const key = new Uint8Array(PREFIX_SIZE);
  eachPrefix(text, (prefix, line) => {
    if (problems.length >= MAX_PROBLEMS) return;
    const wrong = putPrefix(prefix, key);
    if (wrong === undefined) return;
    const colon = wrong.lastIndexOf(': ');
    problems.push({
      file,
      line,
      reason: 'InvalidPrefix',
      message: wrong.slice(0, colon),
      remedy: wrong.slice(colon + 2),
    });
  });
  return problems;
}

interface FileState {
  /** The last version without a problem; undefined: there was none. */
  good: string | undefined;
  problems: readonly ManifestProblem[];
}

interface Filled {
  readonly table: KubeManifest;
  readonly text: string | undefined;
  readonly result: KubeManifest;
}

/** The prefix files of a directory, and the tables that name them. A broken file keeps its last good version in force. */
export class PrefixFiles {
  readonly #files = new Map<string, FileState>();
  readonly #filled = new Map<string, Filled>();
  readonly #originals = new WeakMap<KubeManifest, KubeManifest>();

  /** A file is there, or has changed. `remembered`: what was good of it in the agent's life before. */
  set(file: string, text: string, remembered?: string): void {
    const problems = checkPrefixFile(file, text);
    const good = problems.length === 0 ? text : (this.#files.get(file)?.good ?? remembered);
    this.#files.set(file, { good, problems });
  }

  delete(file: string): void {
    this.#files.delete(file);
  }

  /** Whether the newest version of a file is the one in force. */
  isGood(file: string): boolean {
    return this.#files.get(file)?.problems.length === 0;
  }

  /** Broken files, and tables whose file is not there. `tables`: all that are in force, as they were read. */
  problems(tables: Iterable<ManifestObject>): ManifestProblem[] {
    const found = [...this.#files.values()].flatMap(({ problems }) => problems);
    for (const { object, file, line } of tables) {
      const name = fileOf(object)?.name;
      if (name === undefined || this.#files.has(name)) continue;
      found.push({
        file,
        line,
        object: objectText('CubeTable', object.metadata.namespace, object.metadata.name),
        field: 'spec.prefixFile.name',
        reason: 'FileNotFound',
        message: `there is no file ${name} beside the manifests`,
        remedy: 'put it there, or correct the name',
      });
    }
    return found;
  }

  /** The table with the text of its file as one more row; the same object again for the same table and text. */
  fill(table: KubeManifest): KubeManifest {
    const file = fileOf(table);
    if (file === undefined) return table;
    const key = keyOfObject(table);
    const text = this.#files.get(file.name)?.good;
    const last = this.#filled.get(key);
    if (last?.table === table && last.text === text) return last.result;
    const { prefixFile, prefixes = [], ...spec } = table.spec as Record<string, unknown>;
    const rows = text === undefined ? [] : [{ file: file.name, list: file.list, text }];
    const result = { ...table, spec: { ...spec, prefixes: [...(prefixes as unknown[]), ...rows] } };
    this.#filled.set(key, { table, text, result });
    this.#originals.set(result, table);
    return result;
  }

  /** What `fill` was given: its spec is what generations count changes of. */
  original(table: KubeManifest): KubeManifest {
    return this.#originals.get(table) ?? table;
  }

  /** Forgets tables that are gone. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#filled.keys()) if (!keys.has(key)) this.#filled.delete(key);
  }
}

function fileOf(object: KubeManifest): PrefixFile | undefined {
  if (object.kind !== 'CubeTable') return undefined;
  return (object.spec as { prefixFile?: PrefixFile }).prefixFile;
}
