// SPDX-License-Identifier: Apache-2.0
import { MapType } from './constants.ts';
import type { BpfMap } from './map.ts';
import { type NativeRingBuffer, native } from './native.ts';

export interface RingBufferOptions {
  /** Records delivered in one turn of the event loop. Default 256. */
  maxPerTurn?: number;
}

/** The reader of a BPF ring buffer. There must be one for a map at a time. It keeps the process alive until `close` or `unref`. */
export class RingBuffer {
  readonly #native: NativeRingBuffer;

  /** `listener` gets the records of one turn, oldest first; an exception in it is an uncaught one. */
  constructor(map: BpfMap, listener: (records: Buffer[]) => void, options: RingBufferOptions = {}) {
    if (!map.closed && map.type !== MapType.RingBuf) {
      throw new TypeError(`map ${map.name} is of type ${map.type}, not a ring buffer`);
    }
    const { maxPerTurn = 256 } = options;
    if (!Number.isInteger(maxPerTurn) || maxPerTurn < 1) {
      throw new TypeError(`maxPerTurn must be a positive integer, not ${maxPerTurn}`);
    }
    this.#native = new native.RingBuffer(map.handle, maxPerTurn, listener);
  }

  /** At most `maxPerTurn` of the records that wait now, without waiting for the event loop. */
  consume(): Buffer[] {
    return this.#native.consume();
  }

  /** Lets the process end although it is open. */
  unref(): void {
    this.#native.setReferenced(false);
  }

  ref(): void {
    this.#native.setReferenced(true);
  }

  /** Stops reading. The map stays open. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
