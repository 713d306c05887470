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

  /** The one word of 64 bits that is not zero, where there are not more. */
  single(number: number): { index: number; word: bigint } | undefined {
    const at = (number - this.base) * (SUMMARY + WORDS) + SUMMARY;
    let single: { index: number; word: bigint } | undefined = { index: 0, word: 0n };
    for (let i = 0; i < WORDS / 2; i++) {
      const [low, high] = [this.#words[at + 2 * i] as number, this.#words[at + 2 * i + 1] as number];
      if ((low | high) === 0) continue;
      if (single === undefined || single.word !== 0n) return undefined;
      single = { index: i, word: (BigInt(high) << 32n) | BigInt(low) };
    }
    return single;
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
