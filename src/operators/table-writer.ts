// SPDX-License-Identifier: Apache-2.0
import type { CubeTable } from '../api/generated/types.ts';
import { isOlder } from '../k8s/reflector.ts';
import { CUBE_TABLES, type KubeObject } from '../k8s/resource.ts';
import type { ControllerContext } from './context.ts';

/** A watch that does not show a write within this time is not waited for, ms. */
const PATIENCE_MS = 10_000;

/** A write that the cache may not show yet. */
interface Sent {
  /** Undefined for a removal. */
  version: string | undefined;
  atMs: number;
}

/** Makes the tables of an owner what they should be. */
export class TableWriter {
  readonly #context: ControllerContext;
  /** Owner → name of a table → what was last sent. */
  readonly #sent = new Map<string, Map<string, Sent>>();

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  /** Writes the tables, the last first, and then removes those of the owner that are not among them. */
  async write(owner: string, tables: readonly CubeTable[]): Promise<void> {
    const { world, client, applier, namespace, log } = this.#context;
    const observed = new Map(world.tables.by('owner', owner).map((table) => [table.name, table]));
    // Slice 0 holds a Service's frontends and comes last, so that backends are there before anything points at them.
    // Of addresses that move to another slice as their number grows, the new slice has them before the old one loses them.
    for (const table of [...tables].reverse()) {
      const digest = observed.get(table.metadata.name)?.digest;
      const result = await applier.apply(CUBE_TABLES, table as unknown as KubeObject, digest);
      if (result.action === 'Unchanged') continue;
      this.#note(owner, table.metadata.name, result.object.metadata.resourceVersion);
      log.debug({ table: table.metadata.name }, 'table written');
    }
    const wanted = new Set(tables.map((table) => table.metadata.name));
    for (const { name, uid } of observed.values()) {
      if (wanted.has(name)) continue;
      await client.delete(CUBE_TABLES, { namespace, name }, { uid });
      applier.forget(CUBE_TABLES, `${namespace}/${name}`);
      this.#note(owner, name, undefined);
      log.debug({ table: name }, 'table removed');
    }
  }

  /**
   * Whether the cache does not show yet what this writer sent. Its event comes: who decides by what the tables hold waits
   * for it.
   */
  isBehind(owner: string): boolean {
    const { world, namespace } = this.#context;
    const sent = this.#sent.get(owner);
    for (const [name, { version, atMs }] of sent ?? []) {
      const seen = world.tables.versionOf(`${namespace}/${name}`);
      const isShown =
        version === undefined ? seen === undefined : seen !== undefined && !isOlder(seen, version);
      if (isShown || performance.now() - atMs > PATIENCE_MS) sent?.delete(name);
    }
    if (sent?.size === 0) this.#sent.delete(owner);
    return this.#sent.has(owner);
  }

  /** Owners of which the cache may not show yet what was sent. */
  behind(): string[] {
    return [...this.#sent.keys()].filter((owner) => this.isBehind(owner));
  }

  #note(owner: string, table: string, version: string | undefined): void {
    const sent = this.#sent.get(owner) ?? new Map<string, Sent>();
    sent.set(table, { version, atMs: performance.now() });
    this.#sent.set(owner, sent);
  }
}
