// SPDX-License-Identifier: Apache-2.0
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { API_VERSION } from '../../../api/group.ts';
import { objectKey } from './manifest-object.ts';
import { readJson, statusDirectory, statusPath, writeAtomically } from './state-files.ts';

/** What a status file holds: enough of the object to know whose status it is, and the status. */
export interface StatusFile {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly namespace?: string; readonly name: string; readonly uid: string };
  readonly status: Readonly<Record<string, unknown>>;
}

/** Whose status it is. */
export interface StatusOwner {
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly uid: string;
}

/** All statuses that the agent of a node has written, by key of the object. */
export async function readStatuses(stateRoot: string, node: string): Promise<Map<string, StatusFile>> {
  const directory = statusDirectory(stateRoot, node);
  const statuses = new Map<string, StatusFile>();
  const kinds = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const kind of kinds) {
    if (!kind.isDirectory()) continue;
    for (const name of await readdir(join(directory, kind.name)).catch(() => [] as string[])) {
      if (!name.endsWith('.json') || name.startsWith('.')) continue;
      const file = await readJson<StatusFile>(join(directory, kind.name, name));
      if (file?.metadata?.name === undefined) continue;
      statuses.set(objectKey(file.kind, file.metadata.namespace, file.metadata.name), file);
    }
  }
  return statuses;
}

/** The statuses of one node's objects: in memory to compare with, in files for everybody else. Writes come in order. */
export class StatusFiles {
  readonly #stateRoot: string;
  readonly #node: string;
  #statuses = new Map<string, StatusFile>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(stateRoot: string, node: string) {
    this.#stateRoot = stateRoot;
    this.#node = node;
  }

  async load(): Promise<void> {
    this.#statuses = await readStatuses(this.#stateRoot, this.#node);
  }

  /** The last status of this very object; undefined when it has none. */
  get(owner: StatusOwner): Readonly<Record<string, unknown>> | undefined {
    const file = this.#statuses.get(objectKey(owner.kind, owner.namespace, owner.name));
    return file?.metadata.uid === owner.uid ? file.status : undefined;
  }

  /** Replaces a status; the same one again writes nothing. Rejects with the file system's error. */
  async set(owner: StatusOwner, status: Readonly<Record<string, unknown>>): Promise<void> {
    if (isDeepStrictEqual(this.get(owner), status)) return;
    const { kind, namespace, name, uid } = owner;
    const metadata = { ...(namespace === undefined ? {} : { namespace }), name, uid };
    const file: StatusFile = { apiVersion: API_VERSION, kind, metadata, status };
    const path = statusPath(this.#stateRoot, this.#node, kind, namespace, name);
    await this.#inOrder(() => writeAtomically(path, `${JSON.stringify(file, null, 2)}\n`));
    this.#statuses.set(objectKey(kind, namespace, name), file);
  }

  /** Removes the statuses of all objects that are not among the keys. */
  async keepOnly(keys: ReadonlySet<string>): Promise<void> {
    for (const [key, { kind, metadata }] of [...this.#statuses]) {
      if (keys.has(key)) continue;
      this.#statuses.delete(key);
      const path = statusPath(this.#stateRoot, this.#node, kind, metadata.namespace, metadata.name);
      await this.#inOrder(() => rm(path, { force: true }));
    }
  }

  async #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return await turn;
  }
}
