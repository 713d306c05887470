// SPDX-License-Identifier: Apache-2.0
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from './errors.ts';

/** Writes a file so that a crash at any instant leaves the old one or the new one: write beside it, fsync, rename. */
export function writeAtomically(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.tmp`;
  const file = openSync(beside, 'w', 0o600);
  try {
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
