// SPDX-License-Identifier: Apache-2.0
import type { MapWrite } from './cube-type.ts';

/** What one array map should hold, against what the kernel has. Rows that nobody sets are zeros, as in a new map. */
export class ArrayRows {
  readonly #map: string;
  readonly #valueSize: number;
  readonly #wanted: Uint8Array;
  readonly #kernel: Uint8Array;

  constructor(map: string, entries: number, valueSize: number) {
    this.#map = map;
    this.#valueSize = valueSize;
    this.#wanted = new Uint8Array(entries * valueSize);
    this.#kernel = new Uint8Array(entries * valueSize);
  }

  adopt(count: number, keys: Uint8Array, values: Uint8Array): void {
    const view = new DataView(keys.buffer, keys.byteOffset);
    const size = this.#valueSize;
    for (let i = 0; i < count; i++) {
      this.#kernel.set(values.subarray(i * size, (i + 1) * size), view.getUint32(i * 4, true) * size);
    }
  }

  set(index: number, value: Uint8Array): void {
    this.#wanted.set(value, index * this.#valueSize);
  }

  take(): MapWrite[] {
    const size = this.#valueSize;
    const changed: number[] = [];
    for (let i = 0; i * size < this.#wanted.length; i++) {
      const end = (i + 1) * size;
      if (Buffer.compare(this.#wanted.subarray(i * size, end), this.#kernel.subarray(i * size, end)) !== 0)
        changed.push(i);
    }
    if (changed.length === 0) return [];
    const keys = new Uint8Array(changed.length * 4);
    const values = new Uint8Array(changed.length * size);
    const view = new DataView(keys.buffer);
    changed.forEach((index, i) => {
      view.setUint32(i * 4, index, true);
      values.set(this.#wanted.subarray(index * size, (index + 1) * size), i * size);
    });
    this.#kernel.set(this.#wanted);
    return [{ map: this.#map, op: 'update', count: changed.length, keys, values }];
  }
}
