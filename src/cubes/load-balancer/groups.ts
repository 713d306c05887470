// SPDX-License-Identifier: Apache-2.0

/**
 * Numbers for what shares affinity and source ranges: one port of one service. Zero stands for all that need neither. Affinities
 * live in the kernel longer than this process, so a number stays with its name: over instances by this table, over a
 * restart by the number in the frontend's row.
 */
import { hashBytes } from '../packed-table.ts';

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
    let id = this.#previous.get(name) ?? hint;
    if (id === 0 || this.#names.has(id)) {
      const bytes = Buffer.from(name.padEnd(Math.ceil(name.length / 4) * 4));
      id = hashBytes(bytes, 0, bytes.length & ~3);
      while (id === 0 || this.#names.has(id)) id = (id + 1) >>> 0;
    }
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
