// SPDX-License-Identifier: Apache-2.0

/** The clients that each group of frontends lets in, as rows of the LPM trie `source_ranges`. */
import type { MapWrite } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { sourceRanges as codec } from './generated/codec.ts';

const ONE = Uint8Array.of(1, 0, 0, 0);

function encode(group: number, cidr: string): Uint8Array {
  const [address = '', bits = ''] = cidr.split('/');
  const family = address.includes(':') ? 6 : 4;
  const length = Number(bits) + (family === 4 ? 96 : 0);
  const key = new Uint8Array(codec.keySize);
  codec.encodeKey({ length: 96 + length, group, family, addr: address }, key);
  // host bits are zero, or the same prefix would have two rows
  for (let bit = length; bit < 128; bit++) {
    const at = codec.keySize - 16 + (bit >> 3);
    key[at] = (key[at] as number) & ~(128 >> (bit & 7));
  }
  return key;
}

export class SourceRanges {
  readonly table: PackedTable;
  readonly #keys = new Map<number, Uint8Array[]>();

  constructor(max: number) {
    this.table = new PackedTable('source_ranges', codec.keySize, codec.valueSize, max);
  }

  /** Sets all ranges of a group. False when they do not fit: then they are as before. */
  set(group: number, cidrs: readonly string[]): boolean {
    const before = this.#keys.get(group) ?? [];
    const keys = cidrs.map((cidr) => encode(group, cidr));
    if (this.table.size + keys.length > this.table.max) return false;
    for (const key of keys) this.table.set(key, ONE);
    const wanted = new Set(keys.map((key) => key.join()));
    for (const key of before) if (!wanted.has(key.join())) this.table.delete(key);
    if (keys.length > 0) this.#keys.set(group, keys);
    else this.#keys.delete(group);
    return true;
  }

  take(): { updates: MapWrite[]; deletes: MapWrite[] } {
    return this.table.take();
  }
}
