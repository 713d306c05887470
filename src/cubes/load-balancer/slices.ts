// SPDX-License-Identifier: Apache-2.0

/**
 * Joins the slices of an owner: a Service with more backends than one CubeTable holds comes in several, which count only
 * together. A revision is used when all its slices are there, until then the one before; an owner is gone when its
 * last table is.
 */
import type { Service } from '../../api/generated/types.ts';
import type { TableSlice } from '../cube-type.ts';

interface Part {
  readonly slice: TableSlice;
  /**
   * Kept only where there are several slices, which are needed again when another one changes; of the others the image holds
   * what they mean.
   */
  rows: readonly Service[] | undefined;
}

interface Owner {
  readonly parts: Map<string, Part>;
  /** Names of the services in use. */
  names: readonly string[];
}

export interface Joined {
  /** Services to set, whole. */
  readonly set: readonly Service[];
  /** Names of services that are gone. */
  readonly removed: readonly string[];
  readonly owner: string;
}

function nameOf(service: Service): string {
  return `${service.namespace}/${service.name}`;
}

function merge(parts: readonly Part[]): Service[] {
  const services = new Map<string, Service>();
  for (const part of parts) {
    for (const row of part.rows ?? []) {
      const before = services.get(nameOf(row));
      services.set(
        nameOf(row),
        before
          ? {
              ...before,
              frontends: [...before.frontends, ...row.frontends],
              backends: [...before.backends, ...row.backends],
            }
          : row,
      );
    }
  }
  return [...services.values()];
}

export class Slices {
  readonly #owners = new Map<string, Owner>();
  readonly #ownerOf = new Map<string, string>();

  /** Sets or removes a table; says which services change by it, if any. */
  set(key: string, rows: readonly Service[] | undefined, slice?: TableSlice): Joined[] {
    const changes: Joined[] = [];
    const name = slice ? `${key.slice(0, key.indexOf('/'))}/${slice.owner}` : key;
    const before = this.#ownerOf.get(key);
    if (before !== undefined && (rows === undefined || before !== name))
      changes.push(...this.#leave(key, before));
    if (rows === undefined) return changes;

    let owner = this.#owners.get(name);
    if (!owner) {
      owner = { parts: new Map(), names: [] };
      this.#owners.set(name, owner);
    }
    this.#ownerOf.set(key, name);
    const part: Part = { slice: slice ?? { owner: key, index: 0, count: 1, revision: '' }, rows };
    owner.parts.set(key, part);
    const { count, revision } = part.slice;
    if (count === 1) {
      part.rows = undefined;
      const names = rows.map(nameOf);
      const removed = owner.names.filter((old) => !names.includes(old));
      owner.names = names;
      changes.push({ owner: name, set: rows, removed });
      return changes;
    }
    const together = [...owner.parts.values()]
      .filter((one) => one.slice.revision === revision && one.slice.count === count)
      .sort((a, b) => a.slice.index - b.slice.index);
    const complete =
      together.length === count && together.every((one, index) => one.slice.index === index && one.rows);
    if (!complete) return changes;
    const services = merge(together);
    const names = services.map(nameOf);
    changes.push({ owner: name, set: services, removed: owner.names.filter((old) => !names.includes(old)) });
    owner.names = names;
    return changes;
  }

  #leave(key: string, name: string): Joined[] {
    const owner = this.#owners.get(name);
    this.#ownerOf.delete(key);
    if (!owner) return [];
    owner.parts.delete(key);
    if (owner.parts.size > 0) return [];
    this.#owners.delete(name);
    return [{ owner: name, set: [], removed: owner.names }];
  }
}
