// SPDX-License-Identifier: Apache-2.0

/** Orders calls: those of one key one after the other, others beside each other, and some alone. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();
  #barrier: Promise<unknown> = Promise.resolve();

  /** Runs behind everything of this key that came before, and behind what has to be alone. */
  async ofKey<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#last.get(key), this.#barrier]);
    const result = before.then(work);
    const settled = result.catch(() => {});
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return await result;
  }

  /** Runs while nothing else does: a GC must not meet an ADD. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = Promise.all([...this.#last.values(), this.#barrier]);
    const result = before.then(work);
    this.#barrier = result.catch(() => {});
    return await result;
  }

  /** Settles when nothing that has come so far runs any more. */
  async idle(): Promise<void> {
    await Promise.all([...this.#last.values(), this.#barrier]);
  }
}
