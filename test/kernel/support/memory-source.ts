// SPDX-License-Identifier: Apache-2.0
import type {
  Source,
  SourceHandler,
  SourceObject,
  StatusTarget,
} from '../../../src/dataplane/sources/source.ts';

/** A source given in code: what a test sets is what there is. Statuses are kept for the test to read. */
export class MemorySource implements Source {
  readonly name = 'objects of a test';
  readonly statuses = new Map<string, Record<string, unknown>>();
  writes = 0;
  #handler: SourceHandler | undefined;
  #synced = false;

  async start(handler: SourceHandler): Promise<void> {
    this.#handler = handler;
  }

  async stop(): Promise<void> {
    this.#handler = undefined;
  }

  set(object: SourceObject): void {
    this.#handler?.set(object);
  }

  delete(kind: SourceObject['kind'], namespace: string | undefined, name: string): void {
    this.#handler?.delete(kind, namespace, name);
  }

  synced(): void {
    this.#synced = true;
    this.#handler?.synced();
  }

  async writeStatus(target: StatusTarget, status: Readonly<Record<string, unknown>>): Promise<boolean> {
    this.writes++;
    const key = target.namespace === undefined ? target.name : `${target.namespace}/${target.name}`;
    this.statuses.set(`${target.kind} ${key}`, { ...status });
    return true;
  }

  health() {
    return { synced: this.#synced };
  }
}
