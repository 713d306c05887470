// SPDX-License-Identifier: Apache-2.0

/**
 * The neighbours of a router on the ports where it finds their MACs itself: RFC 826 with RFC 1122 2.3.2 for IPv4, RFC 4861
 * 7.2 and 7.3 for IPv6, one set of states for both. Pure: records and time come in, rows and packets go out.
 *
 *     (packet) ─► Incomplete ─ answer ─► Reachable ─ time ─► used: Probe ─ answer ─► Reachable
 *                  │  ▲  3 questions to all                      │ 3 questions to the one
 *                  ▼  └──────────────────────────────────────────┘
 *                Failed, forgotten after a while
 *
 * Entries are made by packets to a neighbour alone, never by what somebody says: nobody fills the table by talking. What is
 * said of an address that is in it counts, also in requests of others (RFC 826; RFC 4861 7.2.3, 7.2.5).
 */
import { contains, formatAddress, parseAddress } from '../../api/ip.ts';
import type { PacketOut } from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { neighbours as codec } from './generated/codec.ts';
import { type Heard, question } from './neighbour-frames.ts';
import type { ResolvingPort, StaticNeighbour } from './resolving.ts';

/** RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT of RFC 4861 10. */
const RETRANS_SECONDS = 1;
const QUESTIONS = 3;
/** How long one that did not answer is not asked again. */
const FAILED_SECONDS = 5;
/** How long one that nobody sends to is kept when its MAC is due for a check. */
const UNUSED_SECONDS = 60;
/** Packets that wait for one neighbour; a newer one takes the place of the oldest (RFC 4861 7.2.2). */
export const HELD_EACH = 4;
/** Packets that wait for all neighbours of a router. */
export const HELD_ALL = 512;
/** Questions in a second, of a router, and at once. */
const QUESTIONS_A_SECOND = 500;

const NO_MAC = '00:00:00:00:00:00';
/** NEIGHBOUR_* of bpf/router/resolve.h. */
const RowState = { Incomplete: 1, Resolved: 2, Failed: 3, Static: 4 } as const;
/** RESUME_* of bpf/router/resolve.h. */
export const Resume = { Send: 1n, Unreachable: 2n, Discard: 3n } as const;

/** A packet as its program handed it over. */
interface HeldPacket {
  /** Port that it came in by. */
  readonly port: number;
  readonly packet: Uint8Array;
}

interface Entry {
  readonly port: number;
  readonly address: string;
  state: 'Incomplete' | 'Reachable' | 'Probe' | 'Failed' | 'Static';
  mac: string | undefined;
  held: HeldPacket[];
  /** Asked so often. */
  questions: number;
  /** When something happens by itself, in seconds. */
  dueAt: number;
  /** Until when the MAC counts as right. */
  staleAt: number;
}

interface NeighbourOptions {
  readonly ports: readonly ResolvingPort[];
  readonly statics: readonly StaticNeighbour[];
  readonly gatewayMac: string;
  readonly reachableSeconds: number;
  readonly max: number;
}

/**
 * Seconds → the unit of coarse_seconds() of bpf/include/headers.h, up to the next one: to the microsecond, so that what was
 * read from a row becomes the same again.
 */
const coarse = (seconds: number): number => Math.max(0, Math.ceil((seconds * 1e9) / 2 ** 30 - 1e-6)) >>> 0;

export class Neighbours {
  readonly rows: PackedTable;
  readonly #options: NeighbourOptions;
  readonly #ports: ReadonlyMap<number, ResolvingPort>;
  readonly #entries = new Map<string, Entry>();
  /** Of the entries those that are Incomplete or Failed, oldest first. */
  readonly #unresolved = new Set<Entry>();
  #held = 0;
  #out: PacketOut[] = [];
  #tokens = QUESTIONS_A_SECOND;
  #tokensAt = 0;
  #nextDue = Infinity;

  constructor(options: NeighbourOptions) {
    this.#options = options;
    this.#ports = new Map(options.ports.map((port) => [port.id, port]));
    this.rows = new PackedTable(codec.name, codec.keySize, codec.valueSize, Infinity);
  }

  /** Fixed neighbours. Not before the rows that the kernel has are adopted: a row is wanted from here on. */
  addStatics(): void {
    for (const { port, address, mac } of this.#options.statics)
      this.#add(port, address, 'Static', mac, Infinity);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Packets to send, since the last call. Rows are to be written before. */
  takePackets(): PacketOut[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Takes over what an image before this one knew, and the packets that wait; ports may have other numbers now. */
  inherit(from: Neighbours, now: number): void {
    const renumbered = new Map(
      this.#options.ports.map(({ id, name }) => [
        from.#options.ports.find((port) => port.name === name)?.id,
        id,
      ]),
    );
    for (const { state, port, address, mac, held, staleAt } of from.#entries.values()) {
      const id = renumbered.get(port);
      if (id === undefined || state === 'Failed' || state === 'Static') continue;
      if (mac !== undefined && state !== 'Incomplete') this.#known(id, address, mac, staleAt, now);
      else for (const packet of held) this.unresolved(id, address, packet, now);
    }
  }

  /** Takes over a row that the kernel has, of an agent before this one. */
  adopt(key: Uint8Array, value: Uint8Array, now: number): void {
    const { addr, port } = codec.decodeKey(key) as { addr: string; port: number };
    const { mac, state, staleAt } = codec.decodeValue(value) as {
      mac: string;
      state: number;
      staleAt: number;
    };
    if (state === RowState.Resolved) this.#known(port, addr, mac, (staleAt * 2 ** 30) / 1e9, now);
  }

  #known(port: number, address: string, mac: string, staleAt: number, now: number): void {
    if (!this.#ports.has(port) || this.#entries.has(keyOf(port, address))) return;
    if (this.#entries.size >= this.#options.max) return;
    this.#add(port, address, 'Reachable', mac, Math.max(staleAt, now) + UNUSED_SECONDS, staleAt);
  }

  /**
   * A packet without a MAC for its next hop; undefined: it cannot be kept. `now`: seconds of CLOCK_MONOTONIC, here and
   * below.
   */
  unresolved(port: number, address: string, packet: HeldPacket | undefined, now: number): void {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry === undefined) this.#ask(port, address, packet, now);
    else if (entry.state === 'Failed') this.#resume(packet, Resume.Unreachable);
    else if (entry.state === 'Incomplete') this.#hold(entry, packet);
    else this.#resume(packet, Resume.Send); // it was under way when the answer came
  }

  #ask(port: number, address: string, packet: HeldPacket | undefined, now: number): void {
    const source = this.#sourceFor(port, address);
    if (source === undefined || !this.#makeRoom(now)) {
      this.#resume(packet, source === undefined ? Resume.Unreachable : Resume.Discard);
      return;
    }
    const entry = this.#add(port, address, 'Incomplete', undefined, now + RETRANS_SECONDS);
    this.#hold(entry, packet);
    this.#question(entry, now);
  }

  #hold(entry: Entry, packet: HeldPacket | undefined): void {
    if (packet === undefined) return;
    if (this.#held >= HELD_ALL) {
      this.#resume(packet, Resume.Discard);
      return;
    }
    entry.held.push(packet);
    this.#held++;
    if (entry.held.length <= HELD_EACH) return;
    this.#held--;
    this.#resume(entry.held.shift() as HeldPacket, Resume.Discard);
  }

  /** A packet went to a MAC that was confirmed too long ago: the host is asked whether it is still there. */
  stale(port: number, address: string, now: number): void {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry?.state !== 'Reachable' || now < entry.staleAt - 0.1) return;
    entry.state = 'Probe';
    entry.questions = 0;
    this.#dueIn(entry, now + RETRANS_SECONDS);
    this.#question(entry, now);
  }

  /** RFC 4861 7.2.3 and 7.2.5, and for ARP the same: a reply to us is solicited, all else is not. */
  heard(port: number, { address, mac, solicited, override }: Heard, now: number): void {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry === undefined || entry.state === 'Static' || mac === this.#options.gatewayMac) return;
    if (entry.state === 'Incomplete' || entry.state === 'Failed') {
      if (mac === undefined) return;
      this.#learn(entry, mac, solicited, now);
      const { held } = entry;
      entry.held = [];
      this.#held -= held.length;
      for (const packet of held) this.#resume(packet, Resume.Send);
      return;
    }
    const isOther = mac !== undefined && mac !== entry.mac;
    if (isOther && !override) {
      if (entry.state === 'Reachable' && entry.staleAt > now) this.#learn(entry, entry.mac, false, now);
    } else if (solicited || isOther) {
      this.#learn(entry, mac ?? entry.mac, solicited, now);
    }
  }

  /** Not confirmed: the next packet to it makes the agent check. */
  #learn(entry: Entry, mac: string | undefined, isConfirmed: boolean, now: number): void {
    this.#unresolved.delete(entry);
    entry.state = 'Reachable';
    entry.mac = mac;
    entry.staleAt = isConfirmed ? now + this.#options.reachableSeconds : now;
    this.#dueIn(entry, now + this.#options.reachableSeconds + UNUSED_SECONDS);
    this.#write(entry);
  }

  /** When something happens by itself, in whole seconds. */
  get dueAt(): number | undefined {
    return this.#nextDue === Infinity ? undefined : Math.ceil(this.#nextDue);
  }

  /** Lets time pass; returns when something is due next. */
  tick(now: number): number | undefined {
    if (now < this.#nextDue) return this.dueAt;
    this.#nextDue = Infinity;
    for (const entry of this.#entries.values()) {
      if (entry.dueAt <= now) this.#due(entry, now);
      else this.#nextDue = Math.min(this.#nextDue, entry.dueAt);
    }
    return this.dueAt;
  }

  #dueIn(entry: Entry, dueAt: number): void {
    entry.dueAt = dueAt;
    this.#nextDue = Math.min(this.#nextDue, dueAt);
  }

  /** For people. */
  describe(port: number, address: string): string {
    const entry = this.#entries.get(keyOf(port, address));
    if (entry === undefined) return 'not asked for yet';
    if (entry.mac === undefined) return entry.state === 'Failed' ? 'does not answer' : 'is being asked for';
    return entry.state === 'Static' ? `at ${entry.mac} by the spec` : `at ${entry.mac}`;
  }

  #due(entry: Entry, now: number): void {
    const isAsked = entry.state === 'Incomplete' || entry.state === 'Probe';
    if (!isAsked) {
      this.#remove(entry);
      return;
    }
    if (entry.questions >= QUESTIONS) {
      if (entry.state === 'Incomplete') {
        this.#fail(entry, now);
        return;
      }
      // It may have another MAC now, and nobody has said so (RFC 7048).
      entry.state = 'Incomplete';
      entry.questions = 0;
      this.#unresolved.add(entry);
      this.#write(entry);
    }
    this.#dueIn(entry, now + RETRANS_SECONDS);
    this.#question(entry, now);
  }

  #fail(entry: Entry, now: number): void {
    for (const packet of entry.held) this.#resume(packet, Resume.Unreachable);
    this.#held -= entry.held.length;
    entry.held = [];
    entry.state = 'Failed';
    entry.mac = undefined;
    this.#dueIn(entry, now + FAILED_SECONDS);
    this.#write(entry);
  }

  /** One more question, unless there were too many of late: then it counts as one that was lost. */
  #question(entry: Entry, now: number): void {
    entry.questions++;
    this.#tokens = Math.min(
      QUESTIONS_A_SECOND,
      this.#tokens + Math.max(0, now - this.#tokensAt) * QUESTIONS_A_SECOND,
    );
    this.#tokensAt = Math.max(this.#tokensAt, now);
    const { port, address, mac } = entry;
    const source = this.#sourceFor(port, address);
    if (this.#tokens < 1 || source === undefined) return;
    this.#tokens--;
    const one = entry.state === 'Probe' && mac !== undefined ? { mac } : {};
    const packet = question({ address, source, sourceMac: this.#options.gatewayMac, ...one });
    this.#out.push({ port, direction: 'out', packet });
  }

  /** Own address that a neighbour is asked from: of its prefix, else any of its family. None: it is not to be asked. */
  #sourceFor(port: number, text: string): string | undefined {
    const address = parseAddress(text);
    const own = this.#ports.get(port)?.addresses ?? [];
    const sameFamily = own.filter(({ family }) => family === address?.family);
    const source = sameFamily.find((prefix) => address && contains(prefix, address)) ?? sameFamily[0];
    return source && formatAddress(source);
  }

  /** Room for one that is asked for: at most half of the table, so that a scan leaves those in use alone. */
  #makeRoom(now: number): boolean {
    const { max } = this.#options;
    if (this.#unresolved.size >= Math.floor(max / 2)) {
      const failed = [...this.#unresolved].find(({ state }) => state === 'Failed');
      if (failed === undefined) return false;
      this.#remove(failed);
    }
    if (this.#entries.size < max) return true;
    const unused = [...this.#entries.values()].find(
      ({ state, staleAt }) => state === 'Failed' || (state === 'Reachable' && staleAt <= now),
    );
    if (unused !== undefined) this.#remove(unused);
    return unused !== undefined;
  }

  #resume(held: HeldPacket | undefined, metadata: bigint): void {
    if (held !== undefined) this.#out.push({ ...held, direction: 'in', metadata });
  }

  #add(
    port: number,
    address: string,
    state: Entry['state'],
    mac: string | undefined,
    dueAt: number,
    staleAt = Infinity,
  ): Entry {
    const entry: Entry = { port, address, state, mac, held: [], questions: 0, dueAt, staleAt };
    this.#entries.set(keyOf(port, address), entry);
    this.#dueIn(entry, dueAt);
    if (state === 'Incomplete') this.#unresolved.add(entry);
    this.#write(entry);
    return entry;
  }

  #remove(entry: Entry): void {
    this.#entries.delete(keyOf(entry.port, entry.address));
    this.#unresolved.delete(entry);
    this.rows.delete(packedKey(entry));
  }

  #write(entry: Entry): void {
    const { state, mac = NO_MAC, staleAt } = entry;
    const value = new Uint8Array(codec.valueSize);
    const row = state === 'Reachable' || state === 'Probe' ? 'Resolved' : state;
    const fresh = { used: 0, toldAt: 0, told: 0 };
    const due = Number.isFinite(staleAt) ? coarse(staleAt) : 0;
    codec.encodeValue({ mac, state: RowState[row], staleAt: due, ...fresh }, value);
    this.rows.set(packedKey(entry), value);
  }
}

function keyOf(port: number, address: string): string {
  return `${port} ${address}`;
}

function packedKey({ port, address }: Entry): Uint8Array {
  const key = new Uint8Array(codec.keySize);
  codec.encodeKey({ addr: address, port }, key);
  return key;
}
