// SPDX-License-Identifier: Apache-2.0
import { type FlowEvent, flowConfig, flowEvent } from '../generated/tcx.ts';
import { BpfMap, RingBuffer } from './addon/index.ts';
import { sumsOf } from './map-reader.ts';
import type { Pins } from './pins.ts';

/** The node's one reader of the ring buffer `flow_events`. Does not keep the process alive. */
export class FlowRing {
  readonly #pins: Pins;
  readonly #map: BpfMap;
  readonly #ring: RingBuffer;
  #suppressed: number;

  /** Throws KernelError when the shared maps are not pinned. */
  constructor(pins: Pins, listener: (events: FlowEvent[]) => void) {
    this.#pins = pins;
    this.#map = BpfMap.openPinned(pins.sharedMap('flow_events'));
    this.#suppressed = this.#countSuppressed();
    this.#ring = new RingBuffer(this.#map, (records) =>
      // An older program, before it is replaced, may write records of another size.
      listener(records.filter(({ length }) => length === flowEvent.size).map((one) => flowEvent.decode(one))),
    );
    this.#ring.unref();
  }

  close(): void {
    this.#ring.close();
    this.#map.close();
  }

  /** Events since the last call, or since it was opened, that were over the rate. Throws KernelError. */
  takeSuppressed(): number {
    const before = this.#suppressed;
    this.#suppressed = this.#countSuppressed();
    return Math.max(0, this.#suppressed - before);
  }

  #countSuppressed(): number {
    const [[, suppressed = 0] = []] = sumsOf(this.#pins.sharedMap('flow_limits'));
    return suppressed;
  }
}

/**
 * What programs tell from now on. `verdicts`: a bit each, as FLOW_* of bpf/include/flow.h; 0: nothing. `rate`: events a second of
 * one CPU. Throws KernelError.
 */
export function askForFlows(pins: Pins, verdicts: number, rate: number): void {
  const map = BpfMap.openPinned(pins.sharedMap('flow_config'));
  try {
    const key = Buffer.alloc(flowConfig.keySize);
    const value = Buffer.alloc(flowConfig.valueSize);
    const interval = BigInt(Math.floor(1e9 / rate));
    flowConfig.encodeValue({ interval, tolerance: interval * BigInt(rate - 1), verdicts }, value);
    map.update(key, value);
  } finally {
    map.close();
  }
}
