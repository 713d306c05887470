// SPDX-License-Identifier: Apache-2.0
/**
 * How connections live: RFC 9293 3.10 (TCP), RFC 9260 5.1, 8.5 (SCTP), and the words of the schema: established is what its
 * initiator has confirmed. With TCP it does so by the acknowledgement of an answer, with SCTP by the tag of the INIT ACK, with
 * others, and where the beginning was not seen, by a packet after an answer.
 */
import type { Parsed } from './parse-model.ts';

export type Side = 'outside' | 'inside';

export interface Segment {
  /** Letters of FSRPAUEC; empty where the packet has no TCP header. */
  readonly flags: string;
  readonly ack: number;
  /** The number that acknowledges it (RFC 9293 3.4): behind its bytes, SYN and FIN. */
  readonly next: number;
  /** Of a later fragment nothing is known. */
  readonly isWhole: boolean;
  /** SCTP: verification tag, type of the first chunk, and its first four bytes, the tag of an INIT. */
  readonly tag?: number | undefined;
  readonly chunk?: number | undefined;
  readonly initTag?: number | undefined;
}

const LETTERS = 'FSRPAUEC';

const FLAG_TEXTS = Array.from({ length: 256 }, (_, bits) =>
  [...LETTERS].filter((_letter, i) => (bits >> i) & 1).join(''),
);

const NONE: Segment = { flags: '', ack: 0, next: 0, isWhole: false };

/** SYN counts alone: what else it carries is acknowledged with it only by those who expect that (RFC 7413). */
function nextOf(frame: Buffer, { l3, l4, length }: Parsed, flags: string): number {
  const header = (frame.readUInt8(l4 + 12) >> 4) * 4;
  const payload = (length || frame.length - l3) - (l4 - l3) - header;
  const count = (flags.includes('S') ? 1 : payload) + (flags.includes('F') ? 1 : 0);
  return (frame.readUInt32BE(l4 + 4) + count) >>> 0;
}

/** What the L4 header says to the machine. A later fragment says nothing. */
export function segmentOf(frame: Buffer, packet: Parsed): Segment {
  const { protocol, l4, fragment, isError } = packet;
  if (fragment === 'later' || isError) return NONE;
  if (protocol === 6) {
    const flags = FLAG_TEXTS[frame.readUInt8(l4 + 13)] ?? '';
    return { flags, ack: frame.readUInt32BE(l4 + 8), next: nextOf(frame, packet, flags), isWhole: true };
  }
  if (protocol !== 132) return { ...NONE, isWhole: true };
  const word = (at: number) => (at + 4 <= frame.length ? frame.readUInt32BE(at) : undefined);
  const chunk = word(l4 + 12);
  return {
    ...NONE,
    isWhole: true,
    tag: word(l4 + 4),
    chunk: chunk === undefined ? undefined : chunk >>> 24,
    initTag: word(l4 + 16),
  };
}

export interface Timeouts {
  readonly tcpSyn: number;
  readonly tcpEstablished: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly udpStream: number;
  readonly sctp: number;
  readonly other: number;
}

/** What a packet of no known connection is. */
export type Opening = 'New' | 'Midstream' | 'Invalid';

const INIT = 1;
const INIT_ACK = 2;
const ABORT = 6;
const SHUTDOWN_COMPLETE = 14;
/** SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE. */
const SHUTDOWNS = [7, 8, SHUTDOWN_COMPLETE];

/** A SYN, or an INIT. */
const opens = (protocol: number, { flags, chunk }: Segment): boolean =>
  protocol === 132
    ? chunk === INIT
    : flags.includes('S') && ![...'ARF'].some((letter) => flags.includes(letter));

export function openingOf(packet: Parsed, segment: Segment): Opening {
  const { protocol, icmp } = packet;
  if (packet.isError) return 'Invalid';
  if (protocol === 6) {
    const has = (letter: string) => segment.flags.includes(letter);
    if (has('R') || (has('S') && has('F'))) return 'Invalid';
    if (opens(6, segment)) return 'New';
    return has('A') ? 'Midstream' : 'Invalid';
  }
  if (protocol === 132) {
    if (segment.chunk === ABORT) return 'Invalid';
    return opens(132, segment) ? 'New' : 'Midstream';
  }
  const isReply = packet.isEcho && icmp?.type === (protocol === 58 ? 129 : 0);
  return isReply ? 'Invalid' : 'New';
}

export class ModelSession {
  readonly protocol: number;
  readonly initiator: Side;
  readonly isMidstream: boolean;
  isEstablished = false;
  hasReplied = false;
  hasFin = false;
  hasFinReply = false;
  hasRst = false;
  /** What the initiator has to show. */
  proof: number | undefined;
  /** Seconds of the model's clock. */
  seen: number;

  constructor(protocol: number, initiator: Side, isMidstream: boolean, segment: Segment, now: number) {
    this.protocol = protocol;
    this.initiator = initiator;
    this.isMidstream = isMidstream;
    this.seen = now;
    this.#close(true, segment);
  }

  get isClosing(): boolean {
    return this.hasFin || this.hasFinReply || this.hasRst;
  }

  isOver(now: number, t: Timeouts): boolean {
    return now - this.seen > this.#timeout(t);
  }

  #timeout(t: Timeouts): number {
    if (this.protocol === 17) return this.isEstablished ? t.udpStream : t.udp;
    if (this.protocol !== 6 && this.protocol !== 132) return t.other;
    if (this.isClosing) return t.tcpClosing;
    if (!this.isEstablished) return t.tcpSyn;
    return this.protocol === 6 ? t.tcpEstablished : t.sctp;
  }

  /** A new connection in place of this one: a SYN or INIT after it has begun to close. */
  isReopenedBy(segment: Segment): boolean {
    return this.isClosing && opens(this.protocol, segment);
  }

  /** A packet of it has come; returns whether the initiator has confirmed it by that. */
  see(from: Side, segment: Segment, now: number): boolean {
    this.seen = now;
    const isInitiator = from === this.initiator;
    this.#close(isInitiator, segment);
    if (this.isEstablished) return false;
    if (!isInitiator) this.#learn(segment);
    else this.isEstablished = this.#isConfirmedBy(segment);
    return this.isEstablished;
  }

  #close(isInitiator: boolean, { flags, chunk }: Segment): void {
    const isReset = flags.includes('R') || chunk === ABORT;
    if (isReset) this.hasRst = true;
    else if (flags.includes('F') || SHUTDOWNS.includes(chunk ?? 0)) {
      if (isInitiator) this.hasFin = true;
      else this.hasFinReply = true;
    }
  }

  /** An answer of the other side: what it says is only known to who got it. */
  #learn({ flags, next, chunk, initTag, isWhole }: Segment): void {
    if (!isWhole) return;
    if (this.protocol === 6) {
      if (!flags.includes('A') || flags.includes('R')) return;
      this.proof = next;
    } else if (this.protocol === 132) {
      if (this.isMidstream) {
        // it has no INIT ACK any more; these two come from hosts that know of no association (RFC 9260 8.4)
        if (chunk === ABORT || chunk === SHUTDOWN_COMPLETE) return;
      } else if (chunk === INIT_ACK && initTag !== undefined) this.proof = initTag;
      else return;
    }
    this.hasReplied = true;
  }

  #isConfirmedBy({ flags, ack, tag, isWhole }: Segment): boolean {
    if (!this.hasReplied || (!isWhole && this.protocol !== 17)) return false;
    if (this.protocol === 6) {
      const isAck = flags.includes('A') && !flags.includes('S') && !flags.includes('R');
      return isAck && (this.isMidstream || ack === this.proof);
    }
    return this.protocol !== 132 || this.isMidstream || tag === this.proof;
  }
}
