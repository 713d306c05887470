// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers for what shares affinity and source ranges: one port of one service. Zero stands for all that need neither. Affinities
 * live in the kernel longer than this process, so a number stays with its name: over instances by this table, over a
 * restart by the number in the frontend's row.
 */
import { hashBytes } from '../packed-table.ts';

/** As many names with one hash, or with neighbouring ones, do not occur. */
const COLLISIONS = 16;

export class Groups {
  readonly #ids = new Map<string, { id: number; users: number }>();
  readonly #names = new Map<number, string>();
  readonly #previous: ReadonlyMap<string, number>;

  constructor(previous?: Groups) {
    this.#previous = new Map((previous ? [...previous.#ids] : []).map(([name, { id }]) => [name, id]));
  }

  /** One more user of a name. `hint`: the number that the kernel knows it by, or 0. */
  take(name: string, hint: number): number {
    const known = this.#ids.get(name);
    if (known) {
      known.users++;
      return known.id;
    }
    const bytes = Buffer.alloc(Math.ceil(Buffer.byteLength(name) / 4) * 4);
    bytes.write(name);
    let id = hashBytes(bytes, 0, bytes.length);
    const before = this.#previous.get(name) ?? hint;
    // a hint further from the hash than collisions take a number is that of another service that had the row
    if (before !== 0 && (before - id) >>> 0 < COLLISIONS && !this.#names.has(before)) id = before;
    while (id === 0 || this.#names.has(id)) id = (id + 1) >>> 0;
    this.#ids.set(name, { id, users: 1 });
    this.#names.set(id, name);
    return id;
  }

  /** One user fewer. Returns the number when it was the last. */
  drop(name: string): number | undefined {
    const known = this.#ids.get(name);
    if (!known || --known.users > 0) return undefined;
    this.#ids.delete(name);
    this.#names.delete(known.id);
    return known.id;
  }
}
