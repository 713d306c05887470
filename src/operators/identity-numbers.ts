// SPDX-License-Identifier: Apache-2.0
import { numberOf } from './identity.ts';

/**
 * Numbers of identities: each has its first choice, unless another one wants the same. Then the least key has it, and the
 * others take their next choices in the order of their keys, whichever nobody has. So the numbers follow from the set of
 * identities alone, and a restarted operator finds the same.
 */
export class IdentityNumbers {
  readonly #choice: (key: string, attempt: number) => number;
  /** First choice → keys. */
  readonly #wanted = new Map<number, Set<string>>();
  /** Those that did not get their first choice. */
  #others = new Map<string, number>();

  /** @param choice other than {@link numberOf} in tests, where numbers shall collide. */
  constructor(choice: (key: string, attempt: number) => number = numberOf) {
    this.#choice = choice;
  }

  /** Adds an identity. Returns the keys of others whose number changed. */
  add(key: string): string[] {
    const first = this.#choice(key, 0);
    const keys = this.#wanted.get(first);
    if (keys === undefined) this.#wanted.set(first, new Set([key]));
    else keys.add(key);
    return this.#settle(keys !== undefined);
  }

  /** Removes an identity. Returns the keys of others whose number changed. */
  delete(key: string): string[] {
    const first = this.#choice(key, 0);
    const keys = this.#wanted.get(first);
    if (keys?.delete(key) !== true) return [];
    if (keys.size === 0) this.#wanted.delete(first);
    return this.#settle(keys.size > 0);
  }

  of(key: string): number {
    return this.#others.get(key) ?? this.#choice(key, 0);
  }

  /** A collision is rare (1 % with 10,000 identities), so nearly always there is nothing to do. */
  #settle(collided: boolean): string[] {
    if (!collided && this.#others.size === 0) return [];
    const before = this.#others;
    const losers = [...this.#wanted.values()]
      .filter((keys) => keys.size > 1)
      .flatMap((keys) => [...keys].sort().slice(1));
    const taken = new Set(this.#wanted.keys());
    this.#others = new Map();
    for (const key of losers.sort()) {
      let attempt = 1;
      while (taken.has(this.#choice(key, attempt))) attempt++;
      taken.add(this.#choice(key, attempt));
      this.#others.set(key, this.#choice(key, attempt));
    }
    const moved = new Set([...before.keys(), ...this.#others.keys()]);
    return [...moved].filter((key) => before.get(key) !== this.#others.get(key));
  }
}
