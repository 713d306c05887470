// SPDX-License-Identifier: Apache-2.0

import { join } from 'node:path';
import { addressBytes } from '../../cubes/codec/address.ts';
import { type CubeEvent, cubeEvent, nodeConfig, traceFilter } from '../generated/tcx.ts';
import type { Start } from '../trace/start.ts';
import { BpfMap, BpfProgram, loadObject, RingBuffer } from './addon/index.ts';
import type { Pins } from './pins.ts';
import { xdpMaps } from './xdp.ts';

/** Addresses as text or as bytes. */
type Filter = Parameters<typeof traceFilter.encodeValue>[0];

/** CUBE_F_DRY of bpf/include/context.h. */
const DRY = 1;
/** DRY_TUNNEL and DRY_CUBE of bpf/entry/tcx.bpf.c. */
const MODE = { Interface: 0, Tunnel: 1, Cube: 2 } as const;
/** Bytes of struct __sk_buff, and where its members lie. */
const CONTEXT = { size: 192, ingressIfindex: 36, ifindex: 40, cb: 48 } as const;

/** Bytes of struct xdp_md, and where its members lie. */
const XDP_CONTEXT = { size: 24, dataEnd: 4, ingressIfindex: 12 } as const;
const XDP_PASS = 2;

/** The node's one reader of the ring buffer `events`, and all that makes programs write there. Does not keep the process alive. */
export class TraceRing {
  readonly #pins: Pins;
  readonly #map: BpfMap;
  readonly #ring: RingBuffer;
  #listener: ((events: CubeEvent[]) => void) | undefined;
  #dry: CubeEvent[] = [];

  /** Throws KernelError when the shared maps are not pinned. */
  constructor(pins: Pins) {
    this.#pins = pins;
    this.#map = BpfMap.openPinned(pins.sharedMap('events'));
    this.#ring = new RingBuffer(this.#map, (records) => this.#take(records));
    this.#ring.unref();
  }

  close(): void {
    this.#ring.close();
    this.#map.close();
  }

  /** What a frame would meet: the real chain, without any effect. `entry`: hash of the entry program in force. Throws KernelError. */
  dryRun(entry: string, frame: Uint8Array, start: Start): CubeEvent[] {
    const program = BpfProgram.openPinned(this.#pins.program('dry', entry));
    try {
      this.#drain();
      this.#dry = [];
      program.testRun({ dataIn: frame, ctxIn: contextOf(start) });
      this.#drain();
      return this.#dry;
    } finally {
      this.#dry = [];
      program.close();
    }
  }

  /**
   * What a frame would meet at XDP, in front of the interface: as `dryRun`. The program that begins there is loaded for the
   * run alone. `isPassed`: no cube was there to decide. Throws AgentError, KernelError.
   */
  async dryRunXdp(
    objects: string,
    frame: Uint8Array,
    ifindex: number,
  ): Promise<{ events: CubeEvent[]; isPassed: boolean }> {
    const object = await loadObject({ path: join(objects, 'xdp.o'), reuseMaps: xdpMaps(this.#pins) });
    const context = Buffer.alloc(XDP_CONTEXT.size);
    context.writeUInt32LE(frame.length, XDP_CONTEXT.dataEnd);
    context.writeUInt32LE(ifindex, XDP_CONTEXT.ingressIfindex);
    try {
      this.#drain();
      this.#dry = [];
      const { retval } = object.program('xdp_entry_dry').testRun({ dataIn: frame, ctxIn: context });
      this.#drain();
      return { events: this.#dry, isPassed: retval === XDP_PASS };
    } finally {
      this.#dry = [];
      object.close();
    }
  }

  /** Tells of packets that match from now on; undefined: of none. */
  trace(filter: Filter | undefined, listener?: (events: CubeEvent[]) => void): void {
    this.#listener = filter && listener;
    if (filter !== undefined) writeFilter(this.#pins, filter);
    setTracing(this.#pins, filter !== undefined);
  }

  #drain(): void {
    for (let records = this.#ring.consume(); records.length > 0; records = this.#ring.consume())
      this.#take(records);
  }

  #take(records: Buffer[]): void {
    // An older program, before it is replaced, may write records of another size.
    const events = records
      .filter(({ length }) => length === cubeEvent.size)
      .map((record) => cubeEvent.decode(record));
    this.#dry.push(...events.filter(({ mark }) => mark & DRY));
    const live = events.filter(({ mark }) => !(mark & DRY));
    if (live.length > 0) this.#listener?.(live);
  }
}

function contextOf({ ifindex, mode }: Start): Buffer {
  const context = Buffer.alloc(CONTEXT.size);
  context.writeUInt32LE(ifindex, CONTEXT.ingressIfindex);
  context.writeUInt32LE(ifindex, CONTEXT.ifindex);
  let rest = 0;
  if (mode.type === 'Tunnel') {
    context.set(addressBytes(mode.remote), CONTEXT.cb);
    rest = mode.vni;
  } else if (mode.type === 'Cube') {
    context.writeUInt32LE(mode.slot, CONTEXT.cb);
    context.writeUInt32LE(mode.port, CONTEXT.cb + 4);
  }
  context.writeUInt32LE(rest + MODE[mode.type] * 2 ** 24, CONTEXT.cb + 16);
  return context;
}

function writeFilter(pins: Pins, filter: Filter): void {
  const map = BpfMap.openPinned(pins.sharedMap('trace_filter'));
  try {
    const value = Buffer.alloc(traceFilter.valueSize);
    traceFilter.encodeValue(filter, value);
    map.update(Buffer.alloc(traceFilter.keySize), value);
  } finally {
    map.close();
  }
}

/** Also for an agent that starts: one before it may have been killed in the middle of a trace. */
export function setTracing(pins: Pins, on: boolean): void {
  const map = BpfMap.openPinned(pins.sharedMap('node_config'));
  try {
    const key = Buffer.alloc(nodeConfig.keySize);
    const value = map.lookup(key);
    if (value === undefined) return;
    const config = nodeConfig.decodeValue(value);
    if (config.tracing === (on ? 1 : 0)) return;
    nodeConfig.encodeValue({ ...config, tracing: on ? 1 : 0 }, value);
    map.update(key, value);
  } finally {
    map.close();
  }
}
