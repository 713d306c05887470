// SPDX-License-Identifier: Apache-2.0

/**
 * What a router does with a frame, written from the RFCs and from the descriptions in its schema: RFC 791, 826, 1122, 1191,
 * 1812, 2644, 4291, 4443, 4861, 5227, 6890, 7600, 8200. It shares no code with src/cubes/router or bpf/router.
 */
import { checksum, GATEWAY_MAC, macBytes, onesSum, pseudoHeader } from '../support/bytes.ts';
import { echoReply, isEchoRequest, updated } from './echo-model.ts';
import { FlowModel, keyOf, reversed, type Tuple } from './flow-model.ts';
import {
  answerToArp,
  answerToSolicitation,
  header4,
  header6,
  type Neighbour,
  textOf,
} from './neighbour-model.ts';
import { type Address, isMapped, MAPPED, type Parsed, ParseModel } from './parse-model.ts';

export interface ModelRoute {
  /** Mapped; `length` of 128 bits. */
  readonly prefix: Address;
  readonly length: number;
  readonly v6: boolean;
  readonly kind: 'Port' | 'NextHop' | 'Tunnel' | 'Blackhole' | 'Unreachable' | 'Return';
  readonly port: number;
  readonly mtu: number;
  /** Next hop, or the other end of the tunnel. */
  readonly gateway?: Address;
  readonly connected: boolean;
}

export interface ModelRouter {
  readonly routes: readonly ModelRoute[];
  /** Own addresses: on which port, and which port gets what is for the host that shares the address. */
  readonly own: ReadonlyMap<Address, { readonly port: number; readonly delivery?: number }>;
  /** Source of errors about packets of a port, by family. */
  readonly sources: ReadonlyMap<number, { readonly v4?: Address; readonly v6?: Address }>;
}

export type Outcome =
  /** Left to the host, as it was. */
  | { readonly kind: 'pass' }
  | { readonly kind: 'drop'; readonly drop: string; readonly counts: readonly string[] }
  | {
      readonly kind: 'output';
      readonly port: number;
      readonly frame: Buffer;
      readonly nextHop?: Address;
      readonly tunnel?: Address;
      /** That it was sent by. Without one the frame has its MACs: it goes to where it came from. */
      readonly route?: ModelRoute;
      readonly drop?: string;
      readonly counts: readonly string[];
    };

/** What the agent wants of a packet that has waited for the MAC of its next hop. */
export type Resumed = 'send' | 'unreachable' | 'discard';

export interface Arrival {
  readonly frame: Buffer;
  readonly port: number;
  /** On an Interface endpoint, as the first cube: the host has what is not the router's. */
  readonly shared: boolean;
  /** The device's own MAC is all zeros in these tests. */
  readonly deviceMac: string;
  /** That it came by a tunnel, and from which node. Whose address it has to have then, in these tests. */
  readonly remote?: Address;
}

const NO_HOST_V4 = (top: number): boolean => top === 0 || top === 127 || top >= 224;

function isNoHost(address: Address): boolean {
  if (isMapped(address)) return NO_HOST_V4(Number((address >> 24n) & 0xffn));
  return address <= 1n || address >> 120n === 0xffn;
}

const isLinkLocal = (address: Address): boolean => address >> 118n === 0x3fan;

/** Control traffic of one link: 224.0.0.0/24, and IPv6 groups of interface and link scope (RFC 4291 2.7). */
function isLinkGroup(address: Address): boolean {
  if (isMapped(address)) return (address & 0xffffff00n) === 0xe0000000n;
  return ((address >> 112n) & 0xfn) <= 2n;
}

/** Loose and strict source route; a list of options that contradicts itself counts as one (RFC 7126 4.3, 4.4). */
function hasSourceRoute(options: Buffer): boolean {
  for (let at = 0; at < options.length; ) {
    const type = options.readUInt8(at);
    if (type === 0) return false;
    if (type === 131 || type === 137) return true;
    // any other has a length, and room for it
    const size = type === 1 ? 1 : (options[at + 1] ?? 0);
    if (type !== 1 && size < 2) return true;
    at += size;
  }
  return false;
}

export class RouterModel {
  readonly parser = new ParseModel();
  readonly #flows = new FlowModel(this.parser);
  /** What the answers to nodes look like that have asked by their tunnel from their own address. */
  readonly returns = new Map<string, Tuple>();
  config: ModelRouter;

  constructor(config: ModelRouter) {
    this.config = config;
  }

  decide(arrival: Arrival, actual: Buffer): Outcome {
    const parsed = this.parser.parse(arrival.frame);
    if (!parsed.ok) return { kind: 'drop', drop: `entry ${parsed.reason}`, counts: [] };
    const { packet } = parsed;
    const flow = this.#flowOf(arrival.frame, packet);
    if (arrival.remote !== undefined && (packet.kind !== 'ip' || packet.src !== arrival.remote))
      return { kind: 'drop', drop: 'entry SpoofedOverlaySource', counts: [] };
    return new Decision(this.config, arrival, packet, actual, flow).outcome();
  }

  /** A packet that comes back from the agent; or one on its way out whose next hop does not answer, as 'unreachable'. */
  resume(arrival: Arrival, how: Resumed, actual: Buffer): Outcome {
    const parsed = this.parser.parse(arrival.frame);
    if (!parsed.ok) return { kind: 'drop', drop: `entry ${parsed.reason}`, counts: [] };
    const flow = this.#flowOf(arrival.frame, parsed.packet);
    return new Decision(this.config, arrival, parsed.packet, actual, flow).resumed(how);
  }

  #flowOf(frame: Buffer, packet: Parsed): Flow {
    const { src, dst, protocol } = packet;
    const whole = packet.kind === 'ip' ? this.#flows.tuple(frame, packet) : undefined;
    return {
      tuple: whole ?? { src, dst, sport: 0, dport: 0, protocol },
      isWhole: whole !== undefined,
      returns: this.returns,
    };
  }
}

/** What a packet is part of. */
interface Flow {
  readonly tuple: Tuple;
  /** False for a later fragment without its first one: the ports are none. */
  readonly isWhole: boolean;
  readonly returns: Map<string, Tuple>;
}

class Decision {
  readonly #config: ModelRouter;
  readonly #arrival: Arrival;
  readonly #packet: Parsed;
  /** What the kernel made of it: for values that the rules leave open. */
  readonly #actual: Buffer;
  readonly #flow: Flow;
  /** Without a priority tag. */
  #frame: Buffer;
  #shift = 0;

  constructor(config: ModelRouter, arrival: Arrival, packet: Parsed, actual: Buffer, flow: Flow) {
    this.#config = config;
    this.#arrival = arrival;
    this.#packet = packet;
    this.#actual = actual;
    this.#flow = flow;
    this.#frame = Buffer.from(arrival.frame);
  }

  outcome(): Outcome {
    const { kind, vlan, isNeighbourDiscovery, isMulticast, dst, src, v6 } = this.#packet;
    if (kind === 'other') return this.#pass();
    const owns = (address: Address) => this.#config.own.get(address)?.port === this.#arrival.port;
    if (kind === 'arp') return this.#neighbour(answerToArp(this.#frame, this.#packet, owns));
    if (vlan !== undefined) {
      if (vlan !== 0) return this.#drop('Unsupported');
      this.#frame = Buffer.concat([this.#frame.subarray(0, 12), this.#frame.subarray(16)]);
      this.#shift = 4;
    }
    if (isNeighbourDiscovery) {
      return this.#neighbour(answerToSolicitation(this.#frame, this.#packet, this.#shift, owns));
    }
    if (isMulticast) {
      return isLinkGroup(dst) || this.#arrival.shared ? this.#pass() : this.#drop('NotForwardable');
    }
    if (!this.#isForRouter()) return this.#arrival.shared ? this.#pass() : this.#drop('NotForRouter');
    if (isNoHost(src) || (v6 && isLinkLocal(src))) return this.#drop('InvalidSource');
    const impostor = this.#config.own.get(src);
    if (impostor && impostor.delivery !== this.#arrival.port) return this.#drop('InvalidSource');
    if (!v6 && this.#packet.hasOptions && this.#hasSourceRoute()) return this.#drop('Unsupported');
    const own = this.#config.own.get(dst);
    if (own) return this.#local(own.delivery);
    if (isNoHost(dst) || (v6 && isLinkLocal(dst))) return this.#drop('NotForwardable');
    return this.#forward();
  }

  resumed(how: Resumed): Outcome {
    const { src, dst } = this.#packet;
    const own = this.#config.own.get(src);
    /** Made by the router itself: nobody is told of its end, and no MTU holds it up. */
    const isAnswer = own !== undefined && own.delivery !== this.#arrival.port;
    if (how === 'discard') return this.#drop('NeighbourQueueFull');
    if (how === 'unreachable') {
      if (isAnswer) return this.#drop('NeighbourUnreachable');
      return this.#refuse('NeighbourUnreachable', [3, 1], [1, 3]);
    }
    if (isAnswer)
      return { kind: 'output', frame: this.#frame, counts: [], ...this.#backTo(dst, this.#flow.tuple) };
    const route = this.#way();
    return 'prefix' in route ? { kind: 'output', frame: this.#frame, counts: [], ...sentBy(route) } : route;
  }

  get #l3(): number {
    return this.#packet.l3 - this.#shift;
  }

  get #l4(): number {
    return this.#packet.l4 - this.#shift;
  }

  #length(): number {
    return this.#packet.length || this.#frame.length - this.#l3;
  }

  #drop(reason: string, counts: readonly string[] = []): Outcome {
    return { kind: 'drop', drop: `router ${reason}`, counts };
  }

  #pass(): Outcome {
    return this.#arrival.shared ? { kind: 'pass' } : this.#drop('LinkLocalControl');
  }

  #isForRouter(): boolean {
    const dst = this.#frame.subarray(0, 6);
    return dst.equals(macBytes(this.#arrival.deviceMac)) || dst.equals(macBytes(GATEWAY_MAC));
  }

  #hasSourceRoute(): boolean {
    const options = this.#frame.subarray(this.#l3 + 20, this.#l4);
    return this.#l4 > this.#frame.length || hasSourceRoute(options);
  }

  #neighbour(found: Neighbour): Outcome {
    if (found.kind === 'foreign') return this.#pass();
    if (found.kind === 'invalid') return this.#drop('ArpInvalid');
    return { kind: 'output', port: this.#arrival.port, frame: found.frame, counts: ['arpReplies'] };
  }

  /** The longest prefix that holds the address; that of another node's address counts for answers to it alone. */
  #route(dst: Address, isAnswer: boolean): ModelRoute | undefined {
    let best: ModelRoute | undefined;
    for (const route of this.#config.routes) {
      if (route.kind === 'Return' && !isAnswer) continue;
      if (route.v6 === isMapped(dst) || route.length <= (best?.length ?? -1)) continue;
      const rest = BigInt(128 - route.length);
      if (dst >> rest === route.prefix >> rest) best = route;
    }
    return best;
  }

  #forward(): Outcome {
    const { ttl, v6 } = this.#packet;
    if (ttl <= 1) return this.#refuse('TtlExpired', [11, 0], [3, 0]);
    const route = this.#way();
    if (!('prefix' in route)) return route;
    const frame = Buffer.from(this.#frame);
    if (v6) {
      frame[this.#l3 + 7] = ttl - 1;
    } else {
      const at = this.#l3 + 8;
      const before = frame.readUInt16BE(at);
      frame[at] = ttl - 1;
      frame.writeUInt16BE(
        updated(frame.readUInt16BE(this.#l3 + 10), before, frame.readUInt16BE(at)),
        this.#l3 + 10,
      );
    }
    if (this.#arrival.remote !== undefined) this.#note();
    const counts =
      route.kind === 'Tunnel' || route.kind === 'Return' ? ['forwarded', 'tunnelled'] : ['forwarded'];
    return { kind: 'output', frame, counts, ...sentBy(route) };
  }

  /** Another node has asked from its own address. What it quotes in an error is no question. */
  #note(): void {
    const { tuple, isWhole, returns } = this.#flow;
    if (this.#packet.isError || !isWhole) return;
    const answer = reversed(tuple);
    returns.set(keyOf(answer), answer);
  }

  #isReturn(tuple: Tuple): boolean {
    return this.#flow.returns.has(keyOf(tuple));
  }

  /** The route that the packet may go by, or why there is none. */
  #way(): ModelRoute | Outcome {
    const { dst, v6 } = this.#packet;
    const route = this.#route(dst, this.#isReturn(this.#flow.tuple));
    if (!route) return this.#refuse('NoRoute', [3, 0], [1, 0]);
    if (route.kind === 'Blackhole') return this.#drop('Blackhole');
    if (route.kind === 'Unreachable') return this.#refuse('Unreachable', [3, 1], [1, 3]);
    const host = (1n << BigInt(128 - route.length)) - 1n;
    if (route.connected && !v6 && host > 1n && (dst & host) === host) return this.#drop('NotForwardable');
    if (this.#frame.length - 14 > route.mtu && this.#length() > route.mtu) {
      return this.#refuse('PacketTooBig', [3, 4], [2, 0], route.mtu);
    }
    return route;
  }

  /** A packet for an own address: echo is answered, the rest is for the host that shares the address, if there is one. */
  #local(delivery: number | undefined): Outcome {
    const { protocol, v6, hasOptions, hasPorts, isError, dst } = this.#packet;
    if (isEchoRequest(this.#packet) && this.#mayAnswer()) return this.#echo();
    if (delivery !== undefined && delivery !== this.#arrival.port) {
      return { kind: 'output', port: delivery, frame: this.#frame, nextHop: 0n, counts: [] };
    }
    if (hasPorts && !isError) return this.#refuse('LocalDelivery', [3, 3], [1, 4], 0, dst);
    const silent = protocol === 1 || protocol === 58 || (v6 && hasOptions);
    if (silent) return this.#drop('LocalDelivery');
    return this.#refuse('LocalDelivery', [3, 2], [4, 1], v6 ? 6 : 0, dst);
  }

  /** RFC 1122 3.2.2, RFC 4443 2.4(e): one host, spoken to alone, and nothing that could go round in circles. */
  #mayAnswer(): boolean {
    return this.#packet.fragment !== 'later' && !isNoHost(this.#packet.src);
  }

  #echo(): Outcome {
    const frame = echoReply(this.#frame, { ...this.#packet, l3: this.#l3, l4: this.#l4 });
    return { kind: 'output', frame, counts: ['echoReplies'], ...this.#backTo(this.#packet.src) };
  }

  /** What we make ourselves is routed like the rest; without a route it goes back to where its cause came from. */
  #backTo(
    dst: Address,
    tuple = reversed(this.#flow.tuple),
  ): { port: number; nextHop?: Address; tunnel?: Address; route?: ModelRoute } {
    const own = this.#config.own.get(dst);
    if (own) return { port: own.delivery ?? this.#arrival.port };
    const route = this.#route(dst, this.#arrival.remote !== undefined || this.#isReturn(tuple));
    if (!route || route.kind === 'Blackhole' || route.kind === 'Unreachable')
      return { port: this.#arrival.port };
    return sentBy(route);
  }

  /** Drops and tells the sender why, where that is allowed. */
  #refuse(
    reason: string,
    error4: readonly [number, number],
    error6: readonly [number, number],
    info = 0,
    from?: Address,
  ): Outcome {
    const { src, v6, protocol, isError, isEcho } = this.#packet;
    const sources = this.#config.sources.get(this.#arrival.port);
    // RFC 7600 4.8: a router without an IPv4 address has 192.0.0.8 to speak from
    const source = from ?? (v6 ? sources?.v6 : (sources?.v4 ?? MAPPED | 0xc0000008n));
    const quoted = this.#quoted();
    const silent =
      source === undefined ||
      !this.#mayAnswer() ||
      isError ||
      ((protocol === 1 || protocol === 58) && !isEcho) ||
      quoted === undefined;
    if (silent) return this.#drop(reason, ['icmpSuppressed']);
    const [type, code] = v6 ? error6 : error4;
    const body = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted]);
    body.writeUInt32BE(info, 4);
    const pseudo = v6 ? pseudoHeader(textOf(source), textOf(src), 58, body.length) : Buffer.alloc(0);
    body.writeUInt16BE(checksum(pseudo, body), 2);
    const header = v6
      ? header6(58, body.length, 64, source, src)
      : header4(body.length, 1, 0xc0, source, src);
    const frame = Buffer.concat([
      this.#frame.subarray(6, 12),
      this.#frame.subarray(0, 6),
      this.#frame.subarray(12, 14),
      header,
      body,
    ]);
    return { kind: 'output', frame, drop: `router ${reason}`, counts: ['icmpErrors'], ...this.#backTo(src) };
  }

  /**
   * The IP header and as much of what follows as docs/cube-abi.md says. The quoted L4 checksum may be any that an
   * offloading card's sum would write again; which, the program decides, and here it is only checked.
   */
  #quoted(): Buffer | undefined {
    const header = this.#frame.subarray(this.#l3, this.#l4);
    if (this.#l4 - this.#l3 > 104 || this.#l4 > this.#frame.length) return undefined;
    const { protocol } = this.#packet;
    const most = protocol === 6 ? 20 : 8;
    const length = Math.max(0, Math.min(this.#length() - header.length, most));
    if (this.#l4 + length > this.#frame.length) return undefined;
    const l4 = Buffer.from(this.#frame.subarray(this.#l4, this.#l4 + length));
    const field = protocol === 6 && length === 20 ? 16 : protocol === 17 && length === 8 ? 6 : undefined;
    if (field !== undefined && l4.readUInt16BE(field) !== 0) {
      const at = 14 + (this.#packet.v6 ? 40 : 20) + 8 + header.length + field;
      const written = at + 2 <= this.#actual.length ? this.#actual.readUInt16BE(at) : 0;
      l4.writeUInt16BE(0, field);
      const total = onesSum(l4) + 2 * written;
      if (total % 0xffff === 0) l4.writeUInt16BE(written, field);
    }
    return Buffer.concat([header, l4]);
  }
}

function sentBy(route: ModelRoute): { port: number; nextHop?: Address; tunnel?: Address; route: ModelRoute } {
  if (route.kind === 'Tunnel' || route.kind === 'Return')
    return { port: route.port, tunnel: route.gateway ?? 0n, route };
  return { port: route.port, nextHop: route.gateway ?? 0n, route };
}
