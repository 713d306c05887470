// SPDX-License-Identifier: Apache-2.0
/** NATs in the kernel for many seeds: a program of each shape is loaded once, and emptied for the next seed. */
import { established as codec } from '../../../src/cubes/nat/generated/codec.ts';
import { NatImage } from '../../../src/cubes/nat/image.ts';
import { schema } from '../../../src/cubes/nat/schema.ts';
import { nat } from '../../../src/cubes/nat/type.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import { GATEWAY_MAC } from '../support/bytes.ts';
import { Chain, type ChainCube, sumPerCpu, u32 } from '../support/chain.ts';
import { type Config, inputOf, OWN, type Shape, STEP_SECONDS } from './nat-config.ts';
import { INSIDE, OUTSIDE } from './nat-model.ts';
import type { Table } from './nat-sessions-model.ts';

const SLOT = 1;
const NODE = { name: 'node-a', gatewayMac: GATEWAY_MAC, overlayVni: 1, addresses: [], redirectPeer: true };
const STATE = ['established', 'embryonic', 'reply_buckets'] as const;
export const TABLES = ['established', 'embryonic'] as const;

/** The program's clock counts units of 2^30 ns. */
export const STEP = Math.ceil((STEP_SECONDS * 1e9) / 2 ** 30);

/** Of struct session. */
const DST_OFFSET = 32;

/** As a new map is. */
const ARRAYS = ['source_rules', 'forward_rules', 'pool'] as const;
const PORT_CONFLICTS = schema.counters.find(({ name }) => name === 'portConflicts')?.id ?? 0;

function clear(map: BpfMap): void {
  const { count, keys } = map.dumpSync();
  if (count > 0) map.deleteBatchSync(keys);
}

function zero(map: BpfMap): void {
  const { keys, values } = map.dumpSync();
  map.updateBatchSync(keys, values.fill(0));
}

export class NatLab {
  readonly chain: Chain;
  /** What all seeds have counted, drops and counters by name. */
  readonly seen = new Map<string, number>();
  readonly #path: string | undefined;
  readonly #cubes = new Map<Shape, ChainCube>();
  /** Cubes with the same sessions, by how many these may be. */
  readonly #owners = new Map<number, ChainCube>();
  #cube: ChainCube | undefined;
  #before = new Map<string, number>();

  private constructor(chain: Chain, path: string | undefined) {
    this.chain = chain;
    this.#path = path;
  }

  /** @param path another build of the object file, with a planted bug. */
  static async open(path?: string): Promise<NatLab> {
    const chain = await Chain.open();
    chain.watch(SLOT, OUTSIDE, INSIDE);
    return new NatLab(chain, path);
  }

  get cube(): ChainCube {
    if (!this.#cube) throw new Error('no NAT is loaded');
    return this.#cube;
  }

  /** Another revision of the spec, with the sessions of the one before. */
  async use(shape: Shape, config: Config): Promise<void> {
    const input = inputOf(config);
    const known = this.#cubes.get(shape);
    if (known) this.chain.shared('slots').setProgram(SLOT, known.program);
    const cube = known ?? (await this.#load(shape, config));
    this.#cubes.set(shape, cube);
    this.#cube = cube;
    clear(cube.map('matches'));
    clear(cube.map('services'));
    for (const name of ARRAYS) zero(cube.map(name));
    const image = new NatImage(input, { name: 'node-a', addresses: OWN });
    if (config.services.length > 0) image.setTable('n/services', config.services);
    for (const address of OWN) this.chain.hostAddress(address, config.spec.role === 'Gateway');
    image.settle();
    for (const { map, keys, values } of image.take().writes) cube.map(map).updateBatchSync(keys, values);
  }

  async #load(shape: Shape, config: Config): Promise<ChainCube> {
    const owner = this.#owners.get(shape.maxEstablished);
    const { rodata, sizes } = nat.instance(inputOf(config), NODE);
    const cube = await this.chain.add({
      object: 'nat',
      ...(this.#path === undefined ? {} : { path: this.#path }),
      schema,
      slot: SLOT,
      variables: rodata,
      mapSizes: sizes ?? {},
      ...(owner ? { reuseMaps: Object.fromEntries(STATE.map((name) => [name, owner.map(name)])) } : {}),
    });
    if (!owner) this.#owners.set(shape.maxEstablished, cube);
    return cube;
  }

  /** As if nothing had ever passed. */
  begin(): void {
    for (const name of STATE) clear(this.cube.map(name));
    clear(this.chain.shared('fragments'));
    this.#before = this.#tally();
  }

  forgetRejects(): void {
    clear(this.cube.map('reply_buckets'));
  }

  /** portConflicts so far, which costs less than {@link sums}. */
  conflicts(): number {
    const value = this.cube.map('counters').lookup(u32(PORT_CONFLICTS));
    return value ? (sumPerCpu(value, 1)[0] ?? 0) : 0;
  }

  /** What was counted since {@link begin}. */
  sums(): Map<string, number> {
    const now = this.#tally();
    for (const [name, count] of this.#before) now.set(name, (now.get(name) ?? 0) - count);
    return now;
  }

  #tally(): Map<string, number> {
    const sums = new Map<string, number>();
    for (const [name, count] of this.chain.tally()) if (name.startsWith('drop entry')) sums.set(name, count);
    for (const cube of this.#cubes.values()) {
      for (const [name, count] of cube.tally()) {
        const plain = name.replace(cube.name, 'nat');
        sums.set(plain, (sums.get(plain) ?? 0) + count);
      }
    }
    return sums;
  }

  table(name: Table): BpfMap {
    return this.cube.map(name);
  }

  /** Lets time pass for rows of a table: their last packet was so much earlier. */
  age(table: Table, steps: number, key?: Buffer): void {
    const map = this.table(table);
    const { keys, values } = key ? { keys: key, values: map.lookup(key) ?? Buffer.alloc(0) } : map.dumpSync();
    for (let at = 0; at < values.length; at += codec.valueSize) {
      // may be before the boot
      values.writeUInt32LE((values.readUInt32LE(at) - steps * STEP) >>> 0, at);
    }
    if (values.length > 0) map.updateBatchSync(keys, values);
  }

  /** Gives a half another destination. */
  redirect(table: Table, key: Buffer, dst: Buffer): void {
    const value = this.table(table).lookup(key);
    if (!value) throw new Error('there is no such half');
    value.set(dst, DST_OFFSET);
    this.table(table).update(key, value);
  }

  /** Runs the programs that remove what is over. */
  reclaim(): void {
    for (const name of TABLES)
      this.cube.object.program(`reclaim_${name}`).testRun({ ctxIn: Buffer.alloc(24) });
  }

  close(): void {
    this.chain.close();
  }
}
