// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Document, parseAllDocuments, stringify } from 'yaml';
import type { ManifestObject } from '../../dataplane/sources/manifests/manifest-object.ts';
import { writeAtomically } from '../../dataplane/sources/manifests/state-files.ts';
import { CliError, EXIT } from '../errors.ts';
import type { KindInfo } from '../kinds.ts';

const LOCK = '.cubeplane-apply.lock';
const LOCK_WAIT_MS = 5_000;
/** A lock this old belongs to a command that was killed. */
const LOCK_STALE_MS = 30_000;
/** Room for a suffix below the 255 bytes that file systems allow. */
const MAX_FILE_NAME = 200;

/** Runs `work` while no other `cubeplane apply` or `delete` changes the directory. */
export async function withLock<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const path = join(directory, LOCK);
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await (await open(path, 'wx')).close();
      break;
    } catch (failure) {
      if ((failure as NodeJS.ErrnoException).code !== 'EEXIST') throw failure;
    }
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? 0);
    if (age > LOCK_STALE_MS) await rm(path, { force: true });
    else if (Date.now() > deadline) {
      const remedy = `try again; if no other command runs, remove ${path}`;
      throw new CliError(EXIT.conflict, `another command is changing ${directory}`, remedy);
    } else await sleep(20);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Name of the file for a new object: `cube.default.web.yaml`. */
export function fileNameOf(info: KindInfo, namespace: string | undefined, name: string): string {
  const parts = [info.singular, ...(namespace === undefined ? [] : [namespace]), name];
  const text = parts.join('.');
  if (text.length <= MAX_FILE_NAME) return `${text}.yaml`;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 10);
  return `${text.slice(0, MAX_FILE_NAME)}-${hash}.yaml`;
}

export async function writeNew(directory: string, file: string, value: unknown): Promise<void> {
  await writeAtomically(join(directory, file), stringify(value));
}

/**
 * Puts `value` in the place of an object in its file, or removes the object (`undefined`). Other documents of the file keep
 * their comments; a file without any document left is removed.
 */
export async function rewrite(directory: string, entry: ManifestObject, value: unknown): Promise<void> {
  const path = join(directory, entry.file);
  const parsed = parseAllDocuments(await readFile(path, 'utf8'));
  const documents = (Array.isArray(parsed) ? parsed : []) as Document[];
  const document = documents[entry.document];
  if (document?.get('kind') === 'List') {
    const remedy = `edit ${entry.file}, or make its objects documents of their own`;
    throw new CliError(
      EXIT.refused,
      `${entry.key} is a member of a List in ${entry.file}:${entry.line}`,
      remedy,
    );
  }
  if (value === undefined) documents.splice(entry.document, 1);
  else documents[entry.document] = new Document(value);
  const kept = documents.filter((one) => one.contents !== null);
  if (kept.length === 0) {
    await rm(path);
    return;
  }
  const text =
    entry.file.endsWith('.json') && kept.length === 1
      ? `${JSON.stringify(kept[0]?.toJS(), null, 2)}\n`
      : kept.map((one) => one.toString({ directives: false }).replace(/^---\n/, '')).join('---\n');
  await writeAtomically(path, text);
}
