// SPDX-License-Identifier: Apache-2.0
import { decodePunt, type Punt } from '../punt-record.ts';
import { BpfMap, RingBuffer } from './addon/index.ts';

/** The node's one reader of the ring buffer `punts`. Does not keep the process alive. */
export class PuntRing {
  readonly #map: BpfMap;
  readonly #ring: RingBuffer;

  /** Throws KernelError when nothing is pinned at `path`. */
  constructor(path: string, listener: (punts: Punt[]) => void) {
    this.#map = BpfMap.openPinned(path);
    this.#ring = new RingBuffer(this.#map, (records) => listener(records.map(decodePunt)));
    this.#ring.unref();
  }

  close(): void {
    this.#ring.close();
    this.#map.close();
  }
}
