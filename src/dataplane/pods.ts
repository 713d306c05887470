// SPDX-License-Identifier: Apache-2.0
/** The plugged pods of a node: one file each, so that a crash costs at most the pod that was being plugged. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readRecord, writeRecord } from './files.ts';
import { pinNameOf } from './names.ts';
import type { PodRecord } from './pod-record.ts';

export class PodStore {
  readonly #folder: string;
  readonly #pods = new Map<string, PodRecord>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Reads all records. Unreadable ones are left out and told about. */
  load(onProblem: (message: string) => void): void {
    for (const name of this.#names()) {
      try {
        const record = readRecord(join(this.#folder, name)) as PodRecord | undefined;
        if (record !== undefined) this.#pods.set(`${record.namespace}/${record.name}`, record);
      } catch (error) {
        onProblem(error instanceof Error ? error.message : String(error));
      }
    }
  }

  get(key: string): PodRecord | undefined {
    return this.#pods.get(key);
  }

  values(): MapIterator<PodRecord> {
    return this.#pods.values();
  }

  get size(): number {
    return this.#pods.size;
  }

  put(record: PodRecord): void {
    writeRecord(this.#path(record), record);
    this.#pods.set(`${record.namespace}/${record.name}`, record);
  }

  /** Returns whether it was there. */
  remove(namespace: string, name: string): boolean {
    rmSync(this.#path({ namespace, name }), { force: true });
    return this.#pods.delete(`${namespace}/${name}`);
  }

  #path(pod: { namespace: string; name: string }): string {
    return join(this.#folder, `${pinNameOf(`${pod.namespace}/${pod.name}`)}.json`);
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => name.endsWith('.json'));
    } catch {
      return [];
    }
  }
}
