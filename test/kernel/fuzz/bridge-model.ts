// SPDX-License-Identifier: Apache-2.0
/**
 * What a bridge does with a frame, by IEEE 802.1Q (an independent-learning VLAN bridge without spanning tree) and
 * docs/reference/bridge.md, not by the program in C: the two are compared.
 *
 * Left out: that the oldest address makes room for a new one (there are never as many), and where a bridge sends a frame
 * itself rather than a copy (the reference leaves that open, but for the one port that leads to a cube).
 */
import { ParseModel } from './parse-model.ts';

/** Numbers of ports are those of the cube. */
export interface ModelPort {
  readonly isAccess: boolean;
  /** VLANs that it is in. */
  readonly vlans: ReadonlySet<number>;
  /** VLAN of frames without a tag; undefined: they are refused. */
  readonly native?: number;
  readonly learning: boolean;
  readonly isolated: boolean;
  readonly floods: Readonly<Record<FloodKind, boolean>>;
  readonly limits: Readonly<Partial<Record<FloodKind, { interval: number; burst: number }>>>;
  /** Bytes of the content of a frame; undefined: any. */
  readonly mtu?: number;
}

export type FloodKind = 'broadcast' | 'multicast' | 'unknownUnicast';

export interface ModelBridge {
  readonly ports: readonly ModelPort[];
  /** Stands for the names and numbers of the ports: addresses were learned under one such set. */
  readonly portSet: string;
  /** By `vlan mac`: the port. */
  readonly statics: ReadonlyMap<string, number>;
  /** ns */
  readonly ageing: number;
}

/** A frame on its way in. */
export interface Input {
  readonly frame: Buffer;
  /** The tag that the device took off. */
  readonly tag?: { readonly type: number; readonly tci: number };
  readonly port: number;
  /** Whether the host shares the interface that it came in by. */
  readonly shared: boolean;
  /** Bytes of a segment of a frame that stands for many. */
  readonly segment?: number;
  readonly dry: boolean;
}

/** What was seen of the kernel's decision; used only where it may decide either way. */
export interface Observed {
  droppedFor(reason: string): boolean;
  /** Monotonic ns before and behind the run. */
  readonly from: number;
  readonly to: number;
}

export interface Forwarded {
  readonly kind: 'forward';
  /** Frames as they stand on the wire behind each port, with their tag in them. */
  readonly frames: ReadonlyMap<number, Buffer>;
  /** VLAN id of the tag that a frame gets; 0: none. */
  readonly tags: ReadonlyMap<number, number>;
  /** How the destination was found. */
  readonly by: { readonly decision: 'Learned' | 'StaticEntry' | 'Flooded'; readonly object: number };
  /** Whether there is a tag behind the one of the VLAN, which then may stand in either place. */
  readonly stacked: boolean;
}

export type Outcome =
  | { readonly kind: 'pass' }
  | { readonly kind: 'drop'; readonly by: 'entry' | 'bridge'; readonly reason: string }
  | Forwarded;

const C_TAG = 0x8100;
const S_TAG = 0x88a8;
const BROADCAST = 0xffffffffffff;
/** IEEE 802.1Q table 8-1: 01-80-C2-00-00-00 to 0F are never relayed. */
const RESERVED_FIRST = 0x0180c2000000;
const RESERVED_LAST = 0x0180c200000f;

const isGroup = (mac: number): boolean => Math.floor(mac / 2 ** 40) % 2 === 1;

export interface Place {
  port: number;
  portSet: string;
  /** Monotonic ns when it was last heard of, between two bounds. */
  from: number;
  to: number;
}

export class BridgeModel {
  config: ModelBridge;
  /** By `vlan mac`. Also places of another set of ports, which count while that set is in force. */
  readonly learned = new Map<string, Place>();
  /** Events since the last look. */
  counts: string[] = [];
  /** Of the last frame: what was learned or heard again. */
  heard: string | undefined;
  readonly #parser = new ParseModel();
  /** By port and kind: ns when the bucket is full again, between two bounds. */
  readonly #buckets = new Map<string, { from: number; to: number }>();

  constructor(config: ModelBridge) {
    this.config = config;
  }

  /** A new revision: what was learned stays, buckets are full. */
  reconfigure(config: ModelBridge): void {
    this.config = config;
    this.#buckets.clear();
  }

  /** A silence of all senders: their buckets are full again. */
  fillBuckets(): void {
    this.#buckets.clear();
  }

  decide(input: Input, observed: Observed): Outcome {
    const { frame, port } = input;
    this.counts = [];
    this.heard = undefined;
    const refused = this.#refusedAtEntry(input);
    if (refused !== undefined) return { kind: 'drop', by: 'entry', reason: refused };
    const dst = frame.readUIntBE(0, 6);
    const src = frame.readUIntBE(6, 6);
    if (dst >= RESERVED_FIRST && dst <= RESERVED_LAST)
      return input.shared ? { kind: 'pass' } : drop('LinkLocalControl');
    if (isGroup(src) || src === 0) return drop('InvalidSourceMac');
    if (input.tag?.type === S_TAG) return drop('Unsupported');

    const hasInner = input.tag === undefined && frame.readUInt16BE(12) === C_TAG;
    const tci = input.tag?.tci ?? (hasInner ? frame.readUInt16BE(14) : 0);
    const rest = hasInner ? Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]) : frame;
    const stacked = [C_TAG, S_TAG].includes(rest.readUInt16BE(12));
    if (stacked && rest.length < 18) return drop('Malformed');
    const setting = this.config.ports[port];
    if (setting === undefined) throw new Error(`no port ${port}`);
    const vid = tci & 0xfff;
    if (setting.isAccess && (vid !== 0 || stacked)) return drop('VlanNotAllowed');
    const vlan = vid === 0 ? setting.native : vid;
    if (vlan === undefined || !setting.vlans.has(vlan)) return drop('VlanNotAllowed');

    const source = `${vlan} ${src}`;
    const fixed = this.config.statics.get(source);
    if (fixed !== undefined && fixed !== port) return drop('StaticElsewhere');
    if (fixed === undefined && setting.learning) this.#learn(source, input, observed);

    const out = { rest, tci, vlan, stacked };
    if (isGroup(dst)) return this.#flood(dst === BROADCAST ? 'broadcast' : 'multicast', input, observed, out);
    const destination = `${vlan} ${dst}`;
    const known = this.config.statics.get(destination) ?? this.#find(destination, vlan, observed);
    if (known === undefined) return this.#flood('unknownUnicast', input, observed, out);
    if (known === port) return drop('SamePort');
    const target = this.config.ports[known];
    if (setting.isolated && target?.isolated) return drop('Isolated');
    if (this.#exceeds(target?.mtu, rest, input, stacked, observed)) return drop('Mtu');
    this.counts.push('forwarded');
    const decision = this.config.statics.has(destination) ? 'StaticEntry' : 'Learned';
    return this.#forward([known], out, { decision, object: known });
  }

  /** The entry parses each frame, and refuses IP that is cut short. */
  #refusedAtEntry({ frame, tag }: Input): string | undefined {
    if (tag !== undefined && frame.readUInt16BE(12) === C_TAG) return undefined;
    const parsed = this.#parser.parse(frame);
    return parsed.ok ? undefined : parsed.reason;
  }

  /** Whether a place counts now; false also for one whose time may just be over. */
  #holds(place: Place | undefined, observed: Observed): place is Place {
    if (place?.portSet !== this.config.portSet) return false;
    return observed.to - place.from <= this.config.ageing;
  }

  #learn(source: string, { port, dry }: Input, observed: Observed): void {
    const old = this.learned.get(source);
    if (!this.#holds(old, observed)) this.counts.push('learned');
    else if (old.port !== port) this.counts.push('moved');
    if (dry) return;
    this.heard = source;
    const { from, to } = observed;
    this.learned.set(source, { port, portSet: this.config.portSet, from, to });
  }

  /** A place that is in the VLAN no more is none. */
  #find(destination: string, vlan: number, observed: Observed): number | undefined {
    const place = this.learned.get(destination);
    if (!this.#holds(place, observed)) return undefined;
    return this.config.ports[place.port]?.vlans.has(vlan) ? place.port : undefined;
  }

  #exceeds(
    mtu: number | undefined,
    rest: Buffer,
    { segment }: Input,
    stacked: boolean,
    observed: Observed,
  ): boolean {
    if (mtu === undefined) return false;
    const length = rest.length - 14;
    if (length <= mtu) return false;
    if (segment !== undefined) return segment + headersOf(rest) > mtu;
    // a second tag is content to one device, and a part of the header to another one
    return stacked && length - 4 <= mtu ? observed.droppedFor('Mtu') : true;
  }

  #flood(kind: FloodKind, input: Input, observed: Observed, out: Out): Outcome {
    const { ports } = this.config;
    const self = ports[input.port];
    const targets = ports.flatMap((port, number) =>
      number !== input.port &&
      port.vlans.has(out.vlan) &&
      port.floods[kind] &&
      !(self?.isolated && port.isolated)
        ? [number]
        : [],
    );
    if (targets.length === 0) return drop('NowhereToFlood');
    if (!this.#mayFlood(kind, input, observed)) return drop('StormControl');
    this.counts.push('flooded');
    return this.#forward(targets, out, { decision: 'Flooded', object: out.vlan });
  }

  /** A token bucket (the generic cell rate algorithm, ITU-T I.371): the clock decides where it may. */
  #mayFlood(kind: FloodKind, { port, dry }: Input, observed: Observed): boolean {
    const limit = this.config.ports[port]?.limits[kind];
    if (limit === undefined) return true;
    const key = `${port} ${kind}`;
    const full = this.#buckets.get(key) ?? { from: 0, to: 0 };
    const ahead = limit.interval * (limit.burst - 1);
    if (full.from > observed.to + ahead) return false;
    if (full.to > observed.from + ahead && observed.droppedFor('StormControl')) return false;
    if (!dry) {
      this.#buckets.set(key, {
        from: Math.max(full.from, observed.from) + limit.interval,
        to: Math.max(full.to, observed.to) + limit.interval,
      });
    }
    return true;
  }

  #forward(targets: readonly number[], out: Out, by: Forwarded['by']): Forwarded {
    const frames = new Map<number, Buffer>();
    const tags = new Map<number, number>();
    const tag = Buffer.alloc(4);
    tag.writeUInt16BE(C_TAG, 0);
    tag.writeUInt16BE((out.tci & 0xf000) | out.vlan, 2);
    let tagged: Buffer | undefined;
    for (const target of targets) {
      const bare = this.config.ports[target]?.native === out.vlan;
      tags.set(target, bare ? 0 : out.vlan);
      if (!bare) tagged ??= Buffer.concat([out.rest.subarray(0, 12), tag, out.rest.subarray(12)]);
      frames.set(target, bare ? out.rest : (tagged ?? out.rest));
    }
    return { kind: 'forward', frames, tags, by, stacked: out.stacked };
  }
}

interface Out {
  /** The frame without the tag of its VLAN. */
  readonly rest: Buffer;
  readonly tci: number;
  readonly vlan: number;
  readonly stacked: boolean;
}

const drop = (reason: string): Outcome => ({ kind: 'drop', by: 'bridge', reason });

/** Bytes of the IP and TCP headers of a frame of TCP without options. */
function headersOf(frame: Buffer): number {
  return frame.readUInt16BE(12) === 0x86dd ? 60 : 40;
}
