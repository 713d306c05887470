// SPDX-License-Identifier: Apache-2.0
/**
 * Cubes at XDP in the kernel, without interfaces: packets go in at the XDP entry by BPF_PROG_TEST_RUN, and their verdict
 * tells what became of them. What goes on to TC ends here.
 */
import { COMMON_DROP_REASONS } from '../../../src/api/schemas/drop-reasons.ts';
import {
  type BpfMap,
  type BpfObject,
  type BpfProgram,
  loadObject,
} from '../../../src/dataplane/kernel/addon/index.ts';
import { GATEWAY_MAC, macBytes } from './bytes.ts';
import { ChainCube, type CubeOptions, objectPath, PORTS, perCpuArray, SHARED, SLOTS, u32 } from './chain.ts';

export const XdpVerdict = { aborted: 0, drop: 1, pass: 2, tx: 3 } as const;

export const XdpEdge = { none: 0, cube: 1, device: 2, pass: 7, cut: 8 } as const;

const XDP_SLOT = 255;
const ATTACHMENT_PORT = 8;
/** Loopback: the device of a packet in BPF_PROG_TEST_RUN. */
export const IFINDEX = 1;

export interface XdpResult {
  /** One of {@link XdpVerdict}. */
  verdict: number;
  frame: Buffer;
  /** As of `Chain`: `cube Reason`, `entry Reason`. */
  drops: string[];
  counts: string[];
  duration: number;
}

export class XdpChain {
  readonly #entry: BpfObject;
  readonly #cubes: ChainCube[] = [];
  #epoch = 0;

  private constructor(entry: BpfObject) {
    this.#entry = entry;
  }

  static async open(): Promise<XdpChain> {
    const chain = new XdpChain(await loadObject({ path: objectPath('xdp') }));
    chain.configure(0);
    chain.attach();
    return chain;
  }

  shared(name: string): BpfMap {
    return this.#entry.map(name);
  }

  get entry(): BpfProgram {
    return this.#entry.program('xdp_entry');
  }

  /** Loads a cube into its slot (1–254). */
  async add(options: CubeOptions): Promise<ChainCube> {
    const constants = Buffer.alloc(16);
    constants.writeUInt32LE(options.slot, 0);
    constants[5] = 1;
    constants.set(macBytes(GATEWAY_MAC), 8);
    const shared = [...SHARED, 'xdp_slots', 'xdp_packet'];
    const loaded = await loadObject({
      path: options.path ?? objectPath(options.object),
      reuseMaps: Object.fromEntries(shared.map((name) => [name, this.#entry.map(name)])),
      variables: { cube: constants, ...options.variables },
      ...(options.mapSizes ? { mapSizes: options.mapSizes } : {}),
    });
    const name = this.#cubes.length === 0 ? options.object : `${options.object}@${options.slot}`;
    const cube = new ChainCube(options, loaded, name);
    this.#entry.map('xdp_slots').setProgram(options.slot, cube.program);
    this.#cubes.push(cube);
    return cube;
  }

  configure(epoch: number): void {
    this.#epoch = epoch;
    const value = Buffer.alloc(24);
    value.writeUInt32LE(epoch, 0);
    this.shared('node_config').update(u32(0), value);
  }

  attach(options: { failOpen?: boolean } = {}, first?: ChainCube, port = 0): void {
    const value = Buffer.alloc(80);
    value.writeUInt16LE(ATTACHMENT_PORT, 0);
    value[4] = options.failOpen ? 1 : 0;
    this.shared('attachments').update(u32(IFINDEX), value);
    if (first) this.edge(XDP_SLOT, ATTACHMENT_PORT, 'cube', first.slot, port);
  }

  detach(): void {
    this.shared('attachments').delete(u32(IFINDEX));
  }

  /** Writes an edge into the bank of `epoch`. */
  edge(
    slot: number,
    port: number,
    kind: keyof typeof XdpEdge,
    target = 0,
    peer = 0,
    epoch = this.#epoch,
  ): void {
    const value = Buffer.alloc(8);
    value.writeUInt32LE(target, 0);
    value.writeUInt16LE(peer, 4);
    value[6] = XdpEdge[kind];
    this.shared('edges').update(u32(((epoch & 1) * SLOTS + slot) * PORTS + port), value);
  }

  /** As {@link run}, without drops and counts: {@link tally} has their sums. */
  shoot(frame: Uint8Array, options: { dry?: boolean } = {}): Pick<XdpResult, 'verdict' | 'frame'> {
    const program = options.dry ? this.#entry.program('xdp_entry_dry') : this.entry;
    const { retval, dataOut } = program.testRun({ dataIn: frame });
    return { verdict: retval, frame: dataOut };
  }

  run(frame: Uint8Array, options: { dry?: boolean; repeat?: number } = {}): XdpResult {
    const before = this.tally();
    const program = options.dry ? this.#entry.program('xdp_entry_dry') : this.entry;
    const { retval, dataOut, duration } = program.testRun({ dataIn: frame, repeat: options.repeat ?? 1 });
    const result: XdpResult = { verdict: retval, frame: dataOut, drops: [], counts: [], duration };
    for (const [name, count] of this.tally()) {
      const [kind, ...rest] = name.split(' ');
      const list = kind === 'drop' ? result.drops : result.counts;
      for (let n = before.get(name) ?? 0; n < count && list.length < 100; n++) list.push(rest.join(' '));
    }
    return result;
  }

  /** As of `Chain`. */
  tally(): Map<string, number> {
    const reasons = new Map(COMMON_DROP_REASONS.map(({ id, name }) => [id, name]));
    const tally = new Map(
      perCpuArray(this.shared('entry_drops')).map(([id, count]) => [`drop entry ${reasons.get(id)}`, count]),
    );
    for (const cube of this.#cubes) for (const [name, count] of cube.tally()) tally.set(name, count);
    return tally;
  }

  close(): void {
    for (const cube of this.#cubes) cube.object.close();
    this.#entry.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
