// SPDX-License-Identifier: Apache-2.0
/**
 * A chain of real programs in the kernel, without interfaces: packets go in at the entry program by
 * BPF_PROG_TEST_RUN. Redirects are not carried out there, so an output is watched either by its verdict
 * ({@link Verdict}.redirect) or through an edge to the probe ({@link Chain.watch}), a cube that notes what reaches it.
 *
 *     await using chain = await Chain.open();
 *     const cube = await chain.add({ object: 'router', schema, slot: 1, variables: {…} });
 *     chain.watch(cube.slot, 0);                     // port 0 ends in the probe
 *     chain.attach({ kind: 'pod', addresses: ['10.0.0.5'] });
 *     const result = chain.run(ethernet({}, …));     // result.verdict, .frame, .seen, .drops, .counts
 */
import { fileURLToPath } from 'node:url';
import type { CubeTypeSchema } from '../../../src/api/schemas/cube-type.ts';
import { COMMON_DROP_REASONS } from '../../../src/api/schemas/drop-reasons.ts';
import { cubeEvent } from '../../../src/dataplane/generated/tcx.ts';
import {
  type BpfMap,
  type BpfObject,
  type BpfProgram,
  loadObject,
  possibleCpus,
  RingBuffer,
  type TestRunResult,
} from '../../../src/dataplane/kernel/addon/index.ts';
import { GATEWAY_MAC, ipText, macBytes, mappedBytes, POD_MAC } from './bytes.ts';

export const Verdict = { pass: 0xffffffff, ok: 0, drop: 2, redirect: 7 } as const;

/** Kinds of attachment; `interface` may be any number from 8 on. */
export const Attach = { pod: 1, overlay: 2, stack: 3, interface: 8 } as const;

/** Port of slot 0 whose edge names the device of copies. */
const COPIES = 4;

export const EdgeKind = {
  none: 0,
  cube: 1,
  device: 2,
  pod: 3,
  neighbour: 4,
  tunnel: 5,
  stack: 6,
  pass: 7,
  cut: 8,
} as const;

/** PKT_* of bpf/include/packet.h. */
export const Flag = {
  ipv4: 1 << 0,
  ipv6: 1 << 1,
  arp: 1 << 2,
  nd: 1 << 3,
  fragFirst: 1 << 4,
  fragLater: 1 << 5,
  fragUnresolved: 1 << 6,
  icmpError: 1 << 7,
  ports: 1 << 8,
  echo: 1 << 9,
  options: 1 << 10,
  innerL4: 1 << 11,
  multicast: 1 << 12,
  frameReady: 1 << 13,
  overlayNode: 1 << 16,
} as const;

export const SHARED = [
  'slots',
  'edges',
  'node_config',
  'attachments',
  'attachment_counters',
  'entry_drops',
  'pods',
  'overlay_sources',
  'host_addresses',
  'fragments',
  'work',
  'events',
  'trace_filter',
  'flow_config',
  'flow_limits',
  'flow_events',
  'punts',
  'punt_scratch',
  'punt_buckets',
  'punt_counters',
  'injected',
] as const;

/** What programs at XDP have not. */
const SHARED_IN_TC = [...SHARED, 'flow_records', 'flow_state', 'flow_places', 'flow_cpu'] as const;

export const SLOTS = 256;
export const PORTS = 64;
const PROBE_SLOT = 255;
const PASS_SCHEMA = { dropReasons: [], counters: [] } as unknown as CubeTypeSchema;
const ATTACHMENT_INDEX = 7;

export function objectPath(name: string): string {
  return fileURLToPath(new URL(`../../../build/bpf/${name}.o`, import.meta.url));
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** `struct cube_constants`. */
function constantsOf(slot: number, options: Pick<CubeOptions, 'redirectPeer' | 'transparent'> = {}): Buffer {
  const constants = Buffer.alloc(16);
  constants.writeUInt32LE(slot, 0);
  constants[4] = options.redirectPeer === false ? 0 : 1;
  constants[5] = options.transparent ? 1 : 0;
  constants.set(macBytes(GATEWAY_MAC), 8);
  return constants;
}

/** What a cube found in the work area. */
export interface SeenWork {
  src: string;
  dst: string;
  sport: number;
  dport: number;
  proto: number;
  outerSrc: string;
  outerDst: string;
  nextHop: string;
  tunnelRemote: string;
  tunnelVni: number;
  flags: number;
  fragId: number;
  l3: number;
  l4: number;
  innerL3: number;
  innerL4: number;
  etherType: number;
  vlan: number;
  length: number;
  tcpFlags: number;
  ttl: number;
  l4Proto: number;
  icmpType: number;
  icmpCode: number;
  tos: number;
}

export interface Seen {
  port: number;
  hops: number;
  epoch: number;
  flags: number;
  work: SeenWork;
}

export interface ChainEvent {
  slot: number;
  kind: 'hop' | 'decision' | 'output' | 'drop' | 'enter' | 'pass';
  value: number;
  object: bigint;
  hops: number;
  length: number;
  flags: number;
}

export interface RunResult {
  /** One of {@link Verdict}. */
  verdict: number;
  /** The frame as the last program left it. */
  frame: Buffer;
  /** What reached the probe. */
  seen?: Seen;
  /** `cube Reason` for each counted drop, `entry Reason` for the entry's; one entry a packet. */
  drops: string[];
  /** `cube counter` for each count of its own. */
  counts: string[];
  events: ChainEvent[];
  /** ns of one run. */
  duration: number;
}

export interface RunOptions {
  /** The dry entry instead of the real one. */
  dry?: boolean;
  repeat?: number;
  /** Bytes of a segment: makes the packet a GSO one. */
  gsoSize?: number;
  /** PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3; by default OTHERHOST, as at a veth's host end. */
  packetType?: number;
  /** Tag control information of a tag that the device took off. */
  vlan?: number;
  /** EtherType of that tag; 0x8100 by default. */
  vlanType?: number;
  /** `skb->mark`. */
  mark?: number;
  /** The tunnel that the packet came through. */
  tunnel?: { remote: string; vni: number };
}

export interface AttachOptions {
  kind: keyof typeof Attach | number;
  failOpen?: boolean;
  /** Of an interface: packets for the host's own addresses go to the chain, too. */
  all?: boolean;
  /** Of a pod. */
  addresses?: readonly string[];
  mac?: string;
}

export interface CubeOptions {
  /** Object file. */
  object: string;
  /** Another build of the object file. */
  path?: string;
  /** By default the object with `_` for `-`. */
  program?: string;
  schema: CubeTypeSchema;
  slot: number;
  variables?: Readonly<Record<string, Uint8Array>>;
  mapSizes?: Readonly<Record<string, number>>;
  reuseMaps?: Readonly<Record<string, BpfMap>>;
  redirectPeer?: boolean;
  /** As a cube of a type that is spliced in. */
  transparent?: boolean;
}

/** A cube of the chain, named by its object; a second one of the same as `object@slot`. */
export class ChainCube {
  readonly name: string;
  readonly slot: number;
  readonly object: BpfObject;
  readonly program: BpfProgram;
  readonly #reasons: ReadonlyMap<number, string>;
  readonly #counters: ReadonlyMap<number, string>;

  constructor(options: CubeOptions, object: BpfObject, name: string) {
    this.name = name;
    this.slot = options.slot;
    this.object = object;
    this.program = object.program(options.program ?? options.object.replaceAll('-', '_'));
    this.#reasons = new Map(
      [...COMMON_DROP_REASONS, ...options.schema.dropReasons].map(({ id, name }) => [id, name]),
    );
    this.#counters = new Map(options.schema.counters.map(({ id, name }) => [id, name]));
  }

  map(name: string): BpfMap {
    return this.object.map(name);
  }

  /** Packets and bytes of a port since it was loaded. */
  port(port: number): { rxPackets: number; rxBytes: number; txPackets: number; txBytes: number } {
    const [rxPackets = 0, rxBytes = 0, txPackets = 0, txBytes = 0] = sumPerCpu(
      this.map('port_counters').lookup(u32(port)) ?? Buffer.alloc(0),
      4,
    );
    return { rxPackets, rxBytes, txPackets, txBytes };
  }

  tally(): Map<string, number> {
    const tally = new Map<string, number>();
    for (const [id, count] of perCpuArray(this.map('drops'))) {
      tally.set(`drop ${this.name} ${this.#reasons.get(id) ?? `reason ${id}`}`, count);
    }
    for (const [id, count] of perCpuArray(this.map('counters'))) {
      tally.set(`count ${this.name} ${this.#counters.get(id) ?? `counter ${id}`}`, count);
    }
    return tally;
  }
}

export class Chain {
  readonly #entry: BpfObject;
  readonly #prelude: BpfObject;
  readonly #events: RingBuffer;
  readonly #cubes: ChainCube[] = [];
  readonly #entryReasons: ReadonlyMap<number, string>;
  #probe: BpfObject | undefined;
  #epoch = 0;
  #seenPackets = 0;

  private constructor(entry: BpfObject, prelude: BpfObject) {
    this.#entry = entry;
    this.#prelude = prelude;
    this.#events = new RingBuffer(entry.map('events'), () => undefined);
    this.#events.unref();
    this.#entryReasons = new Map(COMMON_DROP_REASONS.map(({ id, name }) => [id, name]));
  }

  /**
   * Loads the entry with node-wide maps of its own, an attachment of kind `interface` and a free probe. `flows`: records of
   * flows on each CPU, a power of two; by default none are kept, and every packet asks every cube. `path`: another build of the entry.
   */
  static async open({ flows = 0, path = objectPath('tcx') } = {}): Promise<Chain> {
    const entry = await loadObject({
      path,
      variables: { cube: constantsOf(0) },
      mapSizes: { flow_records: Math.max(1, flows * possibleCpus()) },
    });
    const prelude = await loadObject({ path: objectPath('prelude') });
    const chain = new Chain(entry, prelude);
    chain.keepFlows(flows);
    prelude.map('next').setProgram(0, entry.program('entry'));
    prelude.map('next').setProgram(1, entry.program('entry_dry'));
    chain.configure();
    chain.#probe = await chain.#load('probe', PROBE_SLOT);
    chain.attach({ kind: 'interface' });
    return chain;
  }

  async #load(
    object: string,
    slot: number,
    options: Pick<
      CubeOptions,
      'path' | 'variables' | 'mapSizes' | 'reuseMaps' | 'redirectPeer' | 'transparent'
    > = {},
  ): Promise<BpfObject> {
    const loaded = await loadObject({
      path: options.path ?? objectPath(object),
      reuseMaps: {
        ...Object.fromEntries(SHARED_IN_TC.map((name) => [name, this.#entry.map(name)])),
        ...options.reuseMaps,
      },
      variables: { cube: constantsOf(slot, options), ...options.variables },
      ...(options.mapSizes ? { mapSizes: options.mapSizes } : {}),
    });
    if (this.#entry.map('flow_records').maxEntries > 1) {
      this.#entry.map('slot_ports').setInner(u32(slot), loaded.map('port_counters'));
      this.#entry.map('slot_counters').setInner(u32(slot), loaded.map('counters'));
    }
    this.#entry.map('slots').setProgram(slot, loaded.program(object.replaceAll('-', '_')));
    return loaded;
  }

  /** Loads a cube into its slot (1–254). */
  async add(options: CubeOptions): Promise<ChainCube> {
    const { object, slot } = options;
    const name = this.#cubes.some((cube) => cube.name === object) ? `${object}@${slot}` : object;
    const cube = new ChainCube(options, await this.#load(object, slot, options), name);
    this.#cubes.push(cube);
    return cube;
  }

  /** Loads the cube that sends what comes in by port 0 out of port 1, and the other way round (fixtures/pass.bpf.c). */
  addPass(slot: number): Promise<ChainCube> {
    return this.add({ object: 'pass', schema: PASS_SCHEMA, slot });
  }

  /** Empties the slot of a cube and unloads it. No packet may be sent there any more. */
  remove(cube: ChainCube): void {
    this.#cubes.splice(this.#cubes.indexOf(cube), 1);
    this.#entry.map('slots').delete(u32(cube.slot));
    cube.object.close();
  }

  /** The program at the egress of devices that copies leave by: cuts them at interfaces, leads them to cubes at its own. */
  get copies(): BpfProgram {
    return this.#entry.program('copies');
  }

  /** Says which device that is. */
  copyBy(ifindex: number): void {
    this.edge(0, COPIES, { kind: 'device', target: ifindex });
  }

  /** The program that packets come in by. */
  get entry(): BpfProgram {
    return this.#entry.program('entry');
  }

  /** One of the node-wide maps. */
  shared(name: (typeof SHARED_IN_TC)[number]): BpfMap {
    return this.#entry.map(name);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** What the agent does after it has written to a map: nothing that is known of flows holds any more. */
  forgetFlows(): void {
    this.keepFlows((this.shared('flow_state').lookup(u32(0))?.readUInt32LE(4) ?? 0) + 1);
  }

  /** How many records there may be from now on; 0: none, and every packet asks every cube. Not more than there were at first. */
  keepFlows(records: number): void {
    const state = this.shared('flow_state');
    const generation = state.lookup(u32(0))?.readUInt32LE(0) ?? 0;
    state.update(u32(0), Buffer.concat([u32(generation + 1), u32(Math.max(0, records - 1))]));
  }

  /** Packets that went by a record, and records. */
  flows(): { replayed: number; kept: number } {
    const value = this.shared('flow_cpu').lookup(u32(0)) ?? Buffer.alloc(0);
    const [, , replayed = 0, kept = 0] = sumPerCpu(value, 4); // after what a CPU knows of the time
    return { replayed, kept };
  }

  /** The node's own record. Source lengths count from 128 bits (IPv4 /24 is 120). */
  configure(
    options: {
      epoch?: number;
      overlayVni?: number;
      lengths4?: readonly number[];
      lengths6?: readonly number[];
    } = {},
  ): void {
    this.#epoch = options.epoch ?? 0;
    const value = Buffer.alloc(24);
    value.writeUInt32LE(this.#epoch, 0);
    value.writeUInt32LE(options.overlayVni ?? 1, 8);
    value.set(options.lengths4 ?? [], 16);
    value.set(options.lengths6 ?? [], 20);
    this.shared('node_config').update(u32(0), value);
  }

  /** Writes an edge into the bank of `epoch`, the current one by default. Slot 0 is the entry. */
  edge(
    slot: number,
    port: number,
    edge: { kind: keyof typeof EdgeKind; target?: number; port?: number },
    epoch = this.#epoch,
  ): void {
    const value = Buffer.alloc(8);
    value.writeUInt32LE(edge.target ?? 0, 0);
    value.writeUInt16LE(edge.port ?? 0, 4);
    value[6] = EdgeKind[edge.kind];
    this.shared('edges').update(u32(((epoch & 1) * SLOTS + slot) * PORTS + port), value);
  }

  /** Lets a port end in the probe, which then tells the number of the port. */
  watch(slot: number, ...ports: number[]): void {
    for (const port of ports) this.edge(slot, port, { kind: 'cube', target: PROBE_SLOT, port });
  }

  /** Links two ports, both ways. */
  link(a: ChainCube, aPort: number, b: ChainCube, bPort: number): void {
    this.edge(a.slot, aPort, { kind: 'cube', target: b.slot, port: bPort });
    this.edge(b.slot, bPort, { kind: 'cube', target: a.slot, port: aPort });
  }

  /** Says what the packets of the following runs come in by, and leads such packets to a cube. */
  attach(options: AttachOptions, first?: ChainCube, port = 0): void {
    const kind = typeof options.kind === 'number' ? options.kind : Attach[options.kind];
    const addresses = options.addresses ?? [];
    const value = Buffer.alloc(80);
    value.writeUInt16LE(kind, 0);
    value.writeUInt16LE(ATTACHMENT_INDEX, 2);
    value[4] = options.failOpen ? 1 : 0;
    value[5] = addresses.length;
    value.writeUInt32LE(options.all ? 1 : 0, 12);
    value.set(macBytes(options.mac ?? (options.kind === 'pod' ? POD_MAC : '00:00:00:00:00:00')), 6);
    addresses.forEach((address, i) => {
      value.set(mappedBytes(address), 16 + 16 * i);
    });
    this.shared('attachments').update(u32(1), value); // loopback: the device of a packet in BPF_PROG_TEST_RUN
    if (first) this.edge(0, kind, { kind: 'cube', target: first.slot, port });
    else this.edge(0, kind, { kind: 'cube', target: PROBE_SLOT, port: 0 });
  }

  /** Takes the attachment away: the entry then knows nothing of the interface. */
  detach(): void {
    this.shared('attachments').delete(u32(1));
  }

  addPod(address: string, ifindex: number, mac = POD_MAC): void {
    const value = Buffer.alloc(12);
    value.writeUInt32LE(ifindex, 0);
    value.set(macBytes(mac), 4);
    this.shared('pods').update(mappedBytes(address), value);
  }

  /** Also `remove`s it again. */
  hostAddress(address: string, remove = false): void {
    const map = this.shared('host_addresses');
    if (remove) map.delete(mappedBytes(address));
    else map.update(mappedBytes(address), u32(1));
  }

  /** `length` counts from 128 bits. */
  addOverlaySource(prefix: string, length: number, remote: string): void {
    this.shared('overlay_sources').update(
      Buffer.concat([u32(length), mappedBytes(prefix)]),
      mappedBytes(remote),
    );
  }

  /** The attachment's own counters. */
  attachmentCounters(): { packets: number; bytes: number; drops: number } {
    const value = this.shared('attachment_counters').lookup(u32(ATTACHMENT_INDEX)) ?? Buffer.alloc(0);
    const [packets = 0, bytes = 0, drops = 0] = sumPerCpu(value, 3);
    return { packets, bytes, drops };
  }

  /** Sends one frame through the chain. */
  run(frame: Uint8Array, options: RunOptions = {}): RunResult {
    return this.#told(() => this.#testRun(frame, options));
  }

  /** Sends one frame by another program than the entry. */
  runBy(program: BpfProgram, frame: Uint8Array): RunResult {
    return this.#told(() => program.testRun({ dataIn: frame, dataOutSize: frame.length + 512 }));
  }

  #told(testRun: () => TestRunResult): RunResult {
    const before = this.tally();
    const seenBefore = this.#probed().readUInt32LE(0);
    this.#newEvents();
    const result = testRun();
    const events = this.#newEvents();
    const after = this.tally();
    const probed = this.#probed();
    this.#seenPackets = probed.readUInt32LE(0);
    const drops: string[] = [];
    const counts: string[] = [];
    for (const [name, count] of after) {
      const [kind, ...rest] = name.split(' ');
      for (let n = before.get(name) ?? 0; n < count; n++)
        (kind === 'drop' ? drops : counts).push(rest.join(' '));
      if (drops.length + counts.length > 100) break;
    }
    return {
      verdict: result.retval >>> 0,
      frame: result.dataOut,
      ...(this.#seenPackets > seenBefore ? { seen: decodeSeen(probed) } : {}),
      drops,
      counts,
      events,
      duration: result.duration,
    };
  }

  /** The context of a packet for runs of the entry that need no result beside the verdict. */
  context(): Buffer {
    return skbContext({});
  }

  /** As {@link run}, without drops, counts and events, which take longer than the packet: {@link tally} has their sums. */
  shoot(frame: Uint8Array, options: RunOptions = {}): Pick<RunResult, 'verdict' | 'frame' | 'seen'> {
    return this.#shot(() => this.#testRun(frame, options));
  }

  #shot(testRun: () => TestRunResult): Pick<RunResult, 'verdict' | 'frame' | 'seen'> {
    const before = this.#seenPackets;
    const result = testRun();
    const value = this.#probed();
    this.#seenPackets = value.readUInt32LE(0);
    const seen = this.#seenPackets === before ? {} : { seen: decodeSeen(value) };
    return { verdict: result.retval >>> 0, frame: result.dataOut, ...seen };
  }

  /** As {@link shoot}, by another program than the entry. */
  shootBy(program: BpfProgram, frame: Uint8Array): Pick<RunResult, 'verdict' | 'frame' | 'seen'> {
    return this.#shot(() => program.testRun({ dataIn: frame, dataOutSize: frame.length + 512 }));
  }

  /** A dry run, and what it tells; without the sums of {@link run}, which take longer. */
  rehearse(frame: Uint8Array, options: RunOptions = {}): Pick<RunResult, 'verdict' | 'frame' | 'events'> {
    this.#newEvents();
    const { retval, dataOut } = this.#testRun(frame, { ...options, dry: true });
    return { verdict: retval >>> 0, frame: dataOut, events: this.#newEvents() };
  }

  #newEvents(): ChainEvent[] {
    const events: ChainEvent[] = [];
    for (let records = this.#events.consume(); records.length > 0; records = this.#events.consume()) {
      events.push(...records.map(decodeEvent));
    }
    return events;
  }

  /** ns of one packet, averaged over `repeat` runs. */
  measure(frame: Uint8Array, repeat = 2_000_000): number {
    return this.#entry.program('entry').testRun({ dataIn: frame, ctxIn: skbContext({}), repeat }).duration;
  }

  #testRun(frame: Uint8Array, options: RunOptions): TestRunResult {
    const ctxIn = skbContext(options);
    const run = { dataIn: frame, ctxIn, repeat: options.repeat ?? 1, dataOutSize: frame.length + 512 };
    const { packetType, vlan, tunnel } = options;
    if (packetType === undefined && vlan === undefined && !tunnel) {
      return this.#entry.program(options.dry ? 'entry_dry' : 'entry').testRun(run);
    }
    const config = Buffer.alloc(40);
    config.writeUInt32LE(options.vlanType ?? 0x8100, 32);
    config.writeUInt32LE(options.dry ? 1 : 0, 36);
    if (packetType !== undefined) config.writeUInt32LE(packetType + 1, 0);
    if (vlan !== undefined) config.writeUInt32LE(vlan + 1, 4);
    if (tunnel) {
      config.writeUInt32LE(tunnel.remote.includes(':') ? 6 : 4, 8);
      config.writeUInt32LE(tunnel.vni, 12);
      config.set(mappedBytes(tunnel.remote), 16);
    }
    this.#prelude.map('prelude_config').update(u32(0), config);
    return this.#prelude.program('prelude').testRun(run);
  }

  /** All drops (`drop cube Reason`) and counts (`count cube counter`) so far. */
  tally(): Map<string, number> {
    const tally = new Map<string, number>();
    for (const [id, count] of perCpuArray(this.shared('entry_drops'))) {
      tally.set(`drop entry ${this.#entryReasons.get(id) ?? `reason ${id}`}`, count);
    }
    for (const cube of this.#cubes) for (const [name, count] of cube.tally()) tally.set(name, count);
    return tally;
  }

  /** What the probe has written: how many packets it saw, then the last one. */
  #probed(): Buffer {
    return this.#probe?.map('seen').lookup(u32(0)) ?? Buffer.alloc(0);
  }

  close(): void {
    this.#events.close();
    for (const cube of this.#cubes) cube.object.close();
    this.#probe?.close();
    this.#prelude.close();
    this.#entry.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** `struct __sk_buff` with the fields that BPF_PROG_TEST_RUN takes. */
function skbContext(options: RunOptions): Buffer {
  const ctx = Buffer.alloc(192);
  // what the entry finds in cb belongs to somebody else
  for (let i = 0; i < 5; i++) ctx.writeUInt32LE(0xdeadbeef, 48 + 4 * i);
  ctx.writeUInt32LE(options.mark ?? 0, 8);
  ctx.writeUInt32LE(1, 36);
  ctx.writeUInt32LE(1, 40);
  if (options.gsoSize !== undefined) {
    ctx.writeUInt32LE(2, 164);
    ctx.writeUInt32LE(options.gsoSize, 176);
  }
  return ctx;
}

/** Behind the number of packets, what the probe says of the last one. */
function decodeSeen(value: Buffer): Seen {
  return {
    port: value.readUInt32LE(4),
    hops: value.readUInt32LE(8),
    epoch: value.readUInt32LE(12),
    flags: value.readUInt32LE(16),
    work: decodeWork(value.subarray(24)),
  };
}

/** struct cube_work of bpf/include/packet.h. */
function decodeWork(b: Buffer): SeenWork {
  return {
    src: ipText(b.subarray(0, 16)),
    dst: ipText(b.subarray(16, 32)),
    sport: b.readUInt16BE(32),
    dport: b.readUInt16BE(34),
    proto: b.readUInt8(36),
    outerSrc: ipText(b.subarray(40, 56)),
    outerDst: ipText(b.subarray(56, 72)),
    nextHop: ipText(b.subarray(72, 88)),
    tunnelRemote: ipText(b.subarray(88, 104)),
    tunnelVni: b.readUInt32LE(104),
    flags: b.readUInt32LE(108),
    fragId: b.readUInt32LE(112),
    l3: b.readUInt16LE(116),
    l4: b.readUInt16LE(118),
    innerL3: b.readUInt16LE(120),
    innerL4: b.readUInt16LE(122),
    etherType: b.readUInt16LE(124),
    vlan: b.readUInt16LE(126),
    length: b.readUInt16LE(128),
    tcpFlags: b.readUInt8(130),
    ttl: b.readUInt8(131),
    l4Proto: b.readUInt8(132),
    icmpType: b.readUInt8(133),
    icmpCode: b.readUInt8(134),
    tos: b.readUInt8(135),
  };
}

const KINDS = ['hop', 'decision', 'output', 'drop', 'enter', 'pass'] as const;

/** struct cube_event of bpf/include/cube.h. */
function decodeEvent(b: Buffer): ChainEvent {
  const { kind, object, slot, value, hops, length, flags } = cubeEvent.decode(b);
  return { kind: KINDS[kind - 1] ?? 'drop', object, slot, value, hops, length, flags };
}

export function sumPerCpu(value: Buffer, words: number): number[] {
  const sums = new Array<number>(words).fill(0);
  for (let at = 0; at + words * 8 <= value.length; at += words * 8) {
    for (let i = 0; i < words; i++) sums[i] = (sums[i] ?? 0) + Number(value.readBigUInt64LE(at + 8 * i));
  }
  return sums;
}

/** Entries of a per-CPU array of u64 that are not zero. */
export function perCpuArray(map: BpfMap): [number, number][] {
  const entries: [number, number][] = [];
  const { count, keys, values } = map.dumpSync();
  const stride = map.valueStride;
  for (let i = 0; i < count; i++) {
    const [sum = 0] = sumPerCpu(values.subarray(i * stride, (i + 1) * stride), 1);
    if (sum > 0) entries.push([keys.readUInt32LE(i * 4), sum]);
  }
  return entries;
}
