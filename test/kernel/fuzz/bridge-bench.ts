// SPDX-License-Identifier: Apache-2.0
/** The kernel's side of a bridge under random frames: programs, maps, and devices whose egress notes what leaves there. */

import type { CubeTypeSchema } from '../../../src/api/schemas/cube-type.ts';
import { COMMON_DROP_REASONS } from '../../../src/api/schemas/drop-reasons.ts';
import { fdb } from '../../../src/cubes/bridge/generated/codec.ts';
import { schema } from '../../../src/cubes/bridge/schema.ts';
import {
  type BpfMap,
  type BpfObject,
  loadObject,
  RingBuffer,
  TcxLink,
} from '../../../src/dataplane/kernel/addon/index.ts';
import { addBridge, NO_DEVICE } from '../support/bridge.ts';
import {
  Attach,
  Chain,
  type ChainCube,
  type ChainEvent,
  objectPath,
  type RunOptions,
  sumPerCpu,
  u32,
} from '../support/chain.ts';
import type { Config } from './bridge-config.ts';
import type { Input } from './bridge-model.ts';

const MOST_PORTS = 8;
const SINK = 3;
const BEFORE = 4;
const SINK_SCHEMA = { dropReasons: [], counters: [] } as unknown as CubeTypeSchema;

/** Where a port ends: at a device, at a cube, at a device that is gone, nowhere. */
export type End = 'device' | 'cube' | 'gone' | 'nothing';

/** A packet that arrived. */
export interface Sighting {
  readonly port: number;
  /** The frame as it would stand on a wire, with its tag in it. */
  readonly wire: Buffer;
  /** What a cube was told: by the work area the VLAN and where the network header is, and how many cubes came before. */
  readonly told?: { readonly vlan: number; readonly l3: number; readonly hops: number };
}

export interface Run {
  readonly verdict: number;
  /** As it was left, without a tag that is in the skb's metadata. */
  readonly frame: Buffer;
  readonly sightings: readonly Sighting[];
  /** Of a dry run. */
  readonly events: readonly ChainEvent[];
}

const REASONS = new Map([...COMMON_DROP_REASONS, ...schema.dropReasons].map(({ id, name }) => [name, id]));

/** Devices whose egress notes what is to leave there, for all benches of a process, one at a time: attaching takes long. */
export class Stage {
  /** Interface numbers, one for each port. */
  readonly devices: readonly number[];
  readonly #collector: BpfObject;
  readonly #links: readonly TcxLink[];
  readonly #copyDevice: number;
  #copyLink: TcxLink | undefined;
  readonly #ring: RingBuffer;

  private constructor(all: readonly number[], collector: BpfObject) {
    const devices = all.slice(0, MOST_PORTS);
    this.devices = devices;
    this.#copyDevice = all[MOST_PORTS] ?? NO_DEVICE;
    this.#collector = collector;
    this.#links = devices.map((ifindex) => TcxLink.create(collector.program('collect'), ifindex, 'egress'));
    this.#ring = new RingBuffer(collector.map('sightings'), () => undefined);
    this.#ring.unref();
  }

  /** `devices`: one for each port, then that of copies for cubes. */
  static async open(devices: readonly number[]): Promise<Stage> {
    return new Stage(devices, await loadObject({ path: objectPath('collector') }));
  }

  get sightings(): BpfMap {
    return this.#collector.map('sightings');
  }

  /** Lets copies for cubes go the way of a chain, until there is another one. */
  serve(chain: Chain): void {
    if (this.#copyLink) this.#copyLink.update(chain.copies);
    else this.#copyLink = TcxLink.create(chain.copies, this.#copyDevice, 'egress');
    chain.copyBy(this.#copyDevice);
  }

  /** Since the last look. */
  arrived(): Sighting[] {
    return this.#ring.consume().map((record) => this.#sighting(record));
  }

  /** struct sighting of test/kernel/fixtures/sighting.h. */
  #sighting(record: Buffer): Sighting {
    const atCube = record.readUInt32LE(0) === 1;
    const id = record.readUInt32LE(4);
    const frame = record.subarray(32, 32 + record.readUInt32LE(12));
    const tag = Buffer.alloc(4);
    tag.writeUInt16BE(record.readUInt16LE(18), 0);
    tag.writeUInt16BE(record.readUInt16LE(20), 2);
    return {
      port: atCube ? id : this.devices.indexOf(id),
      wire: record.readUInt16LE(16) ? Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]) : frame,
      ...(atCube
        ? {
            told: {
              l3: record.readUInt16LE(22),
              vlan: record.readUInt16LE(24),
              hops: record.readUInt32LE(28),
            },
          }
        : {}),
    };
  }

  close(): void {
    this.#ring.close();
    for (const link of this.#links) link.close();
    this.#copyLink?.close();
    this.#collector.close();
  }
}

export class Bench {
  readonly #stage: Stage;
  readonly #chain: Chain;
  readonly #before: ChainCube;
  #shared = false;

  private constructor(stage: Stage, chain: Chain, before: ChainCube) {
    this.#stage = stage;
    this.#chain = chain;
    this.#before = before;
  }

  static async open(stage: Stage): Promise<Bench> {
    const chain = await Chain.open();
    stage.serve(chain);
    const { sightings } = stage;
    await chain.add({ object: 'sink', schema: SINK_SCHEMA, slot: SINK, reuseMaps: { sightings } });
    return new Bench(stage, chain, await chain.add({ object: 'pass', schema: SINK_SCHEMA, slot: BEFORE }));
  }

  /** Loads a revision of the bridge, which takes over what the one before has learned. */
  async load(
    { ports, spec }: Config,
    slot: number,
    path: string | undefined,
    old?: ChainCube,
  ): Promise<ChainCube> {
    const cube = await addBridge(this.#chain, {
      ports,
      spec,
      slot,
      ...(path === undefined ? {} : { path }),
      ...(old === undefined ? {} : { reuseMaps: { fdb: old.map('fdb') } }),
    });
    if (old) this.#chain.remove(old);
    return cube;
  }

  wire(slot: number, ends: readonly End[]): void {
    for (const [port, end] of ends.entries()) {
      if (end === 'cube') this.#chain.edge(slot, port, { kind: 'cube', target: SINK, port });
      else if (end === 'nothing') this.#chain.edge(slot, port, { kind: 'none' });
      else {
        const target = end === 'gone' ? NO_DEVICE : (this.#stage.devices[port] ?? NO_DEVICE);
        this.#chain.edge(slot, port, { kind: 'device', target });
      }
    }
  }

  /** Lets the following frames come from an interface that the host shares, or from another cube. */
  attach(shared: boolean): void {
    this.#shared = shared;
    this.#chain.attach({ kind: 'interface' }, this.#before, 0);
  }

  /** Lets the following frames come in by a port. */
  enterBy(cube: ChainCube, port: number): void {
    const [slot, from] = this.#shared ? [0, Attach.interface] : [BEFORE, 1];
    this.#chain.edge(slot, from, { kind: 'cube', target: cube.slot, port });
  }

  run({ frame, tag, segment, dry }: Input): Run {
    const options: RunOptions = {
      ...(tag === undefined ? {} : { vlan: tag.tci, vlanType: tag.type }),
      ...(segment === undefined ? {} : { gsoSize: segment }),
    };
    if (dry) {
      const run = this.#chain.rehearse(frame, options);
      this.#stage.arrived();
      return { ...run, sightings: [] };
    }
    const { verdict, frame: after } = this.#chain.shoot(frame, options);
    return { verdict, frame: after, events: [], sightings: this.#stage.arrived() };
  }

  /** Packets that the cube has sent out of a port. */
  sent(cube: ChainCube, port: number): number {
    return cube.port(port).txPackets;
  }

  /** Packets that the cube has dropped for a reason. */
  dropped(cube: ChainCube, reason: string): number {
    const [count = 0] = sumPerCpu(
      cube.map('drops').lookup(u32(REASONS.get(reason) ?? 0)) ?? Buffer.alloc(0),
      1,
    );
    return count;
  }

  /** All that the cube and its ports have counted. */
  tally(cube: ChainCube, ports: number): Map<string, number> {
    const counted = [...cube.tally()].map(([name, count]): [string, number] => [
      name.replace(/@\d+/, ''),
      count,
    ]);
    const tally = new Map(counted);
    for (let port = 0; port < ports; port++) {
      const { rxPackets, rxBytes, txPackets } = cube.port(port);
      tally.set(`rx ${port} packets`, rxPackets);
      tally.set(`rx ${port} bytes`, rxBytes);
      tally.set(`tx ${port} packets`, txPackets);
    }
    return tally;
  }

  entryTally(): Map<string, number> {
    return new Map([...this.#chain.tally()].filter(([name]) => name.startsWith('drop entry')));
  }

  /** What stands in the map for a key of the model, `vlan mac`. */
  address(cube: ChainCube, key: string): { seen: number; port: number } | undefined {
    const value = cube.map('fdb').lookup(addressKey(key));
    return value && placeOf(value);
  }

  /** All of them. */
  addresses(cube: ChainCube): Map<string, number> {
    const { count, keys, values } = cube.map('fdb').dumpSync();
    const rows = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * fdb.keySize, (i + 1) * fdb.keySize);
      const { port } = placeOf(values.subarray(i * fdb.valueSize, (i + 1) * fdb.valueSize));
      rows.set(`${key.readUInt16LE(0)} ${key.readUIntBE(2, 6)}`, port);
    }
    return rows;
  }

  /** Lets an address have been heard last at `seen`, in units of 2^30 ns since boot, which may lie before it. */
  age(cube: ChainCube, key: string, seen: number): void {
    const bytes = addressKey(key);
    const value = cube.map('fdb').lookup(bytes);
    if (!value) return;
    const changed = Buffer.from(value);
    changed.writeUInt32LE(seen >>> 0, 0);
    cube.map('fdb').update(bytes, changed);
  }

  fillBuckets(cube: ChainCube): void {
    const map = cube.map('storm_buckets');
    const { count, keys, values } = map.dumpSync();
    values.fill(0);
    if (count > 0) map.updateBatchSync(keys, values);
  }

  close(): void {
    this.#chain.close();
  }
}

function addressKey(key: string): Buffer {
  const [vlan, mac] = key.split(' ').map(Number);
  const bytes = Buffer.alloc(fdb.keySize);
  bytes.writeUInt16LE(vlan ?? 0, 0);
  bytes.writeUIntBE(mac ?? 0, 2, 6);
  return bytes;
}

/** struct fdb_entry of bpf/bridge/bridge.h. */
function placeOf(value: Uint8Array): { seen: number; port: number } {
  const { seen, place } = fdb.decodeValue(value);
  return { seen, port: place & 63 };
}
