// SPDX-License-Identifier: Apache-2.0

const FIRST_BYTES = 1 << 20;

/**
 * The items of one page of a list, as bytes in one buffer that is used again: as buffers of their own they would leave
 * the young generation, and stay until the next full collection.
 */
export class Page {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #used = 0;
  readonly #ends: number[] = [];

  /** Copies an item. */
  add(item: Buffer): void {
    const end = this.#used + item.length;
    if (end > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(end, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    item.copy(this.#bytes, this.#used);
    this.#used = end;
    this.#ends.push(end);
  }

  get length(): number {
    return this.#ends.length;
  }

  /** Item `index`, valid until `clear`. */
  item(index: number): Buffer {
    return this.#bytes.subarray(this.#ends[index - 1] ?? 0, this.#ends[index]);
  }

  clear(): void {
    this.#used = 0;
    this.#ends.length = 0;
  }
}
