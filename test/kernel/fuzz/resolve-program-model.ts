// SPDX-License-Identifier: Apache-2.0
/**
 * A router's program on ports where it finds MACs itself: what it looks up, hands to the agent, writes and drops. Written
 * from ADR 23 and the reference of the Router. Rows, clock and buckets are the kernel's; see resolve-agent-model.ts for
 * who writes the rows.
 */
import { GATEWAY_MAC, macBytes } from '../support/bytes.ts';
import { type Speaker, speakerOf } from './heard-model.ts';
import { type Address, addressOf, type Parsed } from './parse-model.ts';
import type { Arrival, ModelRoute, Outcome, Resumed, RouterModel } from './router-model.ts';

/** Of `neighbours`; seconds are the kernel's, of 2^30 ns. */
export interface Row {
  readonly state: 'Incomplete' | 'Resolved' | 'Failed' | 'Static';
  readonly mac: string;
  staleAt: number;
  used: number;
  toldAt: number;
  told: number;
}

/** What a neighbour has told in a second, as far as the agent was to hear of it. */
export interface HeardCount {
  second: number;
  records: number;
}

export interface Hop {
  readonly port: number;
  readonly address: Address;
  /** Of which the address is the gateway; absent: the destination itself. */
  readonly route?: ModelRoute;
}

/** A record for the agent. */
export interface Handed {
  readonly code: 'unresolved' | 'stale' | 'heard';
  /** That the packet came in by. */
  readonly port: number;
  readonly hop?: Hop;
  readonly frame: Buffer;
}

export interface Decided {
  readonly end: 'pass' | 'drop' | 'output';
  readonly frame: Buffer;
  readonly port?: number;
  readonly nextHop?: Address;
  readonly tunnel?: Address;
  readonly drops: readonly string[];
  readonly counts: readonly string[];
  readonly handed: readonly Handed[];
}

/** Reference: 1,000 a second of either kind; at once 100 packets, and of what is heard 1,000. */
export const LIMITS = {
  packets: { interval: 1_000_000n, tolerance: 99_000_000n },
  heard: { interval: 1_000_000n, tolerance: 999_000_000n },
} as const;

/** Records of each kind in a second, of one neighbour. */
const MOST = 8;

export const keyOf = (port: number, address: Address): string => `${port} ${address.toString(16)}`;

export interface Buckets {
  packets: bigint;
  heard: bigint;
}

/** When a packet is looked at. */
export interface Moment {
  readonly ns: bigint;
  readonly second: number;
}

export class ProgramModel {
  readonly router: RouterModel;
  readonly resolving: ReadonlySet<number>;
  rows: Map<string, Row>;
  /** Kept over what the agent writes. */
  readonly heard: Map<string, HeardCount>;
  readonly buckets: Buckets;
  readonly punted: Map<string, number>;

  constructor(
    router: RouterModel,
    resolving: ReadonlySet<number>,
    before?: Pick<ProgramModel, 'rows' | 'heard' | 'buckets' | 'punted'>,
  ) {
    this.router = router;
    this.resolving = resolving;
    const copies = <T>(map: ReadonlyMap<string, T> | undefined): Map<string, T> =>
      new Map([...(map ?? [])].map(([key, value]) => [key, { ...value }]));
    this.rows = copies(before?.rows);
    this.heard = copies(before?.heard);
    this.buckets = { packets: 0n, heard: 0n, ...before?.buckets };
    this.punted = new Map(before?.punted);
  }

  /** To try a packet at a moment that may be another one. */
  copy(): ProgramModel {
    return new ProgramModel(this.router, this.resolving, this);
  }

  decide(arrival: Arrival, how: Resumed | undefined, moment: Moment, actual: Buffer): Decided {
    return new Passage(this, arrival, moment, actual).through(how);
  }

  /** A token of a kind of record; false: there is none. */
  take(kind: 'packets' | 'heard', { ns }: Moment): boolean {
    const { interval, tolerance } = LIMITS[kind];
    const full = this.buckets[kind];
    const isFree = full <= ns + tolerance;
    const name = `${kind} ${isFree ? 'sent' : 'limited'}`;
    this.punted.set(name, (this.punted.get(name) ?? 0) + 1);
    if (isFree) this.buckets[kind] = (full < ns ? ns : full) + interval;
    return isFree;
  }
}

/** One packet on its way. */
class Passage {
  readonly #model: ProgramModel;
  readonly #arrival: Arrival;
  readonly #moment: Moment;
  readonly #actual: Buffer;
  readonly #drops: string[] = [];
  readonly #counts: string[] = [];
  readonly #handed: Handed[] = [];

  constructor(model: ProgramModel, arrival: Arrival, moment: Moment, actual: Buffer) {
    this.#model = model;
    this.#arrival = arrival;
    this.#moment = moment;
    this.#actual = actual;
  }

  through(how: Resumed | undefined): Decided {
    const { router } = this.#model;
    if (how !== undefined) return this.#leave(router.resume(this.#arrival, how, this.#actual));
    const reason = this.#hear();
    if (reason !== undefined) return this.#end('drop', [reason]);
    return this.#leave(router.decide(this.#arrival, this.#actual));
  }

  #end(end: 'pass' | 'drop', drops: readonly string[] = [], frame = this.#arrival.frame): Decided {
    const counts = this.#counts;
    return { end, frame, drops: [...this.#drops, ...drops], counts, handed: this.#handed };
  }

  /** What somebody says whose address is in the table. Returns why it ends here, which answers do. */
  #hear(): string | undefined {
    const { port, frame } = this.#arrival;
    if (!this.#model.resolving.has(port)) return undefined;
    const parsed = this.#model.router.parser.parse(frame);
    if (!parsed.ok) return undefined;
    const { packet } = parsed;
    const isDiscovery = packet.isNeighbourDiscovery && (packet.vlan ?? 0) === 0;
    if (packet.kind !== 'arp' && !isDiscovery) return undefined;
    const plain = isDiscovery ? withoutTag(frame, packet) : frame;
    const speaker = speakerOf(plain, packet, frame.length - plain.length);
    const key = speaker && keyOf(port, speaker.address);
    const row = key === undefined ? undefined : this.#model.rows.get(key);
    if (!speaker || key === undefined || !row || row.state === 'Static' || !tellsMore(speaker, row))
      return undefined;
    const isFree = this.#mayHear(key);
    const isHeard = isFree && this.#model.take('heard', this.#moment);
    if (isHeard) this.#handed.push({ code: 'heard', port, frame: plain });
    if (!speaker.isAnswer) return undefined;
    return isHeard ? 'router Punted' : 'router PuntLimited';
  }

  #mayHear(key: string): boolean {
    const { second } = this.#moment;
    const before = this.#model.heard.get(key);
    const records = before?.second === second ? before.records : 0;
    const isFree = records < MOST;
    this.#model.heard.set(key, { second, records: isFree ? records + 1 : records });
    return isFree;
  }

  #leave(outcome: Outcome): Decided {
    if (outcome.kind === 'pass') return this.#end('pass');
    this.#counts.push(...outcome.counts);
    if (outcome.drop !== undefined) this.#drops.push(outcome.drop);
    if (outcome.kind === 'drop') return this.#end('drop');
    const { frame, port, route, nextHop, tunnel } = outcome;
    const hop: Hop | undefined = this.#hopOf(outcome);
    if (!hop) {
      const way = {
        ...(nextHop === undefined ? {} : { nextHop }),
        ...(tunnel === undefined ? {} : { tunnel }),
      };
      return { ...this.#end('drop'), end: 'output', frame, port, ...way };
    }
    const row = this.#model.rows.get(keyOf(hop.port, hop.address));
    if (!row || row.state === 'Incomplete') return this.#wait(frame, hop, row);
    if (row.state === 'Failed') return this.#unreachable(frame);
    row.used = this.#moment.second;
    if (row.state === 'Resolved' && ((this.#moment.second - row.staleAt) | 0) >= 0)
      this.#stale(frame, hop, row);
    const sent = Buffer.from(frame);
    sent.set(macBytes(row.mac), 0);
    sent.set(macBytes(GATEWAY_MAC), 6);
    const to = route?.kind === 'NextHop' ? hop.address : 0n;
    return { ...this.#end('drop'), end: 'output', frame: sent, port, nextHop: to };
  }

  /** Of a packet for a port that resolves. What has its MACs already has no route. */
  #hopOf({ port, route, frame }: Outcome & { kind: 'output' }): Hop | undefined {
    if (!route || !this.#model.resolving.has(port)) return undefined;
    if (route.kind === 'NextHop') return { port, address: route.gateway ?? 0n, route };
    const v6 = frame.readUInt16BE(12) === 0x86dd;
    return { port, address: addressOf(v6 ? frame.subarray(38, 54) : frame.subarray(30, 34)) };
  }

  #wait(frame: Buffer, hop: Hop, row: Row | undefined): Decided {
    if (row) {
      if (row.toldAt !== this.#moment.second) Object.assign(row, { toldAt: this.#moment.second, told: 0 });
      if (row.told >= MOST) return this.#end('drop', ['router NeighbourQueueFull'], frame);
      row.told++;
    }
    if (!this.#model.take('packets', this.#moment)) return this.#end('drop', ['router PuntLimited'], frame);
    this.#handed.push({ code: 'unresolved', port: this.#arrival.port, hop, frame });
    return this.#end('drop', ['router Punted'], frame);
  }

  /** The agent is told of the use, once a second. */
  #stale(frame: Buffer, hop: Hop, row: Row): void {
    const { second } = this.#moment;
    if (row.toldAt === second && row.told > 0) return;
    Object.assign(row, { toldAt: second, told: 1 });
    if (!this.#model.take('heard', this.#moment)) return;
    this.#handed.push({ code: 'stale', port: this.#arrival.port, hop, frame });
  }

  /** The sender is told, by a packet that may need a MAC too; but nobody of what the router has made itself. */
  #unreachable(frame: Buffer): Decided {
    const { router } = this.#model;
    const isOurs = this.#counts.includes('echoReplies') || this.#counts.includes('icmpErrors');
    if (isOurs) return this.#end('drop', ['router NeighbourUnreachable'], frame);
    return this.#leave(router.resume({ ...this.#arrival, frame }, 'unreachable', this.#actual));
  }
}

function withoutTag(frame: Buffer, { vlan }: Parsed): Buffer {
  return vlan === undefined ? frame : Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]);
}

/** Answers always; of requests those that tell a MAC, unless it plainly is the one that is known. */
function tellsMore({ isAnswer, mac }: Speaker, row: Row): boolean {
  return isAnswer || (mac !== null && (row.state !== 'Resolved' || mac !== row.mac));
}
