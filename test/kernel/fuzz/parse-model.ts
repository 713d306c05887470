// SPDX-License-Identifier: Apache-2.0

/**
 * What a frame is, by the standards: Ethernet with one IEEE 802.1Q tag, ARP (RFC 826), IPv4 (RFC 791), IPv6 and its
 * extension headers (RFC 8200), ICMP errors and what they quote (RFC 792, RFC 4443), fragments. Written from these and from
 * docs/cube-abi.md, not from the parser in C: the two are compared.
 */

/** 128 bits; IPv4 mapped into ::ffff:0:0/96. */
export type Address = bigint;

export const MAPPED = 0xffffn << 32n;
export const isMapped = (address: Address): boolean => address >> 32n === 0xffffn;

export function addressOf(bytes: Uint8Array): Address {
  const value = BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  return bytes.length === 4 ? MAPPED | value : value;
}

export interface Parsed {
  readonly kind: 'other' | 'arp' | 'ip';
  /** VLAN identifier; undefined without a tag. */
  readonly vlan?: number;
  /** Bytes from the frame's beginning to the network layer: 14, 18 with a tag. */
  readonly l3: number;
  readonly v6: boolean;
  readonly src: Address;
  readonly dst: Address;
  readonly ttl: number;
  /** The protocol behind options and extension headers, and where it begins. */
  readonly protocol: number;
  readonly l4: number;
  /** Bytes of the packet by its IP header; 0: the header does not say (jumbograms, RFC 2675). */
  readonly length: number;
  readonly hasOptions: boolean;
  readonly fragment: 'none' | 'first' | 'later';
  /** Of a fragment: what all parts of one datagram share. */
  readonly datagram?: string;
  readonly icmp?: { readonly type: number; readonly code: number };
  /** An ICMP error, with what it quotes. */
  readonly isError: boolean;
  /** What an error quotes: where its headers begin, and whether eight bytes of its own L4 header are there. */
  readonly quoted?: {
    readonly l3: number;
    readonly l4: number;
    readonly protocol: number;
    readonly hasL4: boolean;
    /** Of an echo: the side of this error, not of what it quotes, that the identifier belongs to. */
    readonly identifier?: 'src' | 'dst';
  };
  /** TCP, UDP or SCTP ports, or of a later fragment those of its first one, or of an error the quoted ones. */
  readonly hasPorts: boolean;
  readonly isEcho: boolean;
  readonly isMulticast: boolean;
  /** Neighbour discovery that came from the link itself (RFC 4861 6.1, 7.1). */
  readonly isNeighbourDiscovery: boolean;
}

export type ParseResult =
  | { readonly ok: true; readonly packet: Parsed }
  | { readonly ok: false; readonly reason: 'Malformed' | 'ExtensionHeaders' };

class Refused extends Error {
  readonly reason: 'Malformed' | 'ExtensionHeaders';

  constructor(reason: 'Malformed' | 'ExtensionHeaders') {
    // nobody reads where it was thrown, and of random packets many are refused
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(reason);
    Error.stackTraceLimit = limit;
    this.reason = reason;
  }
}

const REFUSALS = { Malformed: new Refused('Malformed'), ExtensionHeaders: new Refused('ExtensionHeaders') };

/** Bytes that must be there. */
function need(frame: Buffer, at: number, length: number): Buffer {
  if (at + length > frame.length) throw REFUSALS.Malformed;
  return frame.subarray(at, at + length);
}

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION = 60;
const MOBILITY = 135;
const EXTENSIONS = new Set([HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY]);
const MOST_EXTENSIONS = 6;

const WITH_PORTS = new Set([6, 17, 132]);

interface Walk {
  protocol: number;
  at: number;
  fragment: { offset: number; more: boolean; id: number } | undefined;
  count: number;
}

function walkExtensions(frame: Buffer, first: number, start: number): Walk {
  const walk: Walk = { protocol: first, at: start, fragment: undefined, count: 0 };
  while (EXTENSIONS.has(walk.protocol)) {
    if (walk.count === MOST_EXTENSIONS) throw REFUSALS.ExtensionHeaders;
    const head = need(frame, walk.at, 8);
    const type = walk.protocol;
    walk.count += 1;
    walk.protocol = head.readUInt8(0);
    if (type === FRAGMENT) {
      const word = head.readUInt16BE(2);
      walk.fragment = { offset: word & 0xfff8, more: (word & 1) === 1, id: head.readUInt32BE(4) };
      walk.at += 8;
      if (walk.fragment.offset > 0) break; // what follows is the middle of something
    } else {
      walk.at += type === AUTHENTICATION ? (head.readUInt8(1) + 2) * 4 : (head.readUInt8(1) + 1) * 8;
    }
  }
  return walk;
}

/** Remembers first fragments, as long as a test lasts. */
export class ParseModel {
  readonly #firsts = new Set<string>();

  parse(frame: Buffer): ParseResult {
    try {
      return { ok: true, packet: this.#frame(frame) };
    } catch (error) {
      if (error instanceof Refused) return { ok: false, reason: error.reason };
      throw error;
    }
  }

  /** First fragments that have passed are too long ago. */
  forget(): void {
    this.#firsts.clear();
  }

  /** Whether the first fragment of a later one has been seen. */
  knows(later: Parsed): boolean {
    return this.#firsts.has(later.datagram ?? '');
  }

  #frame(frame: Buffer): Parsed {
    let l3 = 14;
    let type = frame.readUInt16BE(12);
    let vlan: number | undefined;
    if (type === 0x8100) {
      const tag = need(frame, 14, 4);
      vlan = tag.readUInt16BE(0) & 0xfff;
      type = tag.readUInt16BE(2);
      l3 = 18;
    }
    const base: Parsed = {
      ...(vlan === undefined ? {} : { vlan }),
      kind: 'other',
      l3,
      v6: false,
      src: 0n,
      dst: 0n,
      ttl: 0,
      protocol: 0,
      l4: 0,
      length: 0,
      hasOptions: false,
      fragment: 'none',
      isError: false,
      hasPorts: false,
      isEcho: false,
      isMulticast: false,
      isNeighbourDiscovery: false,
    };
    if (type === 0x0806) return arpOf(frame, base);
    if (type === 0x0800) return this.#ipv4(frame, base);
    if (type === 0x86dd) return this.#ipv6(frame, base);
    return base;
  }

  #ipv4(frame: Buffer, base: Parsed): Parsed {
    const header = need(frame, base.l3, 20);
    const words = header.readUInt8(0) & 15;
    const length = header.readUInt16BE(2);
    if (header.readUInt8(0) >> 4 !== 4 || words < 5) throw REFUSALS.Malformed;
    if (length !== 0 && length < words * 4) throw REFUSALS.Malformed;
    if (base.l3 + length > frame.length) throw REFUSALS.Malformed;
    const fragment = header.readUInt16BE(6);
    const dst = header.readUInt32BE(16);
    return this.#rest(
      frame,
      {
        ...base,
        kind: 'ip',
        src: addressOf(header.subarray(12, 16)),
        dst: addressOf(header.subarray(16, 20)),
        ttl: header.readUInt8(8),
        protocol: header.readUInt8(9),
        l4: base.l3 + words * 4,
        length,
        hasOptions: words > 5,
        fragment: (fragment & 0x1fff) > 0 ? 'later' : (fragment & 0x2000) > 0 ? 'first' : 'none',
        isMulticast: dst >>> 28 === 14 || dst === 0xffffffff,
      },
      header.readUInt16BE(4),
    );
  }

  #ipv6(frame: Buffer, base: Parsed): Parsed {
    const header = need(frame, base.l3, 40);
    const payload = header.readUInt16BE(4);
    if (header.readUInt8(0) >> 4 !== 6 || base.l3 + 40 + payload > frame.length) throw REFUSALS.Malformed;
    const src = addressOf(header.subarray(8, 24));
    const dst = addressOf(header.subarray(24, 40));
    if (isMapped(src) || isMapped(dst)) throw REFUSALS.Malformed;
    const walk = walkExtensions(frame, header.readUInt8(6), base.l3 + 40);
    const { fragment } = walk;
    return this.#rest(
      frame,
      {
        ...base,
        kind: 'ip',
        v6: true,
        src,
        dst,
        ttl: header.readUInt8(7),
        protocol: walk.protocol,
        l4: walk.at,
        length: payload === 0 ? 0 : payload + 40,
        hasOptions: walk.count > 0,
        fragment:
          fragment === undefined ? 'none' : fragment.offset > 0 ? 'later' : fragment.more ? 'first' : 'none',
        isMulticast: dst >> 120n === 0xffn,
      },
      fragment?.id ?? 0,
    );
  }

  #rest(frame: Buffer, packet: Parsed, id: number): Parsed {
    const key = `${packet.src} ${packet.dst} ${id} ${packet.protocol}`;
    if (packet.fragment === 'later') {
      return { ...packet, datagram: key, hasPorts: this.#firsts.has(key) && WITH_PORTS.has(packet.protocol) };
    }
    const result = layer4(frame, packet);
    if (packet.fragment !== 'first') return result;
    this.#firsts.add(key);
    return { ...result, datagram: key };
  }
}

function arpOf(frame: Buffer, base: Parsed): Parsed {
  const body = need(frame, base.l3, 28);
  // Ethernet and IPv4, with addresses as long as theirs
  if (body.readUInt32BE(0) !== 0x00010800 || body.readUInt16BE(4) !== 0x0604) throw REFUSALS.Malformed;
  return {
    ...base,
    kind: 'arp',
    src: addressOf(body.subarray(14, 18)),
    dst: addressOf(body.subarray(24, 28)),
  };
}

function echoTypes(protocol: number): readonly number[] {
  return protocol === 1 ? [0, 8] : protocol === 58 ? [128, 129] : [];
}

function layer4(frame: Buffer, packet: Parsed): Parsed {
  const { protocol, l4, v6 } = packet;
  if (protocol === 6) {
    need(frame, l4, 14); // up to its flags
    return { ...packet, hasPorts: true };
  }
  if (WITH_PORTS.has(protocol)) {
    need(frame, l4, 8);
    return { ...packet, hasPorts: true };
  }
  if (protocol !== 1 && protocol !== 58) return packet;
  const head = need(frame, l4, 8);
  const type = head.readUInt8(0);
  const icmp = { type, code: head.readUInt8(1) };
  const result = { ...packet, icmp, isEcho: echoTypes(protocol).includes(type) };
  const errors = v6 ? [1, 2, 3, 4] : [3, 4, 11, 12];
  if (protocol === (v6 ? 58 : 1) && errors.includes(type)) {
    const quoted = quotedBy(frame, l4 + 8, v6);
    return {
      ...result,
      isEcho: false,
      isError: true,
      quoted,
      hasPorts: quoted.hasL4 && WITH_PORTS.has(quoted.protocol),
    };
  }
  const isNeighbourDiscovery = protocol === 58 && type >= 133 && type <= 136 && packet.ttl === 255;
  return { ...result, isNeighbourDiscovery };
}

/** What an error quotes. A quotation that is no IP header makes the error malformed. */
function quotedBy(frame: Buffer, at: number, v6: boolean): NonNullable<Parsed['quoted']> {
  const header = need(frame, at, v6 ? 40 : 20);
  if (header.readUInt8(0) >> 4 !== (v6 ? 6 : 4)) throw REFUSALS.Malformed;
  let protocol = header.readUInt8(9);
  let l4 = at + (header.readUInt8(0) & 15) * 4;
  let offset = header.readUInt16BE(6) & 0x1fff;
  if (v6) {
    if (isMapped(addressOf(header.subarray(8, 24))) || isMapped(addressOf(header.subarray(24, 40)))) {
      throw REFUSALS.Malformed;
    }
    let walk: Walk;
    try {
      walk = walkExtensions(frame, header.readUInt8(6), at + 40);
    } catch {
      throw REFUSALS.Malformed;
    }
    protocol = walk.protocol;
    l4 = walk.at;
    offset = walk.fragment?.offset ?? 0;
  } else if ((header.readUInt8(0) & 15) < 5) {
    throw REFUSALS.Malformed;
  }
  const hasL4 = offset === 0 && l4 + 8 <= frame.length;
  const type = hasL4 ? frame.readUInt8(l4) : undefined;
  if (type === undefined || !echoTypes(protocol).includes(type)) return { l3: at, l4, protocol, hasL4 };
  return { l3: at, l4, protocol, hasL4, identifier: type === 8 || type === 128 ? 'dst' : 'src' };
}
