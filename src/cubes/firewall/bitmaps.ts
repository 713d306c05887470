// SPDX-License-Identifier: Apache-2.0
import { hashBytes, RowIndex } from '../packed-table.ts';

/** 32-bit words of a bitmap: RULE_WORDS of bpf/firewall/firewall.h. */
export const WORDS = 160;
const SUMMARY = 4;
/** sizeof(struct bitmap). */
export const BITMAP_SIZE = (SUMMARY + WORDS) * 4;

export function setBit(words: Uint32Array, rule: number): void {
  words[rule >> 5] = (words[rule >> 5] as number) | (1 << (rule & 31));
}

export function clearBit(words: Uint32Array, rule: number): void {
  words[rule >> 5] = (words[rule >> 5] as number) & ~(1 << (rule & 31));
}

export function orInto(words: Uint32Array, others: Uint32Array): void {
  for (let i = 0; i < WORDS; i++) words[i] = (words[i] as number) | (others[i] as number);
}

/** Bitmaps of rules as the kernel has them, each distinct one once, numbered from `base`. Little-endian, as the machine. */
export class Bitmaps {
  readonly base: number;
  #words = new Uint32Array(64 * (SUMMARY + WORDS));
  #count = 0;
  readonly #index = new RowIndex((row) => hashBytes(this.#bytes(), row * BITMAP_SIZE, BITMAP_SIZE));

  constructor(base: number) {
    this.base = base;
  }

  get count(): number {
    return this.#count;
  }

  #bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer);
  }

  /** Rows one after the other. */
  get rows(): Uint8Array {
    return this.#bytes().subarray(0, this.#count * BITMAP_SIZE);
  }

  /** Number of the bitmap with these bits. */
  intern(bits: Uint32Array): number {
    const stride = SUMMARY + WORDS;
    const at = this.#count * stride;
    if (at + stride > this.#words.length) {
      const grown = new Uint32Array(this.#words.length * 2);
      grown.set(this.#words);
      this.#words = grown;
    }
    const words = this.#words;
    words.fill(0, at, at + SUMMARY);
    words.set(bits, at + SUMMARY);
    for (let i = 0; i < WORDS; i++) {
      if (bits[i] === 0) continue;
      const word = i >> 1; // of 64 bits
      words[at + (word >> 5)] = (words[at + (word >> 5)] as number) | (1 << (word & 31));
    }
    const hash = hashBytes(this.#bytes(), at * 4, BITMAP_SIZE);
    const found = this.#index.find(hash, (row) => {
      for (let i = 0; i < stride; i++) if (words[row * stride + i] !== words[at + i]) return false;
      return true;
    });
    if (found >= 0) return this.base + found;
    this.#index.add(hash, this.#count);
    return this.base + this.#count++;
  }
}
