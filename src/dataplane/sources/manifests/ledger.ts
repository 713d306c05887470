// SPDX-License-Identifier: Apache-2.0
import { contentHash } from '../../../api/hash.ts';
import { type KubeManifest, keyOfObject, manifestUid } from './manifest-object.ts';

/** What an API server would keep of each object beside the object itself. */
export interface LedgerEntry {
  /** Hash of the spec. */
  readonly hash: string;
  /** How often the spec has changed, from 1. */
  readonly generation: number;
  /** RFC 3339, seconds. */
  readonly created: string;
}

export type LedgerData = Readonly<Record<string, LedgerEntry>>;

export interface ServerMeta {
  readonly uid: string;
  readonly generation: number;
  readonly creationTimestamp: string;
}

/** Counts generations of the objects of a directory; its data is kept in the state directory. */
export class Ledger {
  readonly #entries: Map<string, LedgerEntry>;
  /** True when {@link data} differs from what it was made from. */
  changed = false;

  constructor(data: LedgerData = {}) {
    this.#entries = new Map(Object.entries(data));
  }

  data(): LedgerData {
    return Object.fromEntries(this.#entries);
  }

  /** Sees an object: a new one has generation 1, one whose spec differs from the last time the next generation. */
  see(object: KubeManifest, now: Date): ServerMeta {
    const key = keyOfObject(object);
    const hash = contentHash(contentOf(object));
    const last = this.#entries.get(key);
    let entry = last;
    if (entry === undefined) {
      entry = { hash, generation: 1, created: `${now.toISOString().slice(0, 19)}Z` };
    } else if (entry.hash !== hash) {
      entry = { ...entry, hash, generation: entry.generation + 1 };
    }
    if (entry !== last) {
      this.#entries.set(key, entry);
      this.changed = true;
    }
    const { kind, metadata } = object;
    const uid = manifestUid(kind, metadata.namespace, metadata.name);
    return { uid, generation: entry.generation, creationTimestamp: entry.created };
  }

  /** Forgets objects that are gone: when they come again, they are new ones. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#entries.keys()) {
      if (keys.has(key)) continue;
      this.#entries.delete(key);
      this.changed = true;
    }
  }
}

/** What the generation is about: the spec, or all fields of a kind that has none (EndpointSlice). */
function contentOf(object: KubeManifest): unknown {
  if (object.spec !== undefined) return object.spec;
  const { apiVersion: _a, kind: _k, metadata: _m, status: _s, ...content } = object;
  return content;
}
