// SPDX-License-Identifier: Apache-2.0

/**
 * What a NAT does with a frame, written from RFC 4787, 5382, 5508, 9293 and 9260, from the descriptions in its schema, from
 * docs/cube-abi.md and docs/adr/0018-nat-claims-in-a-hash.md. It shares no code with src/cubes/nat or bpf/nat.
 *
 * A NAT has a choice of the outside address of a client and of the port of a session. The model looks at what the kernel chose,
 * says whether it was free to, and follows it.
 */
import { checksum, onesSum, pseudoHeader } from '../support/bytes.ts';
import { echoReply, isEchoRequest } from './echo-model.ts';
import {
  type HalfKey,
  keyOf,
  type RawAddress,
  reversed,
  type SessionsModel,
  type Signal,
  type Tuple,
} from './nat-sessions-model.ts';
import {
  answerToArp,
  answerToSolicitation,
  header4,
  header6,
  type Neighbour,
  textOf,
} from './neighbour-model.ts';
import { type Address, addressOf, isMapped, type Parsed, ParseModel } from './parse-model.ts';
import { rewritten } from './rewrite-model.ts';

export const OUTSIDE = 0;
export const INSIDE = 1;

/** Mapped; `length` of 128 bits. */
export interface ModelPrefix {
  readonly prefix: Address;
  readonly length: number;
  readonly v6: boolean;
}

export interface ModelSourceRule {
  readonly excludes: boolean;
  /** Empty: all, of the families of the pool. */
  readonly sources: readonly ModelPrefix[];
  readonly destinations: readonly ModelPrefix[];
  readonly protocols: readonly number[];
  readonly pool: readonly RawAddress[];
}

export interface ModelForwardRule {
  readonly destinations: readonly ModelPrefix[];
  readonly sources: readonly ModelPrefix[];
  readonly protocols: readonly number[];
  readonly ports?: readonly [first: number, last: number];
  readonly target: RawAddress;
  readonly targetPort?: number;
}

export interface ModelNat {
  readonly own: ReadonlySet<RawAddress>;
  readonly sourceRules: readonly ModelSourceRule[];
  readonly forwardRules: readonly ModelForwardRule[];
  readonly exclusions: readonly ModelPrefix[];
  readonly portRange: readonly [first: number, last: number];
  /** Of a discriminator: the host has the outside addresses, too. */
  readonly host?: {
    readonly addresses: ReadonlySet<RawAddress>;
    /** `address port protocol` */
    readonly services: ReadonlySet<string>;
    readonly inside: readonly ModelPrefix[];
  };
}

export type Outcome =
  /** Left to the host, as it was. */
  | { readonly kind: 'pass' }
  | { readonly kind: 'drop' }
  | {
      readonly kind: 'output';
      readonly port: number;
      readonly frame: Buffer;
      /** Of a translated packet: how it has left, and what it was. */
      readonly tuple?: Tuple;
      readonly packet?: Parsed;
    };

export interface Arrival {
  readonly frame: Buffer;
  readonly port: number;
  /** On an Interface endpoint: the host has what is not the NAT's. */
  readonly shared: boolean;
  /** The frame is not for this machine alone. */
  readonly others: boolean;
}

/** What the kernel made of it. */
export interface Actual {
  readonly frame: Buffer;
  readonly out: boolean;
}

/** What the model cannot know, but judge. */
export interface Judge {
  /** The source that the kernel gave a new session, if it made one. */
  chosen(key: HalfKey): { readonly src: RawAddress; readonly sport: number } | undefined;
  /** How many ports the kernel found in use for this packet. */
  conflicts(): number;
  /** Whether a source that is refused just now may still get this RST. */
  mayReject(prefix: string, sent: boolean): boolean;
  count(counter: string): void;
  drop(reason: string): void;
  /** What no NAT may do. */
  complain(what: string): void;
}

/** Ports that are tried for a session, and how many of them at other addresses than the client's own. */
const TRIES = 32;
const ELSEWHERE = 8;

const WITH_PORTS = new Set([6, 17, 132]);
/** Their checksums cover the addresses, and may not be all there, or do so by intent: DCCP, AH, UDP-Lite. */
const WITHOUT_TRANSLATION = new Set([33, 51, 136]);
const SCTP = 132;
const MAPPED = `${'\0'.repeat(10)}\xff\xff`;

export const isV6Raw = (address: RawAddress): boolean => !address.startsWith(MAPPED);
export const rawOf = (bytes: Buffer): RawAddress =>
  bytes.length === 4 ? MAPPED + bytes.toString('latin1') : bytes.toString('latin1');
const wireOf = (address: RawAddress): Buffer =>
  Buffer.from(isV6Raw(address) ? address : address.slice(12), 'latin1');

function isIn(address: RawAddress, { prefix, length, v6 }: ModelPrefix): boolean {
  if (isV6Raw(address) !== v6) return false;
  const rest = BigInt(128 - length);
  return addressOf(Buffer.from(address, 'latin1')) >> rest === prefix >> rest;
}

const isInAny = (address: RawAddress, prefixes: readonly ModelPrefix[]): boolean =>
  prefixes.some((prefix) => isIn(address, prefix));

const isLinkLocal = (address: Address): boolean => address >> 118n === 0x3fan;

export class NatModel {
  readonly parser = new ParseModel();
  readonly sessions: SessionsModel;
  config: ModelNat;
  readonly #judge: Judge;
  /** Ports of first fragments. */
  readonly #datagrams = new Map<string, { sport: number; dport: number }>();
  /** The outside address that a client has got from a pool. */
  readonly #addresses = new Map<string, RawAddress>();

  constructor(config: ModelNat, sessions: SessionsModel, judge: Judge) {
    this.config = config;
    this.sessions = sessions;
    this.#judge = judge;
  }

  decide(arrival: Arrival, actual: Actual): Outcome {
    const parsed = this.parser.parse(arrival.frame);
    if (!parsed.ok) {
      this.#judge.drop(`entry ${parsed.reason}`);
      return { kind: 'drop' };
    }
    const { packet } = parsed;
    const { frame, port, shared } = arrival;
    const owns = (address: Address) =>
      this.config.own.has(rawOfAddress(address)) && !(this.config.host && shared);
    if (port === OUTSIDE && packet.vlan === undefined) {
      if (packet.kind === 'arp') return this.#neighbour(answerToArp(frame, packet, owns), arrival);
      if (packet.isNeighbourDiscovery)
        return this.#neighbour(answerToSolicitation(frame, packet, 0, owns), arrival);
    }
    const isLinkTraffic =
      packet.isNeighbourDiscovery || packet.isMulticast || isLinkLocal(packet.src) || isLinkLocal(packet.dst);
    if (packet.kind !== 'ip' || isLinkTraffic) return shared ? { kind: 'pass' } : this.#cross(arrival);
    return this.#packet(arrival, packet, actual);
  }

  #drop(reason: string): Outcome {
    this.#judge.drop(`nat ${reason}`);
    return { kind: 'drop' };
  }

  #cross({ frame, port }: Arrival, counter = 'passed'): Outcome {
    this.#judge.count(counter);
    return { kind: 'output', port: port === INSIDE ? OUTSIDE : INSIDE, frame };
  }

  /** To the host, where it shares the interface. */
  #leave({ shared }: Arrival): Outcome {
    this.#judge.count('host');
    return shared ? { kind: 'pass' } : this.#drop('LinkLocalControl');
  }

  #neighbour(found: Neighbour, arrival: Arrival): Outcome {
    if (found.kind === 'invalid') return this.#drop('NeighbourInvalid');
    if (found.kind === 'foreign') return arrival.shared ? { kind: 'pass' } : this.#cross(arrival);
    this.#judge.count('neighbourReplies');
    return { kind: 'output', port: arrival.port, frame: found.frame };
  }

  /** What sessions are kept by; of an error the packet that it quotes, turned around. */
  tupleOf(frame: Buffer, packet: Parsed): Tuple | undefined {
    const { quoted } = packet;
    const at = quoted ?? packet;
    const width = packet.v6 ? 16 : 4;
    const first = at.l3 + (packet.v6 ? 8 : 12);
    const src = rawOf(frame.subarray(first, first + width));
    const dst = rawOf(frame.subarray(first + width, first + 2 * width));
    const proto = at.protocol;
    if (quoted) {
      // it is the error that is in fragments, not what it quotes
      if (packet.fragment === 'first') this.#datagrams.set(packet.datagram ?? '', { sport: 0, dport: 0 });
      const ports = quoted.hasL4 ? portsAt(frame, quoted.l4, proto) : { sport: 0, dport: 0 };
      return reversed({ src, dst, proto, ...ports });
    }
    if (packet.fragment === 'later') {
      const ports = this.#datagrams.get(packet.datagram ?? '');
      return ports && { src, dst, proto, ...ports };
    }
    const ports = portsAt(frame, packet.l4, proto);
    if (packet.fragment === 'first') this.#datagrams.set(packet.datagram ?? '', ports);
    return { src, dst, proto, ...ports };
  }

  #packet(arrival: Arrival, packet: Parsed, actual: Actual): Outcome {
    const { frame, port, others } = arrival;
    const host = port === OUTSIDE ? this.config.host : undefined;
    const tuple = this.tupleOf(frame, packet);
    if (host && others) return this.#leave(arrival);
    if (!tuple && host?.addresses.has(rawOfAddress(packet.dst))) return this.#leave(arrival);
    if (!tuple) return this.#drop('FragmentWithoutFirst');
    const signal = signalOf(frame, packet, tuple.proto);
    if (!isTranslatable(packet, tuple.proto)) {
      return this.#withoutSession(arrival, packet, tuple, signal, actual);
    }
    const found = this.sessions.find(keyOf(tuple, port), signal);
    if (found.kind === 'conflict') return this.#drop('ReverseConflict');
    if (found.kind === 'none') return this.#withoutSession(arrival, packet, tuple, signal, actual);
    const { out, outPort, reply } = found.half;
    return this.#translate(arrival, packet, tuple, out, outPort, reply);
  }

  #translate(
    { frame, port }: Arrival,
    packet: Parsed,
    tuple: Tuple,
    out: Tuple,
    outPort: number,
    reply: boolean,
  ): Outcome {
    this.#judge.count(reply ? 'reverseTranslated' : 'translated');
    if (endsBeforeChecksum(frame, packet)) return this.#drop('RewriteFailed');
    let result = translated(frame, packet, tuple, out);
    if (packet.quoted && port === INSIDE && outPort === OUTSIDE)
      result = withSource(result, packet, wireOf(out.src));
    return { kind: 'output', port: outPort, frame: result, tuple: out, packet };
  }

  #withoutSession(arrival: Arrival, packet: Parsed, tuple: Tuple, signal: Signal, actual: Actual): Outcome {
    const { config } = this;
    const inside = arrival.port === INSIDE;
    // rules look at the packet itself, also at an error
    const seen = packet.quoted ? ownTupleOf(packet) : tuple;
    const peer = inside ? seen.dst : seen.src;
    const excluded = !config.own.has(peer) && isInAny(peer, config.exclusions);
    const host = inside ? undefined : config.host;
    if (excluded && !host) return this.#cross(arrival, 'excluded');
    const forward = excluded ? undefined : config.forwardRules.find((rule) => takesForward(rule, seen));
    const isEcho = !excluded && !packet.quoted && packet.isEcho && config.own.has(seen.dst);
    if (!forward && isEcho && !config.host?.addresses.has(seen.dst))
      return this.#echo(arrival, packet, actual);
    if (!forward && host) {
      const isService = host.services.has(`${tuple.dst} ${tuple.dport} ${tuple.proto}`);
      const isDirect = !isService && isInAny(seen.dst, host.inside);
      const isLie = host.addresses.has(seen.src) || isInAny(seen.src, host.inside);
      if (!isService && !isDirect) return this.#leave(arrival);
      if (isLie && (tuple.proto !== 6 || signal.opens)) return this.#drop('SpoofedSource');
      const opens = isDirect && !excluded && isTranslatable(packet, tuple.proto) && signal.opens;
      return opens ? this.#direct(arrival, packet, tuple) : this.#cross(arrival);
    }
    if (!forward && config.own.has(seen.dst)) {
      return this.#drop(packet.quoted ? 'NoSession' : 'NoMapping');
    }
    const source = forward || !inside ? undefined : config.sourceRules.find((rule) => takes(rule, seen));
    if (source?.excludes) return this.#cross(arrival, 'excluded');
    if (!forward && !source) return this.#cross(arrival);
    if (!isTranslatable(packet, tuple.proto)) return this.#drop('NotTranslatable');
    if (!signal.opens) return this.#refuse(arrival, packet, actual);
    if (forward) return this.#forward(arrival, packet, tuple, forward);
    const pool = (source?.pool ?? []).filter((address) => isV6Raw(address) === packet.v6);
    return this.#claim(arrival, packet, tuple, tuple, OUTSIDE, pool, 'PortsExhausted');
  }

  /** To an address of the inside itself: a session that changes nothing. */
  #direct(arrival: Arrival, packet: Parsed, tuple: Tuple): Outcome {
    if (!this.sessions.isFree(tuple, OUTSIDE, tuple, INSIDE)) return this.#drop('ReverseConflict');
    this.sessions.open(tuple, OUTSIDE, tuple, INSIDE);
    return this.#translate(arrival, packet, tuple, tuple, INSIDE, false);
  }

  #forward(
    arrival: Arrival,
    packet: Parsed,
    tuple: Tuple,
    { ports, target, targetPort }: ModelForwardRule,
  ): Outcome {
    const dport = ports && targetPort !== undefined ? targetPort + tuple.dport - ports[0] : tuple.dport;
    const to = { ...tuple, dst: target, dport };
    if (arrival.port === INSIDE) {
      const refusal = hasChoice(tuple) ? 'PortsExhausted' : 'ReverseConflict';
      return this.#claim(arrival, packet, tuple, to, INSIDE, [tuple.dst], refusal, 'hairpins');
    }
    if (this.sessions.isFree(tuple, OUTSIDE, to, INSIDE)) {
      this.sessions.open(tuple, OUTSIDE, to, INSIDE);
      return this.#translate(arrival, packet, tuple, to, INSIDE, false);
    }
    if (!hasChoice(tuple)) return this.#drop('ReverseConflict');
    return this.#claim(
      arrival,
      packet,
      tuple,
      to,
      INSIDE,
      [tuple.src],
      'ReverseConflict',
      'sourcePortChanged',
    );
  }

  /** A source of the pool; SCTP and protocols without ports keep what they have. */
  #claim(
    arrival: Arrival,
    packet: Parsed,
    tuple: Tuple,
    to: Tuple,
    outPort: number,
    pool: readonly RawAddress[],
    refusal: 'PortsExhausted' | 'ReverseConflict',
    counter?: string,
  ): Outcome {
    const free = (src: RawAddress, sport: number) =>
      this.sessions.isFree(tuple, arrival.port, { ...to, src, sport }, outPort);
    const name = `${tuple.src} ${pool.join()}`;
    const usual = pool.length === 1 ? pool[0] : this.#addresses.get(name);
    const conflicts = this.#judge.conflicts();
    for (let n = 0; n < conflicts; n++) this.#judge.count('portConflicts');
    const chosen = this.#judge.chosen(keyOf(tuple, arrival.port));
    if (!chosen) {
      const open = pool.filter((src) => this.#open(src, tuple, free) > 0);
      if (hasChoice(tuple)) {
        if (conflicts !== TRIES) this.#judge.complain(`exhausted after ${conflicts} tries`);
        const held = (src: RawAddress) => this.#size() - this.#open(src, tuple, free);
        const least = pool.length === 1 ? TRIES : TRIES - ELSEWHERE;
        if ((usual ? [usual] : pool).every((src) => held(src) < least)) {
          this.#judge.complain('exhausted with most ports free');
        }
      } else if (open.length > 0) {
        this.#judge.complain('exhausted, but free');
      }
      return this.#drop(refusal);
    }
    if (!pool.includes(chosen.src)) this.#judge.complain('an address that the rule does not give');
    const [first, last] = this.config.portRange;
    if (hasChoice(tuple) ? chosen.sport < first || chosen.sport > last : chosen.sport !== tuple.sport) {
      this.#judge.complain(`port ${chosen.sport} is none of its own`);
    }
    if (!free(chosen.src, chosen.sport)) {
      this.#judge.complain(`port ${chosen.sport} is claimed by another session`);
    }
    const mayMove = usual === undefined || conflicts >= (hasChoice(tuple) ? TRIES - ELSEWHERE : 1);
    if (!mayMove && chosen.src !== usual) this.#judge.complain('a client’s outside address has changed');
    if (usual === undefined && conflicts === 0) this.#addresses.set(name, chosen.src);
    const out = { ...to, ...chosen };
    this.sessions.open(tuple, arrival.port, out, outPort);
    if (counter !== undefined) this.#judge.count(counter);
    return this.#translate(arrival, packet, tuple, out, outPort, false);
  }

  #size(): number {
    const [first, last] = this.config.portRange;
    return last - first + 1;
  }

  /** How many ports of an address are free for this session. */
  #open(src: RawAddress, tuple: Tuple, free: (src: RawAddress, sport: number) => boolean): number {
    if (!hasChoice(tuple)) return free(src, tuple.sport) ? 1 : 0;
    const [first] = this.config.portRange;
    return Array.from({ length: this.#size() }, (_, i) => free(src, first + i)).filter(Boolean).length;
  }

  /** In the middle of a connection that nobody knows: TCP senders get a RST (RFC 9293 3.10.7.1). */
  #refuse({ frame, port }: Arrival, packet: Parsed, actual: Actual): Outcome {
    this.#judge.drop('nat NoSession');
    const answer = resetOf(frame, packet, actual.frame);
    if (!answer || !this.#mayAnswer(packet, actual)) return { kind: 'drop' };
    this.#judge.count('rejected');
    return { kind: 'output', port, frame: answer };
  }

  /** At an outside address that is nobody else's. */
  #echo({ frame, port }: Arrival, packet: Parsed, actual: Actual): Outcome {
    const isRequest = isEchoRequest(packet) && isOneHost(frame, packet);
    if (!isRequest || !this.#mayAnswer(packet, actual)) return this.#drop('NoMapping');
    this.#judge.count('echoReplies');
    return { kind: 'output', port, frame: echoReply(frame, packet) };
  }

  /** Whether another answer to its sender is within the limit. */
  #mayAnswer({ src, v6 }: Parsed, { out }: Actual): boolean {
    const bytes = Buffer.from(src.toString(16).padStart(32, '0'), 'hex');
    const may = this.#judge.mayReject(bytes.toString('latin1', 0, v6 ? 8 : 15), out);
    if (!may) this.#judge.count('rejectSuppressed');
    return may;
  }
}

/** What a packet is when it has other ends. */
export function translated(frame: Buffer, packet: Parsed, from: Tuple, to: Tuple): Buffer {
  let result = frame;
  if (to.src !== from.src || to.sport !== from.sport) {
    result = rewritten(result, packet, { side: 'src', address: wireOf(to.src), port: to.sport });
  }
  if (to.dst !== from.dst || to.dport !== from.dport) {
    result = rewritten(result, packet, { side: 'dst', address: wireOf(to.dst), port: to.dport });
  }
  return result;
}

const rawOfAddress = (address: Address): RawAddress =>
  Buffer.from(address.toString(16).padStart(32, '0'), 'hex').toString('latin1');

/** Ports, or the identifier of an echo on the side of who has chosen it. */
function portsAt(frame: Buffer, l4: number, proto: number): { sport: number; dport: number } {
  if (WITH_PORTS.has(proto)) return { sport: frame.readUInt16BE(l4), dport: frame.readUInt16BE(l4 + 2) };
  if (proto === 1 || proto === 58) {
    const type = frame.readUInt8(l4);
    if (type === (proto === 1 ? 8 : 128)) return { sport: frame.readUInt16BE(l4 + 4), dport: 0 };
    if (type === (proto === 1 ? 0 : 129)) return { sport: 0, dport: frame.readUInt16BE(l4 + 4) };
  }
  return { sport: 0, dport: 0 };
}

/** Of an error, which has no ports. */
function ownTupleOf({ src, dst, protocol }: Parsed): Tuple {
  return { src: rawOfAddress(src), dst: rawOfAddress(dst), sport: 0, dport: 0, proto: protocol };
}

/** Whether the NAT may give the session another source port. */
const hasChoice = ({ proto, dport }: Tuple): boolean =>
  proto === 6 || proto === 17 || ((proto === 1 || proto === 58) && dport === 0);

function isTranslatable({ quoted, isEcho, fragment, v6 }: Parsed, proto: number): boolean {
  if (quoted) return true;
  if (proto === 1 || proto === 58) return proto === (v6 ? 58 : 1) && (isEcho || fragment === 'later');
  return !WITHOUT_TRANSLATION.has(proto);
}

function takesPort({ ports }: ModelForwardRule, { dport }: Tuple): boolean {
  return ports === undefined || (dport >= ports[0] && dport <= ports[1]);
}

function takesForward(rule: ModelForwardRule, tuple: Tuple): boolean {
  return (
    isInAny(tuple.dst, rule.destinations) &&
    isV6Raw(rule.target) === isV6Raw(tuple.dst) &&
    (rule.sources.length === 0 || isInAny(tuple.src, rule.sources)) &&
    (rule.protocols.length === 0 || rule.protocols.includes(tuple.proto)) &&
    takesPort(rule, tuple)
  );
}

function takes(rule: ModelSourceRule, tuple: Tuple): boolean {
  const v6 = isV6Raw(tuple.src);
  return (
    (rule.excludes || rule.pool.some((address) => isV6Raw(address) === v6)) &&
    (rule.sources.length === 0 || isInAny(tuple.src, rule.sources)) &&
    (rule.destinations.length === 0 || isInAny(tuple.dst, rule.destinations)) &&
    (rule.protocols.length === 0 || rule.protocols.includes(tuple.proto))
  );
}

/** A TCP header that is cut behind its flags: its ports can be read, but its checksum is not there to follow. */
function endsBeforeChecksum(frame: Buffer, packet: Parsed): boolean {
  return packet.protocol === 6 && packet.fragment !== 'later' && packet.l4 + 18 > frame.length;
}

/** An error from the inside speaks with the outside address, whoever made it (RFC 5508 4.2, REQ-5). */
function withSource(frame: Buffer, packet: Parsed, address: Buffer): Buffer {
  const outer: Parsed = { ...packet, isError: false, hasPorts: false, isEcho: false };
  const { quoted: _, ...alone } = outer;
  return rewritten(frame, alone, { side: 'src', address, port: 0 });
}

const INIT = 1;
const INIT_ACK = 2;
const ABORT = 6;
const SHUTDOWNS = [7, 8, 14];

/** RFC 9293 3.4 and 3.10.7, RFC 9260 3.3 and 8.5. */
function signalOf(frame: Buffer, packet: Parsed, proto: number): Signal {
  const isError = packet.quoted !== undefined;
  const isLaterFragment = packet.fragment === 'later';
  const nothing = { isError, isLaterFragment, opens: false, fin: false, rst: false };
  if (packet.quoted) return { ...nothing, ...quotedSide(packet, packet.quoted) };
  if (isLaterFragment) return { ...nothing, ...(proto === 17 ? { returned: 0 } : {}) };
  if (proto === 6) return { ...nothing, ...tcpSignal(frame, packet) };
  if (proto === SCTP) return { ...nothing, ...sctpSignal(frame, packet) };
  const isReply = (proto === 1 || proto === 58) && packet.isEcho && isEchoReply(packet);
  const side = packet.isEcho ? { side: isReply ? ('other' as const) : ('initiator' as const) } : {};
  return { ...nothing, opens: !isReply, proof: 0, returned: 0, ...side };
}

/** An error is of the side that does not send what it quotes. */
function quotedSide({ v6 }: Parsed, quoted: NonNullable<Parsed['quoted']>): Pick<Signal, 'side'> {
  const { protocol, hasL4, identifier } = quoted;
  if (!hasL4 || (protocol !== 1 && protocol !== 58)) return {};
  if (identifier === undefined || protocol !== (v6 ? 58 : 1)) return { side: 'nobody' };
  return { side: identifier === 'dst' ? 'other' : 'initiator' };
}

const isEchoReply = ({ icmp }: Parsed): boolean => icmp?.type === 0 || icmp?.type === 129;

function tcpSignal(frame: Buffer, { l3, l4, length: said }: Parsed): Partial<Signal> {
  const flags = frame.readUInt8(l4 + 13);
  const [fin, syn, rst, ack] = [1, 2, 4, 16].map((bit) => (flags & bit) !== 0) as [
    boolean,
    boolean,
    boolean,
    boolean,
  ];
  // a length of zero says nothing (RFC 2675)
  const length = said || frame.length - l3;
  const data = length - (l4 - l3) - (frame.readUInt8(l4 + 12) >> 4) * 4;
  const next = (frame.readUInt32BE(l4 + 4) + (syn ? 1 : data) + (fin ? 1 : 0)) >>> 0;
  return {
    opens: syn && !ack && !rst && !fin,
    rst,
    fin: fin && !rst,
    // the words up to the window are read at once; a segment cut before that is going to be dropped anyway
    ...(ack && !rst && l4 + 16 <= frame.length ? { proof: next } : {}),
    ...(ack && !rst && !syn ? { returned: frame.readUInt32BE(l4 + 8) } : {}),
  };
}

function sctpSignal(frame: Buffer, { l4 }: Parsed): Partial<Signal> {
  const chunk = l4 + 13 <= frame.length ? frame.readUInt8(l4 + 12) : undefined;
  return {
    opens: chunk === INIT,
    rst: chunk === ABORT,
    fin: chunk !== undefined && SHUTDOWNS.includes(chunk),
    ...(chunk === INIT_ACK && l4 + 20 <= frame.length ? { proof: frame.readUInt32BE(l4 + 16) } : {}),
    ...(l4 + 8 <= frame.length ? { returned: frame.readUInt32BE(l4 + 4) } : {}),
  };
}

/** No host has it: this network, loopback, groups (RFC 1122 3.2.1.3, RFC 4291 2.5). */
function isNoHost(address: Address): boolean {
  if (!isMapped(address)) return address <= 1n || address >> 120n === 0xffn;
  const top = Number((address >> 24n) & 0xffn);
  return top === 0 || top === 127 || top >= 224;
}

/** From one host, and for one alone. */
function isOneHost(frame: Buffer, { isMulticast, vlan, src }: Parsed): boolean {
  return !isMulticast && vlan === undefined && !isNoHost(src) && (frame.readUInt8(0) & 1) === 0;
}

/** The RST to the sender of a segment, if it may get one. Its window may be any that makes its checksum right. */
function resetOf(frame: Buffer, packet: Parsed, actual: Buffer): Buffer | undefined {
  const { protocol, quoted, fragment, hasOptions, src, dst, l3, l4, v6 } = packet;
  if (protocol !== 6 || quoted || fragment !== 'none' || hasOptions || !isOneHost(frame, packet))
    return undefined;
  if (l4 + 20 > frame.length) return undefined;
  const header = (frame.readUInt8(l4 + 12) >> 4) * 4;
  const flags = frame.readUInt8(l4 + 13);
  const length = (packet.length || frame.length - l3) - (l4 - l3) - header;
  if ((flags & 4) !== 0 || header < 20 || length < 0) return undefined;
  const segment = length + ((flags & 2) >> 1) + (flags & 1);
  const tcp = Buffer.alloc(20);
  tcp.set(frame.subarray(l4 + 2, l4 + 4), 0);
  tcp.set(frame.subarray(l4, l4 + 2), 2);
  if ((flags & 16) !== 0) {
    tcp.set(frame.subarray(l4 + 8, l4 + 12), 4);
    tcp.set([0x50, 4], 12);
  } else {
    tcp.writeUInt32BE((frame.readUInt32BE(l4 + 4) + segment) >>> 0, 8);
    tcp.set([0x50, 20], 12);
  }
  const pseudo = pseudoHeader(textOf(dst), textOf(src), 6, 20);
  tcp.writeUInt16BE(onesSum(pseudo), 16);
  const window = 14 + (v6 ? 40 : 20) + 14;
  if (window + 2 <= actual.length) tcp.set(actual.subarray(window, window + 2), 14);
  if (checksum(pseudo, tcp) !== 0) tcp.writeUInt16BE(0, 14);
  const head = v6 ? header6(6, 20, 64, dst, src) : header4(20, 6, 0, dst, src);
  return Buffer.concat([frame.subarray(6, 12), frame.subarray(0, 6), frame.subarray(12, 14), head, tcp]);
}
