// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { type CubeNodeObject, type CubeObject, keyOf, type LinkObject, type NodeObject } from './objects.ts';
import type { SourceHandler, SourceKind, SourceObject } from './sources/source.ts';
import { type PackedTable, pack, TableStore } from './tables.ts';

/**
 * The objects of this node, by kind. Taking one in is cheap and touches nothing else: it stores, marks what has to be
 * looked at again, and wakes the agent.
 */
export class Store implements SourceHandler {
  readonly cubes = new Map<string, CubeObject>();
  readonly links = new Map<string, LinkObject>();
  readonly tables = new TableStore();
  /** Last statuses that the source showed, by `KIND namespace/name`: what an agent before this one wrote. */
  readonly statuses = new Map<string, unknown>();
  cubeNode: CubeNodeObject | undefined;
  node: NodeObject | undefined;
  /** Whether all objects have been seen, as of the beginning of the round: a round that does not yet know ends as one. */
  isSynced = false;
  /**
   * Whether a node that has started anew runs on what was saved before: from then on tables of the source wait until all
   * of them have been seen.
   */
  isRestored = false;
  /** While restored: key → what the source says of it. */
  readonly #staged = new Map<string, PackedTable | undefined>();
  #isNodeSaved = false;
  readonly #name: string;
  readonly #wake: () => void;
  #graphChanged = false;
  #sawAll = false;

  constructor(nodeName: string, wake: () => void) {
    this.#name = nodeName;
    this.#wake = wake;
  }

  /** Whether it is known what should be in the kernel: from the source, or from what was saved. */
  get isKnown(): boolean {
    return this.isSynced || this.isRestored;
  }

  /** Begins a round: says whether anything but tables changed since the last one. */
  beginRound(): boolean {
    if (this.#sawAll && this.isRestored) this.#replaceSaved();
    if (this.#sawAll && this.#isNodeSaved) {
      this.#isNodeSaved = false;
      this.#single('node', undefined);
    }
    this.isSynced = this.#sawAll;
    const changed = this.#graphChanged;
    this.#graphChanged = false;
    return changed;
  }

  set(object: SourceObject): void {
    const { kind, metadata } = object;
    const key = keyOf(metadata);
    if (kind === 'CubeTable') {
      if (this.isRestored) this.#staged.set(key, pack(object));
      else if (this.tables.set(pack(object))) this.#wake();
      return;
    }
    if ((kind === 'CubeNode' || kind === 'Node') && metadata.name !== this.#name) return;
    if (
      object.status !== undefined &&
      !isDeepStrictEqual(this.statuses.get(`${kind} ${key}`), object.status)
    ) {
      this.statuses.set(`${kind} ${key}`, object.status);
      this.#wake();
    }
    const kept = { metadata, spec: object.spec };
    if (kind === 'Cube') this.#put(this.cubes, key, kept as CubeObject);
    else if (kind === 'CubeLink') this.#put(this.links, key, kept as LinkObject);
    else if (kind === 'CubeNode') this.#single('cubeNode', kept as CubeNodeObject);
    else {
      this.#isNodeSaved = false;
      this.#single('node', { ...kept, status: object.status } as NodeObject);
    }
  }

  /** The Node as it was when the last agent ended, until the source has shown it. */
  restoreNode(node: NodeObject | undefined): void {
    if (node === undefined || this.node !== undefined) return;
    this.#isNodeSaved = true;
    this.node = node;
  }

  /** Puts saved tables in the place of what the source has not said yet. Only before it has shown all. */
  restore(saved: Iterable<PackedTable>): void {
    for (const table of this.tables.drain()) this.#staged.set(table.key, table);
    this.isRestored = true;
    for (const table of saved) this.tables.set(table);
  }

  /** All that the source has said comes at once, and what it has not named goes. */
  #replaceSaved(): void {
    this.isRestored = false;
    for (const table of this.#staged.values()) if (table !== undefined) this.tables.set(table);
    for (const key of this.tables.keys()) if (this.#staged.get(key) === undefined) this.tables.delete(key);
    this.#staged.clear();
  }

  delete(kind: SourceKind, namespace: string | undefined, name: string): void {
    const key = keyOf({ namespace, name });
    this.statuses.delete(`${kind} ${key}`);
    if (kind === 'CubeTable') {
      if (this.isRestored) this.#staged.set(key, undefined);
      else if (this.tables.delete(key)) this.#wake();
    } else if (kind === 'Cube') {
      if (this.cubes.delete(key)) this.#changed();
    } else if (kind === 'CubeLink') {
      if (this.links.delete(key)) this.#changed();
    } else if (name === this.#name) {
      this.#single(kind === 'CubeNode' ? 'cubeNode' : 'node', undefined);
    }
  }

  synced(): void {
    this.#sawAll = true;
    this.#changed();
  }

  #put<T extends CubeObject | LinkObject>(map: Map<string, T>, key: string, object: T): void {
    const old = map.get(key);
    if (old !== undefined && sameObject(old, object)) return;
    map.set(key, object);
    this.#changed();
  }

  #single<K extends 'cubeNode' | 'node'>(field: K, object: Store[K]): void {
    const old = this[field];
    if (old === object || (old && object && sameObject(old, object))) return;
    (this as Store)[field] = object;
    this.#changed();
  }

  #changed(): void {
    this.#graphChanged = true;
    this.#wake();
  }
}

/** True where only the status or bookkeeping differs. */
function sameObject(a: CubeObject | NodeObject | CubeNodeObject | LinkObject, b: typeof a): boolean {
  return (
    a.metadata.uid === b.metadata.uid &&
    a.metadata.generation === b.metadata.generation &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp &&
    isDeepStrictEqual(a.metadata.labels, b.metadata.labels) &&
    isDeepStrictEqual(a.metadata.annotations, b.metadata.annotations) &&
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual((a as NodeObject).status?.addresses, (b as NodeObject).status?.addresses)
  );
}
