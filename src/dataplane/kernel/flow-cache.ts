// SPDX-License-Identifier: Apache-2.0
import { flowState, flowRecords as recordsMap } from '../generated/tcx.ts';
import { BpfMap, KernelError, possibleCpus } from './addon/index.ts';
import type { Pins } from './pins.ts';

/** Memory of all CPUs' records, bytes. */
const MOST_BYTES = 64 << 20;
const [LEAST_RECORDS, MOST_RECORDS] = [1024, 32_768];

/** Records of flows of all CPUs: for each the same power of two. */
export function flowRecords(cpus: number): number {
  const fitting = 2 ** Math.floor(Math.log2(MOST_BYTES / (recordsMap.valueSize * cpus)));
  return cpus * Math.min(MOST_RECORDS, Math.max(LEAST_RECORDS, fitting));
}

/**
 * The agent's part in what the entry program knows of flows (bpf/include/flow-cache.h): it says when nothing of that holds any more,
 * and where the counters of each cube are. The shared maps may not be there yet.
 */
export class FlowCache {
  readonly #pins: Pins;
  readonly #isOn: boolean;
  readonly #maps = new Map<string, BpfMap>();

  constructor(pins: Pins, isOn: boolean) {
    this.#pins = pins;
    this.#isOn = isOn;
  }

  /** From now on every packet meets what has been written. Throws KernelError. */
  forget(): void {
    const map = this.#map('flow_state');
    if (map === undefined) return;
    const key = Buffer.alloc(flowState.keySize);
    const value = map.lookup(key) ?? Buffer.alloc(flowState.valueSize);
    const generation = (flowState.decodeValue(value).generation + 1) >>> 0;
    const records = (this.#map('flow_records')?.maxEntries ?? 0) / possibleCpus();
    flowState.encodeValue({ generation, mask: this.#isOn && records > 1 ? records - 1 : 0 }, value);
    map.update(key, value);
  }

  /** A cube takes a slot, to which no graph leads yet. Throws KernelError. */
  setSlot(slot: number, maps: { readonly ports: BpfMap; readonly counters: BpfMap }): void {
    this.#map('slot_ports')?.setInner(keyOf(slot), maps.ports);
    this.#map('slot_counters')?.setInner(keyOf(slot), maps.counters);
  }

  /** No packet comes to the slot any more. Throws KernelError. */
  removeSlot(slot: number): void {
    this.#map('slot_ports')?.delete(keyOf(slot));
    this.#map('slot_counters')?.delete(keyOf(slot));
  }

  close(): void {
    for (const map of this.#maps.values()) map.close();
    this.#maps.clear();
  }

  #map(name: string): BpfMap | undefined {
    let map = this.#maps.get(name);
    if (map !== undefined) return map;
    try {
      map = BpfMap.openPinned(this.#pins.sharedMap(name));
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
      throw error;
    }
    this.#maps.set(name, map);
    return map;
  }
}

function keyOf(slot: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(slot);
  return key;
}
