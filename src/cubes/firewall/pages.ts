// SPDX-License-Identifier: Apache-2.0
export const PAGE = 256;
/** sizeof(struct page). */
export const PAGE_SIZE = PAGE * 2;

/** The second pages of one bank, each distinct one once, numbered from `base`. */
export class Pages {
  readonly base: number;
  readonly #known = new Map<string, number>();
  readonly #leaves: Uint16Array[] = [];

  constructor(base: number) {
    this.base = base;
  }

  get count(): number {
    return this.#leaves.length;
  }

  /** Rows one after the other. */
  get rows(): Uint8Array {
    const rows = new Uint8Array(this.count * PAGE_SIZE);
    this.#leaves.forEach((leaf, i) => {
      rows.set(bytesOf(leaf), i * PAGE_SIZE);
    });
    return rows;
  }

  /** The first page of a table of 16 bits, from the bitmap of each value; what lies behind `bitmaps` is never asked for. */
  tree(bitmaps: Uint16Array): Uint8Array {
    const first = new Uint16Array(PAGE);
    for (let i = 0; i * PAGE < bitmaps.length; i++)
      first[i] = this.#intern(bitmaps.subarray(i * PAGE, (i + 1) * PAGE));
    return bytesOf(first);
  }

  #intern(leaf: Uint16Array): number {
    const key = Buffer.from(bytesOf(leaf)).toString('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#leaves.push(leaf.slice());
    this.#known.set(key, this.base + this.#leaves.length - 1);
    return this.base + this.#leaves.length - 1;
  }
}

function bytesOf(page: Uint16Array): Uint8Array {
  return new Uint8Array(page.buffer, page.byteOffset, page.byteLength);
}
