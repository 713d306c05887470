// SPDX-License-Identifier: Apache-2.0

/**
 * The sessions of a NAT, by docs/adr/0018-nat-claims-in-a-hash.md, the descriptions of the schema, RFC 9293 and RFC 9260. A
 * session is two halves, one for each direction; what the packets of the one are when they leave, turned around, is how those
 * of the other come in.
 */

/** 16 bytes as Latin-1 text, which compares and joins faster than bytes; IPv4 mapped. */
export type RawAddress = string;

export interface Tuple {
  readonly src: RawAddress;
  readonly dst: RawAddress;
  /** Echo: the identifier on the side that holds it, 0 on the other. */
  readonly sport: number;
  readonly dport: number;
  readonly proto: number;
}

export type Table = 'established' | 'embryonic';

/** SESSION_* as a session's state shows them. */
export const Mark = { established: 1, replied: 2, fin: 4, finReply: 8, rst: 16 } as const;
const CLOSING = Mark.fin | Mark.finReply | Mark.rst;

/** Key of a half as the kernel has it. */
export type HalfKey = string;

export interface Half {
  readonly key: HalfKey;
  readonly other: HalfKey;
  table: Table;
  /** How its packets leave, and by which port. */
  readonly out: Tuple;
  readonly outPort: number;
  /** Of packets to the initiator. */
  readonly reply: boolean;
  marks: number;
  /** Of the initiator's half: the number that confirms the session. */
  proof: number;
  /** Steps of time since its last packet. */
  age: number;
  /** Its other half has had a packet, and may or may not have told it. */
  told: boolean;
}

/** Timeouts in steps of time. No half is ever as old as its timeout. */
export interface Timeouts {
  readonly tcpSyn: number;
  readonly tcpEstablished: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly udpStream: number;
  readonly sctp: number;
  readonly icmp: number;
}

/** What a packet says to its session. */
export interface Signal {
  readonly isError: boolean;
  readonly isLaterFragment: boolean;
  /** Asks for a new connection. */
  readonly opens: boolean;
  readonly fin: boolean;
  readonly rst: boolean;
  /**
   * Whose it is, where its kind says so: echo, and errors about ICMP. With the identifier 0 the keys of both sides look alike, and
   * like those of other ICMP.
   */
  readonly side?: 'initiator' | 'other' | 'nobody';
  /** Of a reply: what its initiator has to return. */
  readonly proof?: number;
  /** Of an initiator: what it returns. */
  readonly returned?: number;
}

export type Found =
  | { readonly kind: 'none' }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'half'; readonly half: Half };

const two = (value: number): string => String.fromCharCode(value >> 8, value & 0xff);

export function keyOf({ src, dst, sport, dport, proto }: Tuple, port: number): HalfKey {
  return src + dst + two(sport) + two(dport) + String.fromCharCode(proto, port, 0, 0);
}

export function reversed({ src, dst, sport, dport, proto }: Tuple): Tuple {
  return { src: dst, dst: src, sport: dport, dport: sport, proto };
}

export class SessionsModel {
  readonly halves = new Map<HalfKey, Half>();
  /** Keys whose rows may have changed since the last comparison. */
  readonly touched = new Set<HalfKey>();
  readonly #capacity: number;
  readonly #timeouts: Timeouts;
  readonly #count: (counter: string) => void;
  #established = 0;

  /** @param capacity sessions that can be established. */
  constructor(capacity: number, timeouts: Timeouts, count: (counter: string) => void) {
    this.#capacity = capacity;
    this.#timeouts = timeouts;
    this.#count = count;
  }

  #timeout({ key, marks }: Half): number {
    const t = this.#timeouts;
    const established = (marks & Mark.established) !== 0;
    const closing = (marks & CLOSING) !== 0;
    switch (key.charCodeAt(36)) {
      case 6:
        return closing ? t.tcpClosing : established ? t.tcpEstablished : t.tcpSyn;
      case 17:
        return established ? t.udpStream : t.udp;
      case 132:
        return closing ? t.tcpClosing : established ? t.sctp : t.tcpSyn;
      default:
        return t.icmp;
    }
  }

  #isOver(half: Half): boolean {
    return half.age > this.#timeout(half);
  }

  /** The other half, when it is that of the same session. */
  partner(half: Half): Half | undefined {
    const other = this.halves.get(half.other);
    return other?.other === half.key ? other : undefined;
  }

  remove(half: Half): void {
    this.touched.add(half.key);
    // both halves may be one, see open()
    if (this.halves.delete(half.key) && half.table === 'established') this.#established--;
  }

  /** Another session of the same peer has taken the place of a half, and has lost its other one. */
  rob(half: Half, thief: RawAddress): Half {
    const out = { ...half.out, dst: thief };
    const robbed = { ...half, out, other: keyOf(reversed(out), half.outPort) };
    this.#put(robbed);
    return robbed;
  }

  #put(half: Half): void {
    const holder = this.halves.get(half.key);
    if (holder) this.remove(holder);
    this.halves.set(half.key, half);
    this.touched.add(half.key);
    if (half.table === 'established') this.#established++;
  }

  #removeBoth(half: Half): void {
    const other = this.partner(half);
    if (other) this.remove(other);
    this.remove(half);
  }

  /** A half lives as long as the other one. */
  #isSessionOver(half: Half): boolean {
    const other = this.partner(half);
    return this.#isOver(half) && (other === undefined || this.#isOver(other));
  }

  /** The session of a packet, which then has had this packet. */
  find(key: HalfKey, signal: Signal): Found {
    const half = this.halves.get(key);
    if (!half) return { kind: 'none' };
    if (signal.side && signal.side !== (half.reply ? 'other' : 'initiator')) {
      // a request needs the place that the half has
      return { kind: half.reply && signal.opens ? 'conflict' : 'none' };
    }
    if (this.#isSessionOver(half)) {
      this.#count('expired');
      this.#removeBoth(half);
      return { kind: 'none' };
    }
    if (signal.isError) return { kind: 'half', half };
    // the peer of a session cannot open another one in its place: its packets lead to the claimed port alone
    if (signal.opens && !half.reply && (half.marks & CLOSING) !== 0) {
      this.#removeBoth(half);
      return { kind: 'none' };
    }
    if (!this.partner(half) && !this.#remake(half)) {
      this.remove(half);
      return { kind: 'conflict' };
    }
    this.#advance(half, this.partner(half), signal);
    return { kind: 'half', half };
  }

  /** A missing half is made again, where there is room for it. False: somebody else has what it claims. */
  #remake(half: Half): boolean {
    const { key, other: otherKey, table, marks, proof, age } = half;
    if (!this.#isFree(otherKey)) return false;
    if (table === 'established' && this.#established >= 2 * this.#capacity) return true;
    this.#put({
      key: otherKey,
      other: key,
      table,
      out: reversed(tupleOfKey(key)),
      outPort: key.charCodeAt(37),
      reply: !half.reply,
      marks,
      proof,
      age,
      told: false,
    });
    return true;
  }

  #advance(half: Half, other: Half | undefined, signal: Signal): void {
    const both = other && other !== half ? [half, other] : [half];
    for (const { key } of both) this.touched.add(key);
    // halves tell each other their time when some has passed; embryonic ones always do
    if (other && (half.age > 0 || half.table === 'embryonic')) other.age = 0;
    else if (other && other.age > 0) other.told = true;
    half.age = 0;
    half.told = false;
    let marks = 0;
    if (signal.rst) marks |= Mark.rst;
    if (signal.fin) marks |= half.reply ? Mark.finReply : Mark.fin;
    if (half.reply && half.table === 'embryonic' && signal.proof !== undefined) {
      marks |= Mark.replied;
      for (const one of both) one.proof = signal.proof;
    }
    for (const one of both) one.marks |= marks;
    if (half.reply || half.table === 'established') return;
    if ((half.marks & Mark.replied) === 0 || signal.returned !== half.proof) return;
    if (this.#established + both.length > 2 * this.#capacity) {
      this.#count('promotionsRefused');
      return;
    }
    this.#established += both.length;
    for (const one of both) {
      one.table = 'established';
      one.marks |= Mark.established;
    }
    this.#count('promoted');
  }

  #isFree(key: HalfKey): boolean {
    const holder = this.halves.get(key);
    return holder === undefined || this.#isOver(holder);
  }

  /**
   * Whether the replies of a new session may come in so. What is over makes room, and so does what is left of the same
   * session whose other half is gone.
   */
  isFree(tuple: Tuple, port: number, out: Tuple, outPort: number): boolean {
    const key = keyOf(reversed(out), outPort);
    return this.#isFree(key) || this.halves.get(key)?.other === keyOf(tuple, port);
  }

  /**
   * A new session, whose keys are free. They are the same one where somebody speaks to itself by an outside address and both
   * directions look the same: then one half serves both.
   */
  open(tuple: Tuple, port: number, out: Tuple, outPort: number): void {
    const key = keyOf(tuple, port);
    const other = keyOf(reversed(out), outPort);
    const base = { table: 'embryonic', marks: 0, proof: 0, age: 0, told: false } as const;
    this.#put({ ...base, key: other, other: key, out: reversed(tuple), outPort: port, reply: true });
    this.#put({ ...base, key, other, out, outPort, reply: false });
    this.#count('newSessions');
  }

  /** Removes the sessions that are over, as the agent lets the kernel do. */
  reclaim(): void {
    for (const half of [...this.halves.values()]) if (this.#isOver(half)) this.remove(half);
  }
}

export function tupleOfKey(key: HalfKey): Tuple {
  const port = (at: number) => (key.charCodeAt(at) << 8) | key.charCodeAt(at + 1);
  return {
    src: key.slice(0, 16),
    dst: key.slice(16, 32),
    sport: port(32),
    dport: port(34),
    proto: key.charCodeAt(36),
  };
}
