// SPDX-License-Identifier: Apache-2.0

/**
 * What a load balancer does with a packet, by docs/reference/load-balancer.md, docs/adr/0007 and 0018, the head of
 * bpf/include/session.h, which is the document of the session machine, and the RFCs. Four rules stand above all:
 *
 *   - What replies look like belongs to one session that lives. Whoever would need it picks again, or another port.
 *   - A session that ends takes its own two halves with it, and nothing of another one.
 *   - A server that says of TCP anything but SYN-ACK or RST first speaks of another connection, which then has the replies. The session
 *     ends with its client's next packet, and that one gets another port.
 *   - Each half looks after the other one: adds its events, keeps it fresh, makes it again when it was pushed out.
 *     Where somebody else has its place by then, the session is over, and the packet the drop ReverseConflict.
 *
 * The model is given what the kernel picked, and refuses what it may not pick. Left out: tables that are full.
 */
import { isInside } from './load-balancer-ranges.ts';
import { type Hides, type ModelServices, type Place, placeOf } from './load-balancer-services.ts';
import {
  CLOSED_BY_CLIENT,
  CLOSED_BY_SERVER,
  CLOSING,
  ESTABLISHED,
  HAIRPIN,
  type Half,
  isSame,
  MASQUERADED,
  MIDSTREAM,
  NO_ADDRESS,
  otherTable,
  PORT_CHANGED,
  REPLIED,
  RESET,
  State,
  TABLES,
  TAKEN,
  type Table,
} from './load-balancer-state.ts';
import {
  ACK,
  keyOf,
  number,
  proofOf,
  RST,
  SCTP,
  type Segment,
  SYN,
  segmentOf,
  TCP,
  type Tuple,
  UDP,
  word,
} from './load-balancer-tuple.ts';
import type { Parsed } from './parse-model.ts';

export const SERVER = 0;
export const CLIENT = 1;

/** A row of the table of backends. */
export interface ModelBackend {
  /** 16 characters. */
  readonly address: string;
  readonly port: number;
  readonly place: Place;
  readonly generation: number;
  /** Its time to drain is over. */
  readonly isGone: boolean;
  /** Takes new connections of some Service. */
  readonly takes: boolean;
  /** Raised when a Service lists it no longer and another one does. */
  readonly departures: number;
}

/** All in the unit of `seen`. */
interface Timeouts {
  readonly tcpSyn: number;
  readonly tcpEstablished: number;
  readonly tcpClosing: number;
  readonly udp: number;
  readonly udpStream: number;
  readonly sctp: number;
}

interface Config {
  readonly services: ModelServices;
  readonly backends: ReadonlyMap<number, ModelBackend>;
  readonly timeouts: Timeouts;
  /** 16 characters each. */
  readonly hairpin: { readonly v4: string; readonly v6: string };
  /** What backends see of hidden clients. 16 characters each; undefined: clients keep their addresses. */
  readonly sources: { readonly v4: string; readonly v6: string } | undefined;
  /** Addresses of the host. */
  readonly host: ReadonlySet<string>;
  /** Seconds to the unit of `seen`. */
  readonly unit: (seconds: number) => number;
}

/** What the kernel has done, of what it may choose. */
export interface Choices {
  half(table: Table, key: string): Half | undefined;
}

export interface Arrival {
  readonly frame: Buffer;
  readonly port: number;
  readonly packet: Parsed;
  readonly tuple: Tuple;
  /** In the unit of `seen`. */
  readonly now: number;
  readonly choices: Choices;
}

export interface Side {
  /** 16 characters. */
  readonly address: string;
  readonly port: number;
}

export type Verdict =
  | { readonly kind: 'drop'; readonly reason: string }
  /** Tells the sender, if that may be done. */
  | { readonly kind: 'refuse'; readonly reason: string }
  | {
      readonly kind: 'output';
      readonly port: number;
      readonly dst?: Side;
      readonly src?: Side;
      /** An error comes from `src` then, whoever made it. */
      readonly isHidden?: boolean;
    };

/** How many conflicts there may have been; the rest of the counts is exact. */
interface Conflicts {
  least: number;
  most: number;
}

const PICKS_TRIED = 4;
/** What the forward half of a session lacks. */
const NO_FRONTEND = { frontendPort: 0, frontend: NO_ADDRESS, client: NO_ADDRESS };
const OVER = undefined;

const drop = (reason: string): Verdict => ({ kind: 'drop', reason });
const refuse = (reason: string): Verdict => ({ kind: 'refuse', reason });

/** What the model holds to be impossible. */
export class Impossible extends Error {}

export class LoadBalancerModel {
  readonly state = new State();
  config: Config;
  counts: string[] = [];
  readonly conflicts: Conflicts = { least: 0, most: 0 };
  /** New sessions by row of their backend. */
  readonly picked = new Map<number, number>();
  /** Whose session the last packet opened. */
  opened: number | undefined;
  /** First choices of Maglev, which are the same for equal tuples and candidates. */
  readonly #firstChoices = new Map<string, Place>();

  constructor(config: Config) {
    this.config = config;
  }

  /** @throws Impossible when the kernel has chosen what it may not. */
  decide(arrival: Arrival): Verdict {
    this.counts = [];
    return new Decision(this, arrival, this.#firstChoices).verdict();
  }

  isExpired(half: Half, protocol: number, now: number): boolean {
    return ((now - half.seen) | 0) > this.#timeout(half.flags, protocol);
  }

  #timeout(flags: number, protocol: number): number {
    const { timeouts } = this.config;
    const isEstablished = (flags & ESTABLISHED) !== 0;
    if (protocol === UDP) return isEstablished ? timeouts.udpStream : timeouts.udp;
    if (flags & CLOSING) return timeouts.tcpClosing;
    if (!isEstablished) return timeouts.tcpSyn;
    return protocol === TCP ? timeouts.tcpEstablished : timeouts.sctp;
  }

  /** Of the packets of the client, from those of the server. */
  forwardKey(reverseKey: string, half: Half): string {
    const [server, client] = [reverseKey.slice(0, 16), reverseKey.slice(16, 32)];
    const src = half.own & HAIRPIN ? server : half.own & MASQUERADED ? half.client : client;
    const protocol = reverseKey.charCodeAt(36);
    return keyOf(src, half.frontend, word(half.port) + word(half.frontendPort), protocol, false);
  }

  /** The other way round. */
  reverseKey(forwardKey: string, half: Half, backend: ModelBackend): string {
    const client = forwardKey.slice(0, 16);
    const { hairpin, sources } = this.config;
    const v6 = !client.startsWith(`${NO_ADDRESS.slice(0, 10)}\xff\xff`);
    const standIn = half.own & HAIRPIN ? hairpin : half.own & MASQUERADED ? sources : undefined;
    const dst = standIn ? (v6 ? standIn.v6 : standIn.v4) : client;
    const protocol = forwardKey.charCodeAt(36);
    return keyOf(backend.address, dst, word(backend.port) + word(half.port), protocol, true);
  }
}

/** Of the packets that reply to those of a half. */
function reverseHalf(forwardKey: string, half: Half): Half {
  return {
    ...half,
    port: number(forwardKey, 32),
    frontendPort: number(forwardKey, 34),
    frontend: forwardKey.slice(16, 32),
    client: half.own & MASQUERADED ? forwardKey.slice(0, 16) : NO_ADDRESS,
  };
}

class Decision {
  readonly #model: LoadBalancerModel;
  readonly #state: State;
  readonly #arrival: Arrival;
  readonly #segment: Segment;
  readonly #firstChoices: Map<string, Place>;
  readonly #now: number;
  readonly #protocol: number;
  readonly #forward: string;
  /** The client's own port leads to a connection that the backend has already. */
  #isTaken = false;

  constructor(model: LoadBalancerModel, arrival: Arrival, firstChoices: Map<string, Place>) {
    this.#model = model;
    this.#state = model.state;
    this.#arrival = arrival;
    this.#firstChoices = firstChoices;
    this.#segment = segmentOf(arrival.frame, arrival.packet);
    this.#now = arrival.now;
    const { src, dst, ports, protocol } = arrival.tuple;
    this.#protocol = protocol;
    this.#forward = keyOf(src, dst, ports, protocol, false);
  }

  verdict(): Verdict {
    return this.#arrival.port === SERVER ? this.#fromServer() : this.#fromClient();
  }

  #count(name: string): void {
    this.#model.counts.push(name);
  }

  #isExpired(half: Half): boolean {
    return this.#model.isExpired(half, this.#protocol, this.#now);
  }

  #pass(port: number): Verdict {
    this.#count('passed');
    return { kind: 'output', port };
  }

  #fromServer(): Verdict {
    return this.#reply() ?? this.#pass(CLIENT);
  }

  #fromClient(): Verdict {
    const { tuple, packet } = this.#arrival;
    const half = this.#state.get('established', this.#forward);
    if (half) return this.#follow('established', half) ?? this.#begin();
    const { v4, v6 } = this.#model.config.hairpin;
    // a backend answers itself: that never comes in on the side of the servers
    const answer = tuple.dst === (packet.v6 ? v6 : v4) ? this.#reply() : OVER;
    return answer ?? this.#begin();
  }

  #frontend() {
    const { dst, dport, protocol } = this.#arrival.tuple;
    return this.#model.config.services.frontends.get(placeOf(dst, dport, protocol));
  }

  #begin(): Verdict {
    const frontend = this.#arrival.packet.hasPorts ? this.#frontend() : undefined;
    if (frontend) {
      const half = this.#state.get('embryonic', this.#forward);
      return (half ? this.#follow('embryonic', half) : OVER) ?? this.#open(frontend);
    }
    if (this.#segment.opens && this.#arrival.packet.hasPorts) {
      const verdict = this.#direct();
      if (verdict) return verdict;
    }
    return this.#pass(SERVER);
  }

  /** The backend that serves a half, if there is one that still does. */
  #backendOf({ backend, generation }: Half): ModelBackend | undefined {
    const row = this.#model.config.backends.get(backend);
    return row && row.generation === generation && !row.isGone ? row : undefined;
  }

  /** A packet of the client's in a session; OVER when that has ended, and the packet is to begin another. */
  #follow(table: Table, before: Half): Verdict | undefined {
    const { packet } = this.#arrival;
    let half = before;
    if (this.#isExpired(half)) {
      this.#count('expired');
      this.#end(half);
      return OVER;
    }
    if (half.own & TAKEN) {
      this.#isTaken = true;
      this.#end(half);
      return OVER;
    }
    const backend = this.#backendOf(half);
    if (this.#protocol !== UDP && this.#segment.opens) {
      const isStale = table === 'embryonic' && !backend?.takes;
      if (half.flags & CLOSING || !backend || isStale) {
        this.#end(half);
        return OVER;
      }
    }
    if (!backend) {
      if (packet.isError) return drop('BackendGone');
      this.#end(half);
      if (this.#protocol !== UDP) return refuse('BackendGone');
      this.#count('repicked');
      return OVER;
    }
    if (packet.isError) return this.#toBackend(half, backend);
    if (half.mark !== backend.departures) {
      const frontend = this.#frontend();
      // of a backend that takes nobody new, those that it has stay, where the Service is still there
      const keeps = frontend && (!backend.takes || frontend.candidates.has(backend.place));
      const { dst, dport } = this.#arrival.tuple;
      const isDirect = dst === backend.address && dport === backend.port;
      if (!keeps && !isDirect) {
        this.#end(half);
        this.#count('repicked');
        return OVER;
      }
      half = { ...half, mark: backend.departures };
    }
    const events = this.#events(CLOSED_BY_CLIENT) & ~half.flags;
    const looksAfter = events !== 0 || (half.seen ^ this.#now) >>> 3 !== 0;
    half = { ...half, seen: this.#now, flags: half.flags | events };
    this.#state.set(table, this.#forward, half);
    const reverseKey = this.#model.reverseKey(this.#forward, half, backend);
    const back = reverseHalf(this.#forward, half);
    if (looksAfter && !this.#lookAfter(table, reverseKey, back)) return this.#conflict(half);
    if (table === 'embryonic' && this.#confirms(half)) {
      if (this.#claimant(reverseKey, back)) return this.#conflict(half);
      const confirmed = { ...half, flags: half.flags | ESTABLISHED };
      this.#state.set('embryonic', this.#forward, undefined);
      this.#state.set('embryonic', reverseKey, undefined);
      this.#state.set('established', this.#forward, confirmed);
      this.#state.set('established', reverseKey, reverseHalf(this.#forward, confirmed));
      this.#count('promoted');
    }
    return this.#toBackend(half, backend);
  }

  #conflict(half: Half): Verdict {
    this.#end(half);
    return drop('ReverseConflict');
  }

  #events(closed: number): number {
    if (this.#segment.resets) return RESET;
    return this.#segment.finishes ? closed : 0;
  }

  /** Somebody else who lives and has this key. */
  #claimant(key: string, half: Half): Half | undefined {
    for (const table of TABLES) {
      const other = this.#state.get(table, key);
      if (other && !isSame(other, half) && !this.#isExpired(other)) return other;
    }
    return undefined;
  }

  /** The other half of a session, which should be `wanted`. False: its place is taken. */
  #lookAfter(table: Table, key: string, wanted: Half): boolean {
    if (this.#claimant(key, wanted)) return false;
    const there = this.#state.get(table, key);
    const kept =
      there && isSame(there, wanted)
        ? { ...there, seen: wanted.seen, flags: there.flags | wanted.flags }
        : wanted;
    this.#state.set(otherTable(table), key, undefined);
    this.#state.set(table, key, kept);
    return true;
  }

  /** Whether the client's packet says what only somebody can know who has seen the reply. */
  #confirms(half: Half): boolean {
    const { frame, packet } = this.#arrival;
    if (!(half.flags & REPLIED)) return false;
    if (this.#protocol === UDP) return true;
    if (packet.fragment === 'later') return false;
    const began = half.flags & MIDSTREAM;
    if (this.#protocol === SCTP) return began !== 0 || frame.readUInt32LE(packet.l4 + 4) === half.proof;
    if ((this.#segment.tcpFlags & (SYN | RST | ACK)) !== ACK) return false;
    return began !== 0 || frame.readUInt32BE(packet.l4 + 8) === half.proof;
  }

  /** Ends the session of the packet. */
  #end(half: Half): void {
    for (const table of TABLES) this.#state.set(table, this.#forward, undefined);
    const backend = this.#model.config.backends.get(half.backend);
    // of a row that serves somebody else by now, what its replies looked like is not known any more
    if (!backend || backend.generation !== half.generation) return;
    const key = this.#model.reverseKey(this.#forward, half, backend);
    this.#drop(key, reverseHalf(this.#forward, half));
  }

  /** Removes a half where it is of that session. */
  #drop(key: string, half: Half): void {
    for (const table of TABLES) {
      const there = this.#state.get(table, key);
      if (there && isSame(there, half)) this.#state.set(table, key, undefined);
    }
  }

  #toBackend(half: Half, { address, port }: ModelBackend): Verdict {
    this.#count('translated');
    const dst = { address, port };
    if (half.own === 0) return { kind: 'output', port: SERVER, dst };
    const { hairpin, sources } = this.#model.config;
    const isHairpin = (half.own & HAIRPIN) !== 0;
    const isHidden = (half.own & MASQUERADED) !== 0;
    const standIn = isHairpin ? hairpin : isHidden ? sources : undefined;
    const own = standIn && (this.#arrival.packet.v6 ? standIn.v6 : standIn.v4);
    const src = { address: own ?? this.#arrival.tuple.src, port: half.port };
    return { kind: 'output', port: isHairpin ? CLIENT : SERVER, dst, src, ...(isHidden ? { isHidden } : {}) };
  }

  /** A packet for a frontend, of no session. */
  #open(frontend: NonNullable<ReturnType<ModelServices['frontends']['get']>>): Verdict {
    const { packet, tuple, choices } = this.#arrival;
    if (packet.isError) return drop('NoSession');
    if (frontend.ranges.length > 0 && !frontend.ranges.some((one) => isInside(one, tuple.src, packet.v6)))
      return drop('SourceNotAllowed');
    const { opens } = this.#segment;
    // with Maglev any node can pick the backend again that another one has picked
    if (!opens && this.#protocol !== UDP && !frontend.maglev) return refuse('NoSession');
    if (frontend.candidates.size === 0) {
      if (frontend.elsewhere) return drop('NoLocalBackend');
      return frontend.reject ? refuse('NoBackend') : drop('NoBackend');
    }
    const flags = (opens ? 0 : MIDSTREAM) | this.#events(CLOSED_BY_CLIENT);
    const affinityKey = `${tuple.src}${frontend.group}`;
    const kept = this.#kept(affinityKey, frontend);
    const isFree = frontend.affinity === 0 || this.#hasEnded(affinityKey, frontend);
    const places = kept ? [kept.place] : [...frontend.candidates.keys()];
    const free = this.#isTaken
      ? []
      : places.filter((place) => !this.#conflicts(place, tuple.sport, flags, frontend));
    const chosen = choices.half('embryonic', this.#forward);
    if (!chosen) {
      if (free.length === places.length || this.#protocol !== SCTP)
        throw new Impossible(`none was picked, though ${free.length} of ${places.length} are free`);
      this.#conflicted(kept ? 1 : PICKS_TRIED);
      return drop('ReverseConflict');
    }
    const backend = this.#model.config.backends.get(chosen.backend);
    if (!backend || backend.generation !== chosen.generation || !places.includes(backend.place))
      throw new Impossible(`picked backend ${chosen.backend}, which may not serve`);
    const only = kept !== undefined || this.#isTaken; // one place is tried
    this.#pick({ ...frontend, isFree }, places, free, only, backend, chosen.port);
    const half: Half = {
      seen: this.#now,
      proof: 0,
      flags,
      mark: 0,
      own: (chosen.port === tuple.sport ? 0 : PORT_CHANGED) | this.#standIn(backend.address, frontend),
      backend: chosen.backend,
      generation: chosen.generation,
      port: chosen.port,
      frontendPort: 0,
      frontend: NO_ADDRESS,
      client: NO_ADDRESS,
    };
    const reverseKey = this.#model.reverseKey(this.#forward, half, backend);
    if (this.#claimantOf(reverseKey, this.#forward, half.own))
      throw new Impossible('the place of the replies is taken');
    this.#state.set('established', reverseKey, undefined);
    this.#state.set('embryonic', reverseKey, reverseHalf(this.#forward, half));
    this.#state.set('embryonic', this.#forward, half);
    if (frontend.affinity > 0) {
      const { backend: row, generation } = half;
      this.#state.setAffinity(affinityKey, { backend: row, generation, seen: this.#now });
    }
    if (kept) this.#count('affinityHits');
    if (half.own & HAIRPIN) this.#count('hairpins');
    if (half.own & PORT_CHANGED) this.#count('sourcePortChanged');
    this.#count('newSessions');
    this.#model.opened = half.backend;
    return this.#toBackend(half, backend);
  }

  /** The backend that the client has already, as long as it takes connections of this frontend. */
  #kept(key: string, frontend: { affinity: number; candidates: ReadonlyMap<Place, number> }) {
    const known = frontend.affinity > 0 ? this.#state.affinity(key) : undefined;
    if (!known || this.#hasEnded(key, frontend)) return undefined;
    const backend = this.#model.config.backends.get(known.backend);
    if (!backend || backend.generation !== known.generation || backend.isGone) return undefined;
    return frontend.candidates.has(backend.place) ? backend : undefined;
  }

  /** Whether the client had a backend, and has not asked for it in time. */
  #hasEnded(key: string, { affinity }: { affinity: number }): boolean {
    const known = this.#state.affinity(key);
    return known !== undefined && (this.#now - known.seen) >>> 0 > this.#model.config.unit(affinity);
  }

  /** Whether the backend sees another source than its client: of this node, or in place of its own. */
  #standIn(backend: string, { hides }: { hides: Hides }): number {
    const { sources, host } = this.#model.config;
    if (sources && (hides === 'all' || (hides === 'host' && host.has(backend)))) return MASQUERADED;
    return backend === this.#arrival.tuple.src ? HAIRPIN : 0;
  }

  /** Whether replies of a backend to the client's own port are those of another session. */
  #conflicts(place: Place, port: number, flags: number, frontend: { hides: Hides }): boolean {
    const address = place.slice(0, 16);
    const own = this.#standIn(address, frontend);
    const backend = { address, port: number(place, 16) } as ModelBackend;
    const half = { own, port, flags } as Half;
    return this.#claimantOf(this.#model.reverseKey(this.#forward, half, backend), this.#forward, own);
  }

  /** Whether a session lives that gets the replies of this key, and whose client's packets have another. */
  #claimantOf(reverseKey: string, forwardKey: string, own: number): boolean {
    const client = own & MASQUERADED ? forwardKey.slice(0, 16) : NO_ADDRESS;
    return TABLES.some((table) => {
      const other = this.#state.get(table, reverseKey);
      if (!other || this.#isExpired(other)) return false;
      return (
        word(other.port) + word(other.frontendPort) !== forwardKey.slice(32, 36) ||
        other.frontend !== forwardKey.slice(16, 32) ||
        other.client !== client
      );
    });
  }

  #conflicted(least: number, most = least): void {
    this.#model.conflicts.least += least;
    this.#model.conflicts.most += most;
  }

  /** Whether a pick is one that could be, and how many conflicts came before it. */
  #pick(
    frontend: { maglev: boolean; isFree: boolean; candidates: ReadonlyMap<Place, number> },
    places: readonly Place[],
    free: readonly Place[],
    isKept: boolean,
    { place }: ModelBackend,
    port: number,
  ): void {
    const { src, dst, ports, sport } = this.#arrival.tuple;
    if (port !== sport) {
      if (free.length === places.length || port < 1024)
        throw new Impossible(`port ${port} instead of ${sport} is not needed`);
      this.#conflicted(isKept ? 1 : PICKS_TRIED);
      return;
    }
    if (!free.includes(place))
      throw new Impossible('picked a backend whose replies are those of another session');
    if (isKept) return;
    const most = free.length === places.length ? 0 : PICKS_TRIED - 1;
    if (!frontend.maglev) {
      this.#conflicted(0, most);
      return;
    }
    const who = `${src}${dst}${frontend.isFree ? ports : ''}`;
    const among = [...frontend.candidates].map(([one, weight]) => `${one}${weight}`).sort();
    const key = `${who}${this.#protocol}${frontend.isFree}${among.join()}`;
    const first = this.#firstChoices.get(key);
    if (most === 0) this.#firstChoices.set(key, place);
    const isFirst = first === undefined ? undefined : first === place;
    if (first !== undefined && free.includes(first) && !isFirst)
      throw new Impossible('Maglev picked another backend for an equal tuple');
    this.#conflicted(isFirst === false ? 1 : 0, isFirst === true ? 0 : most);
  }

  /** Somebody who speaks to a backend by its own address, from the port of a session with it. */
  #direct(): Verdict | undefined {
    const { tuple, choices } = this.#arrival;
    const ports = tuple.ports.slice(2) + tuple.ports.slice(0, 2);
    const key = keyOf(tuple.dst, tuple.src, ports, this.#protocol, true);
    const other = this.#state.get('established', key) ?? this.#state.get('embryonic', key);
    if (!other) return undefined;
    const backend = this.#backendOf(other);
    if (!backend || other.flags & CLOSING || this.#isExpired(other)) {
      this.#drop(this.#model.forwardKey(key, other), {
        ...other,
        port: tuple.sport,
        frontendPort: 0,
        frontend: NO_ADDRESS,
        client: NO_ADDRESS,
      });
      for (const table of TABLES) this.#state.set(table, key, undefined);
      return undefined;
    }
    if (this.#protocol === SCTP) return drop('ReverseConflict');
    const chosen = choices.half('established', this.#forward);
    if (!chosen) throw new Impossible('no port for a connection beside a session');
    if (chosen.port === tuple.sport || chosen.port < 1024) throw new Impossible(`port ${chosen.port}`);
    const half: Half = {
      seen: this.#now,
      proof: 0,
      flags: ESTABLISHED,
      mark: 0,
      own: PORT_CHANGED | (backend.address === tuple.src ? HAIRPIN : 0),
      backend: other.backend,
      generation: other.generation,
      port: chosen.port,
      frontendPort: 0,
      frontend: NO_ADDRESS,
      client: NO_ADDRESS,
    };
    const reverseKey = this.#model.reverseKey(this.#forward, half, backend);
    if (this.#claimantOf(reverseKey, this.#forward, half.own))
      throw new Impossible('the place of the replies is taken');
    this.#state.set('embryonic', reverseKey, undefined);
    this.#state.set('established', reverseKey, reverseHalf(this.#forward, half));
    this.#state.set('embryonic', this.#forward, undefined);
    this.#state.set('established', this.#forward, half);
    this.#count('sourcePortChanged');
    return this.#toBackend(half, backend);
  }

  /** Whether a server that is another host than its client speaks of something else than what that asks for through a session. */
  #isOfAnother(table: Table, half: Half): boolean {
    const { packet, port } = this.#arrival;
    if (port !== SERVER || this.#protocol !== TCP || table === 'established' || packet.isError) return false;
    if (packet.fragment === 'later' || half.flags & (REPLIED | MIDSTREAM)) return false;
    return (this.#segment.tcpFlags & (SYN | RST)) === 0;
  }

  /** A packet of a backend; OVER when it is no reply of a session. */
  #reply(): Verdict | undefined {
    const { tuple, packet, frame } = this.#arrival;
    const key = keyOf(tuple.src, tuple.dst, tuple.ports, this.#protocol, true);
    const table = this.#state.get('established', key) ? 'established' : 'embryonic';
    let half = this.#state.get(table, key);
    if (!half) return OVER;
    if (this.#isExpired(half)) {
      this.#count('expired');
      return OVER;
    }
    if (this.#isOfAnother(table, half)) {
      const forwardKey = this.#model.forwardKey(key, half);
      const there = this.#state.get('embryonic', forwardKey);
      const forward = { ...half, ...NO_FRONTEND, port: tuple.dport };
      if (there && isSame(there, forward))
        this.#state.set('embryonic', forwardKey, { ...there, own: there.own | TAKEN });
      this.#state.set('embryonic', key, undefined);
      return OVER;
    }
    if (!packet.isError) {
      const events = this.#events(CLOSED_BY_SERVER) & ~half.flags;
      const looksAfter = events !== 0 || (half.seen ^ this.#now) >>> 3 !== 0;
      half = { ...half, seen: this.#now, flags: half.flags | events };
      this.#state.set(table, key, half);
      const forwardKey = this.#model.forwardKey(key, half);
      const forward = { ...half, ...NO_FRONTEND, port: tuple.dport };
      if (looksAfter && !this.#lookAfter(table, forwardKey, forward)) {
        this.#state.set(table, key, undefined);
        return drop('ReverseConflict');
      }
      if (table === 'embryonic') {
        const proof = proofOf(frame, packet, this.#segment, (half.flags & MIDSTREAM) !== 0);
        const there = this.#state.get('embryonic', forwardKey);
        if (proof !== undefined && there && isSame(there, forward)) {
          this.#state.set('embryonic', forwardKey, { ...there, proof, flags: there.flags | REPLIED });
          half = { ...half, proof, flags: half.flags | REPLIED };
          this.#state.set('embryonic', key, half);
        }
      }
    }
    this.#count('reverseTranslated');
    const src = { address: half.frontend, port: half.frontendPort };
    if (half.own === 0) return { kind: 'output', port: CLIENT, src };
    const client = half.own & MASQUERADED ? half.client : tuple.dst;
    const dst = { address: half.own & HAIRPIN ? tuple.src : client, port: half.port };
    return { kind: 'output', port: CLIENT, src, dst };
  }
}
