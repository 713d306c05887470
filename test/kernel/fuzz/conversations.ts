// SPDX-License-Identifier: Apache-2.0

/**
 * Frames that belong together: connections that begin, talk and end, datagrams in fragments, echo and its replies, and ICMP
 * errors that quote what was sent. {@link randomFrame} makes the rubbish between them.
 */
import { isV6 } from '../support/bytes.ts';
import { echo, ethernet, fragments, icmpError, ip, type Layer4, sctp, tcp, udp } from '../support/packet.ts';
import { randomFrame, type World } from './packets.ts';
import type { Random } from './random.ts';

type Kind = 'tcp' | 'udp' | 'sctp' | 'echo';

interface Flow {
  readonly kind: Kind;
  readonly ends: readonly [End, End];
  readonly id: number;
  /** How many packets it has sent. */
  step: number;
  /** The last packet, from its IP header on, and who sent it. */
  last: { packet: Buffer; from: 0 | 1 } | undefined;
}

interface End {
  readonly address: string;
  readonly port: number;
}

const MOST_FLOWS = 12;
/** Who sends what in a connection; data goes on from the fourth packet until the connection is to end. */
const OPENING = [
  [0, 'S'],
  [1, 'SA'],
  [0, 'A'],
] as const;
const TALK = [
  [0, 'PA'],
  [1, 'PA'],
  [1, 'A'],
  [0, 'FA'],
  [1, 'FA'],
  [1, 'RA'],
] as const;
/** Destination unreachable, time exceeded and, for IPv6, packet too big. */
const ERRORS = { 4: [3, 11], 6: [1, 2, 3] } as const;

/** A generator of frames with a memory. */
export class Conversations {
  readonly #world: World;
  readonly #flows: Flow[] = [];
  /** Fragments that follow those already sent. */
  readonly #parts: Buffer[] = [];
  #datagrams = 0;

  constructor(world: World) {
    this.#world = world;
  }

  next(r: Random): Buffer {
    if (this.#parts.length > 0 && r.chance(0.5)) return this.#parts.shift() as Buffer;
    if (r.chance(0.5)) return randomFrame(r, this.#world);
    if (this.#flows.length === 0 || r.chance(0.06)) this.#open(r);
    const flow = r.pick(this.#flows);
    const choice = r.below(10);
    if (choice === 0 && flow.last) return this.#error(r, flow, flow.last);
    if (choice <= 2) return this.#fragmented(r, flow);
    return this.#packet(r, flow);
  }

  #open(r: Random): void {
    const v6 = r.chance(0.5);
    const pool = this.#world.addresses.filter((address) => isV6(address) === v6);
    const end = (): End => ({ address: r.pick(pool), port: r.pick(this.#world.ports) });
    this.#flows.push({
      kind: r.pick(['tcp', 'tcp', 'udp', 'udp', 'sctp', 'echo'] as const),
      ends: [end(), end()],
      id: r.below(0x10000),
      step: 0,
      last: undefined,
    });
    if (this.#flows.length > MOST_FLOWS) this.#flows.shift();
  }

  /** The next packet of a flow, and who sends it. */
  #content(r: Random, flow: Flow, payload: number): { from: 0 | 1; content: Layer4 } {
    const { kind, ends, id } = flow;
    const step = flow.step++;
    const [from, flags] = OPENING[step] ?? r.pick(TALK);
    const ports = { sport: ends[from].port, dport: ends[from === 0 ? 1 : 0].port };
    switch (kind) {
      case 'tcp':
        return { from, content: tcp({ ...ports, flags, seq: step, ack: step, payload }) };
      case 'udp':
        return { from, content: udp({ ...ports, payload }) };
      case 'sctp':
        return { from, content: sctp({ ...ports, tag: id, chunks: [Buffer.alloc(payload & ~3)] }) };
      default:
        return {
          from,
          content: echo({ id, sequence: step, reply: from === 1, payload, v6: isV6(ends[0].address) }),
        };
    }
  }

  #addresses({ ends }: Flow, from: 0 | 1): { src: string; dst: string } {
    return { src: ends[from].address, dst: ends[from === 0 ? 1 : 0].address };
  }

  #packet(r: Random, flow: Flow): Buffer {
    const { from, content } = this.#content(r, flow, r.below(40));
    const packet = ip(this.#addresses(flow, from), content);
    flow.last = { packet: packet.bytes, from };
    return ethernet({ src: r.pick(this.#world.macs), dst: r.pick(this.#world.macs) }, packet);
  }

  /** The first part; the others come later, not always in their order, and not always all of them. */
  #fragmented(r: Random, flow: Flow): Buffer {
    const { from, content } = this.#content(r, flow, r.between(100, 200));
    const id = 0x1000 + (this.#datagrams++ % 64);
    const parts = fragments(this.#addresses(flow, from), content, 8 * r.between(4, 8), id);
    if (r.chance(0.2)) parts.reverse();
    if (r.chance(0.2)) parts.splice(r.below(parts.length), 1);
    const [first, ...rest] = parts as [Buffer, ...Buffer[]];
    this.#parts.push(...rest);
    return first;
  }

  /** From the receiver, or from a router on the way, to the sender; often cut behind eight bytes of the quoted content. */
  #error(r: Random, flow: Flow, { packet, from }: NonNullable<Flow['last']>): Buffer {
    const { src, dst } = this.#addresses(flow, from);
    const v6 = isV6(src);
    const routers = this.#world.addresses.filter((address) => isV6(address) === v6);
    const quoted = r.chance(0.5) ? packet.subarray(0, (v6 ? 40 : 20) + 8) : packet;
    const error = icmpError(r.pick(ERRORS[v6 ? 6 : 4]), r.below(4), quoted);
    return ethernet({}, ip({ src: r.chance(0.5) ? dst : r.pick(routers), dst: src }, error));
  }
}
