// SPDX-License-Identifier: Apache-2.0
/**
 * Packets of connections between two sides: most of them as honest peers send them, one after the other; some lost,
 * repeated, forged, broken into fragments or quoted by ICMP errors; and a share of rubbish.
 */
import { isV6 } from '../support/bytes.ts';
import {
  authentication,
  type Extension,
  echo,
  ethernet,
  extension,
  fragmentHeader,
  icmp,
  icmpError,
  ipv4,
  ipv6,
  type Layer3,
  type Layer4,
  raw,
  sctp,
  sctpChunk,
  tcp,
  udp,
} from '../support/packet.ts';
import { randomFrame, type World } from './packets.ts';
import type { Random } from './random.ts';
import type { Side } from './session-model.ts';

export interface Sides {
  /** Both families on both sides. */
  readonly outside: readonly string[];
  readonly inside: readonly string[];
  readonly ports: readonly number[];
  readonly macs: readonly string[];
}

export interface Shot {
  readonly frame: Buffer;
  readonly from: Side;
}

interface Flow {
  readonly v6: boolean;
  readonly initiator: Side;
  readonly protocol: number;
  /** Of the initiator, and of the other side. */
  readonly own: string;
  readonly peer: string;
  readonly sport: number;
  readonly dport: number;
  /** Next sequence numbers, or SCTP tags. */
  own32: number;
  peer32: number;
  /** How far it has come. */
  stage: number;
  /** Its last packet, for errors to quote. */
  last: { readonly bytes: Buffer; readonly from: Side } | undefined;
}

const MOST_FLOWS = 40;
const OTHER: Readonly<Record<Side, Side>> = { outside: 'inside', inside: 'outside' };
const PROTOCOLS = [6, 6, 6, 6, 17, 17, 17, 132, 132, 1, 1, 47, 50];
const ERRORS = { 4: [3, 3, 11, 12, 4, 5], 6: [1, 1, 2, 3, 4] } as const;
const STRAY_FLAGS = ['S', 'SA', 'A', 'PA', 'FA', 'F', 'R', 'RA', 'SF', '', 'SE', 'SEC', 'FPU', 'AU', 'SP'];

/** One L4 packet of a flow, from one of its ends. */
interface Said {
  readonly byInitiator: boolean;
  readonly l4: Layer4;
}

export class Flows {
  readonly #sides: Sides;
  readonly #world: World;
  readonly #flows: Flow[] = [];

  constructor(sides: Sides) {
    this.#sides = sides;
    this.#world = { ...sides, addresses: [...sides.outside, ...sides.inside] };
  }

  next(r: Random): Shot {
    const kind = r.below(100);
    if (kind < 10) return { frame: randomFrame(r, this.#world), from: r.chance(0.5) ? 'outside' : 'inside' };
    if (this.#flows.length === 0 || kind < 22) this.#open(r);
    const flow = kind < 22 ? (this.#flows.at(-1) as Flow) : r.pick(this.#flows);
    const shot = kind >= 92 && flow.last ? this.#error(r, flow) : this.#packet(r, flow);
    return r.chance(0.02) ? { ...shot, frame: damaged(r, shot.frame) } : shot;
  }

  #open(r: Random): void {
    const v6 = r.chance(0.5);
    const initiator: Side = r.chance(0.5) ? 'outside' : 'inside';
    const { outside, inside, ports } = this.#sides;
    const address = (pool: readonly string[]) => r.pick(pool.filter((one) => isV6(one) === v6));
    const ends = { outside: address(outside), inside: address(inside) };
    const protocol = r.pick(PROTOCOLS);
    this.#flows.push({
      v6,
      initiator,
      protocol: protocol === 1 && v6 ? 58 : protocol,
      own: ends[initiator],
      peer: ends[OTHER[initiator]],
      sport: r.pick(ports),
      dport: r.pick(ports),
      own32: r.chance(0.1) ? 0xffffffff : r.word(),
      peer32: r.chance(0.1) ? 0xffffffff : r.word(),
      stage: 0,
      last: undefined,
    });
    // a place that is chosen by chance, not the oldest: some flows live long
    if (this.#flows.length > MOST_FLOWS) this.#flows.splice(r.below(MOST_FLOWS), 1);
  }

  #packet(r: Random, flow: Flow): Shot {
    const { byInitiator, l4 } = this.#say(r, flow);
    const from = byInitiator ? flow.initiator : OTHER[flow.initiator];
    const [src, dst] = byInitiator ? [flow.own, flow.peer] : [flow.peer, flow.own];
    const l3 = this.#wrap(r, src, dst, l4);
    flow.last = { bytes: l3.bytes, from };
    return { frame: this.#frame(r, l3), from };
  }

  #frame(r: Random, l3: Layer3): Buffer {
    const [src, dst] = [r.pick(this.#sides.macs), r.pick(this.#sides.macs)];
    const frame = ethernet({ src, dst, ...(r.chance(0.03) ? { vlan: r.pick([0, 5]) } : {}) }, l3);
    return r.chance(0.05) ? Buffer.concat([frame, Buffer.alloc(r.between(1, 12))]) : frame;
  }

  /** The IP packet: in one of fifteen a fragment, in one of twenty with options or extension headers. */
  #wrap(r: Random, src: string, dst: string, l4: Layer4): Layer3 {
    const part = r.chance(0.07) ? { offset: r.pick([0, 0, 8, 64]), id: r.pick([7, 8, 9]) } : undefined;
    const hasMore = r.chance(0.05);
    if (!isV6(src)) {
      const options = hasMore ? { options: Buffer.alloc(4 * r.between(1, 10), 1) } : {};
      const fragment = part ? { ...part, mf: part.offset === 0 || r.chance(0.5) } : {};
      return ipv4({ src, dst, tos: r.below(256), ...fragment, ...options }, l4);
    }
    const extensions: Extension[] = hasMore
      ? [r.chance(0.3) ? authentication(2) : extension(r.pick([0, 43, 60, 135] as const), r.between(1, 2))]
      : [];
    if (part) extensions.push(fragmentHeader(part.offset, part.offset === 0 || r.chance(0.5), part.id));
    return ipv6({ src, dst, extensions }, l4);
  }

  #error(r: Random, flow: Flow): Shot {
    const { bytes, from } = flow.last as { bytes: Buffer; from: Side };
    const { outside, inside } = this.#sides;
    // from a router on the way, or from the receiver itself; seldom from the wrong side
    const sender = r.chance(0.9) ? OTHER[from] : from;
    const isOf = (one: string) => isV6(one) === flow.v6;
    const [own, peer] = from === flow.initiator ? [flow.own, flow.peer] : [flow.peer, flow.own];
    const src = r.chance(0.5) ? peer : r.pick((sender === 'outside' ? outside : inside).filter(isOf));
    const quoted = r.chance(0.15) ? bytes.subarray(0, r.between(20, bytes.length)) : bytes;
    const type = r.pick<number>(ERRORS[flow.v6 ? 6 : 4]);
    const error = icmpError(type, r.below(5), quoted, r.below(1500));
    return { frame: this.#frame(r, this.#wrap(r, src, own, error)), from: sender };
  }

  #say(r: Random, flow: Flow): Said {
    if (flow.protocol === 6) return this.#tcp(r, flow);
    if (flow.protocol === 132) return this.#sctp(r, flow);
    const { v6, sport, dport, protocol } = flow;
    const byInitiator = flow.stage++ === 0 || r.chance(0.5);
    const [from, to] = byInitiator ? [sport, dport] : [dport, sport];
    const payload = r.pick([0, 1, 20, 21]);
    if (protocol === 17) {
      return {
        byInitiator,
        l4: udp({ sport: from, dport: to, payload, ...(r.chance(0.1) ? { checksum: 0 } : {}) }),
      };
    }
    if (protocol !== 1 && protocol !== 58) return { byInitiator, l4: raw(protocol, payload + 8) };
    const family = v6 ? { v6: true } : {};
    if (r.chance(0.15)) {
      const type = r.pick(v6 ? [130, 139, 140, 135] : [13, 14, 17, 9]);
      return { byInitiator, l4: icmp({ type, code: r.below(2), rest: r.word(), ...family }) };
    }
    const reply = r.chance(0.05) ? byInitiator : !byInitiator;
    return { byInitiator, l4: echo({ id: sport, sequence: flow.stage, reply, payload, ...family }) };
  }

  /** SYN, SYN-ACK, ACK, data, FIN from both, and again; or something else. */
  #tcp(r: Random, flow: Flow): Said {
    const segment = (byInitiator: boolean, flags: string, payload = 0): Said => {
      const [sport, dport] = byInitiator ? [flow.sport, flow.dport] : [flow.dport, flow.sport];
      const [seq, ack] = byInitiator ? [flow.own32, flow.peer32] : [flow.peer32, flow.own32];
      const options = flags.includes('S') && r.chance(0.5) ? { options: Buffer.from([2, 4, 5, 180]) } : {};
      const confirms = flags.includes('A') ? { ack } : {};
      return { byInitiator, l4: tcp({ sport, dport, seq, flags, payload, ...confirms, ...options }) };
    };
    if (r.chance(0.12)) {
      const off = r.pick([0, 0, 1, -1, 1000]);
      flow.own32 = (flow.own32 + off) >>> 0;
      return segment(r.chance(0.5), r.pick(STRAY_FLAGS), r.pick([0, 0, 7]));
    }
    const step = flow.stage;
    flow.stage = step >= 12 && r.chance(0.7) ? 0 : step + 1;
    if (step === 0) return segment(true, r.chance(0.1) ? 'A' : r.chance(0.1) ? 'SEC' : 'S');
    if (step === 1) {
      flow.own32 = (flow.own32 + 1) >>> 0;
      return segment(false, 'SA');
    }
    if (step === 2) {
      if (r.chance(0.2)) return this.#guess(r, flow);
      flow.peer32 = (flow.peer32 + 1) >>> 0;
      return segment(true, 'A');
    }
    if (step === 10) return segment(r.chance(0.5), r.chance(0.3) ? 'RA' : 'FA');
    if (step === 11) return segment(r.chance(0.5), r.chance(0.3) ? 'R' : 'FA');
    return segment(r.chance(0.5), r.chance(0.5) ? 'A' : 'PA', r.pick([0, 1, 30]));
  }

  /** In place of the ACK of a SYN-ACK, one that has not read it: it comes from somebody else. */
  #guess(r: Random, flow: Flow): Said {
    const { sport, dport, own32, peer32 } = flow;
    flow.stage = 2;
    const ack = (peer32 + r.pick([0, 2, 1000, -1000])) >>> 0;
    return {
      byInitiator: true,
      l4: tcp({ sport, dport, seq: own32, ack, flags: r.pick(['A', 'PA', 'FA']) }),
    };
  }

  /** INIT, INIT ACK, COOKIE ECHO, DATA. */
  #sctp(r: Random, flow: Flow): Said {
    const chunk = (byInitiator: boolean, type: number, tag: number, init = 0): Said => {
      const [sport, dport] = byInitiator ? [flow.sport, flow.dport] : [flow.dport, flow.sport];
      const value = Buffer.alloc(16);
      value.writeUInt32BE(init >>> 0, 0);
      const chunks = r.chance(0.03) ? [] : [sctpChunk(type, value)];
      return { byInitiator, l4: sctp({ sport, dport, tag, chunks }) };
    };
    if (r.chance(0.1)) return chunk(r.chance(0.5), r.pick([0, 1, 2, 6, 7, 10]), r.word(), r.word());
    const step = flow.stage;
    flow.stage = step >= 8 && r.chance(0.3) ? 0 : step + 1;
    if (step === 0) return chunk(true, r.chance(0.1) ? 0 : 1, 0, flow.own32);
    if (step === 1) return chunk(false, 2, flow.own32, flow.peer32);
    if (step === 2) return chunk(true, 10, flow.peer32);
    const byInitiator = r.chance(0.5);
    return chunk(byInitiator, step === 8 ? r.pick([6, 7]) : 0, byInitiator ? flow.peer32 : flow.own32);
  }
}

/** Bytes changed, or an end cut off: what BPF_PROG_TEST_RUN still takes. */
function damaged(r: Random, frame: Buffer): Buffer {
  const least = frame.readUInt16BE(12) === 0x86dd ? 54 : 34;
  if (r.chance(0.3) && frame.length > least) return frame.subarray(0, r.between(least, frame.length));
  const copy = Buffer.from(frame);
  const at = r.between(14, Math.min(frame.length, 80) - 1);
  copy[at] = (copy[at] ?? 0) ^ (1 << r.below(8));
  return copy;
}
