// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

let writes = 0;

/** Replaces a file by rename, so that a reader sees the old text or the new one, never a part. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  writes += 1;
  const temporary = join(dirname(path), `.${process.pid}-${writes}.tmp`);
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (failure) {
    await rm(temporary, { force: true });
    throw failure;
  }
}

/** The JSON in a file, or undefined when there is none or it cannot be read: then it is made again. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/** Folder of what the manifest source keeps for one node: generations, last good files, stamps. */
export function manifestStateDirectory(stateRoot: string, node: string): string {
  return join(stateRoot, node, 'manifests');
}

/** Folder of the statuses of a node's agent. */
export function statusDirectory(stateRoot: string, node: string): string {
  return join(stateRoot, node, 'status');
}

/** File of one status; the namespace is empty for kinds without one. Names of objects hold no underscore. */
export function statusPath(
  stateRoot: string,
  node: string,
  kind: string,
  namespace: string | undefined,
  name: string,
): string {
  return join(statusDirectory(stateRoot, node), kind, `${namespace ?? ''}_${name}.json`);
}
