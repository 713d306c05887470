// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from './errors.ts';

/** For this user alone. */
const PRIVATE = { file: 0o600, folder: 0o700 } as const;

/** Bytes that one write() puts into a file whole, whenever its process is killed: a page. */
const AT_ONCE = 4096;

/**
 * Writes a file about something that lives in the kernel's memory, as a pod's devices: a crash of the agent leaves the
 * old one or the new one, one of the machine may leave it empty, when what it tells of is gone as well. No fsync: two of
 * them take longer than all else that a pod needs. Nor a rename, which takes as long as the writing, where there is no old one: killed in
 * between it leaves an empty file, which is none.
 */
export function writeRecord(path: string, value: unknown): void {
  const text = `${JSON.stringify(value, null, 1)}\n`;
  if (Buffer.byteLength(text) <= AT_ONCE && writeNew(path, text)) return;
  mkdirSync(dirname(path), { recursive: true, mode: PRIVATE.folder });
  const beside = `${path}.tmp`;
  writeFileSync(beside, text, { mode: PRIVATE.file });
  renameSync(beside, path);
}

/** Returns false where there is a file, or no folder for it. On failure there is none. */
function writeNew(path: string, text: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', PRIVATE.file);
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
  try {
    writeFileSync(file, text);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  return true;
}

/** What {@link writeRecord} wrote; undefined for none, and for an empty file, which is removed. Throws AgentError StateUnreadable. */
export function readRecord(path: string): unknown {
  if (statSync(path, { throwIfNoEntry: false })?.size === 0) rmSync(path);
  return readJson(path);
}

/**
 * Writes a file so that a crash at any instant leaves the old one or the new one: write beside it, fsync, rename.
 *
 * @param modes of the file, whatever the umask, and of folders that have to be made.
 */
export function writeAtomically(
  path: string,
  content: string | Uint8Array,
  modes: { readonly file: number; readonly folder: number } = PRIVATE,
): void {
  mkdirSync(dirname(path), { recursive: true, mode: modes.folder });
  const beside = `${path}.tmp`;
  const file = openSync(beside, 'w', modes.file);
  try {
    fchmodSync(file, modes.file);
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** The JSON in a file; undefined when there is none. Throws AgentError StateUnreadable. */
export function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AgentError('StateUnreadable', `${path} cannot be read`, 'check its permissions', error);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AgentError(
      'StateUnreadable',
      `${path} holds no JSON`,
      'remove the file; what it held is made anew',
      error,
    );
  }
}
