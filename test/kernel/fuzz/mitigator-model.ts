// SPDX-License-Identifier: Apache-2.0
/**
 * What a DDoS mitigator does with a frame, at either hook, written from its schema and reference page and from
 * docs/cube-abi.md. It shares no code with src/cubes/ddos-mitigator or bpf/ddos-mitigator.
 *
 * Buckets follow the kernel's clock: the model says what is permitted between the time before a packet and the time after
 * it, and goes on with what the kernel has chosen of that. It leaves out buckets that make room for others.
 */
import { mappedBytes } from '../support/bytes.ts';
import { type Address, addressOf, isMapped, type Parsed, ParseModel } from './parse-model.ts';
import { segmentOf } from './session-model.ts';

export type List = 'DenySource' | 'DenyDestination' | 'AllowSource';

export interface Listed {
  readonly cidr: string;
  readonly list: List;
}

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

interface Prefix {
  readonly v6: boolean;
  readonly length: number;
  readonly value: Address;
  readonly list: List;
}

function prefixOf({ cidr, list }: Listed): Prefix {
  const [address = '', length = ''] = cidr.split('/');
  const v6 = address.includes(':');
  const rest = BigInt((v6 ? 128 : 32) - Number(length));
  return { v6, length: Number(length), value: addressOf(mappedBytes(address)) >> rest, list };
}

const holds = ({ v6, length, value }: Prefix, address: Address): boolean =>
  v6 !== isMapped(address) && address >> BigInt((v6 ? 128 : 32) - length) === value;

/** All lists together, and what has been asked of them. */
export class ListModel {
  readonly #sources: readonly Prefix[];
  readonly #destinations: readonly Prefix[];
  readonly #asked = new Map<Address, 'Deny' | 'Allow' | 'Nothing'>();

  constructor(rows: readonly Listed[]) {
    const prefixes = rows.map(prefixOf);
    this.#sources = prefixes.filter(({ list }) => list !== 'DenyDestination');
    this.#destinations = prefixes.filter(({ list }) => list === 'DenyDestination');
  }

  /** The longest prefix decides; where it is both denied and allowed, it is allowed. */
  source(address: Address): 'Deny' | 'Allow' | 'Nothing' {
    const before = this.#asked.get(address);
    if (before !== undefined) return before;
    const those = this.#sources.filter((one) => holds(one, address));
    const longest = Math.max(...those.map(({ length }) => length));
    const last = those.filter(({ length }) => length === longest);
    const answer =
      last.length === 0 ? 'Nothing' : last.some(({ list }) => list === 'AllowSource') ? 'Allow' : 'Deny';
    this.#asked.set(address, answer);
    return answer;
  }

  isDenied(destination: Address): boolean {
    return this.#destinations.some((one) => holds(one, destination));
  }
}

/** ns of the clock that buckets are kept by: what it may have shown while a packet was looked at. */
export interface Span {
  readonly from: bigint;
  readonly to: bigint;
}

/** The schema: a burst is at least what 10 ms of the rate allow. */
const LEAST_BURST = 10_000_000n;

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** Token buckets: when each is full again, as the map of the cube has it. */
export class BucketModel {
  readonly full = new Map<string, bigint>();
  readonly #interval: bigint;
  readonly #tolerance: bigint;

  constructor({ perSecond, burst }: Rate) {
    this.#interval = BigInt(Math.round(1e9 / perSecond));
    this.#tolerance = larger(this.#interval * BigInt(burst - 1), LEAST_BURST);
  }

  /**
   * Whether a packet of this key passes. Where the span leaves it open, the kernel's bucket says what was chosen.
   * @param actual the kernel's bucket after the packet.
   * @param found gets what is wrong with it.
   */
  take(key: string, { from, to }: Span, actual: bigint | undefined, found: string[]): boolean {
    const before = this.full.get(key);
    const mayPass = before === undefined || before <= to + this.#tolerance;
    const mustPass = before === undefined || before <= from + this.#tolerance;
    const passes = mustPass || (mayPass && actual !== before);
    const least = larger(before ?? 0n, from) + this.#interval;
    const most = larger(before ?? 0n, to) + this.#interval;
    const isRight = passes ? actual !== undefined && actual >= least && actual <= most : actual === before;
    if (!isRight)
      found.push(`bucket ${key} is full at ${actual}, not in ${passes ? `${least} … ${most}` : before}`);
    if (actual !== undefined) this.full.set(key, actual);
    return passes;
  }
}

/** A key of SYN buckets. */
export interface Target {
  readonly address: Address;
  readonly port: number;
}

/** The kernel's buckets after the packet. */
export interface Buckets {
  source(source: Address): bigint | undefined;
  syn(target: Target): bigint | undefined;
}

export interface Arrival {
  readonly frame: Buffer;
  readonly isFromOutside: boolean;
  readonly span: Span;
  readonly buckets: Buckets;
}

export interface Judgement {
  /** Undefined: it goes out of the other port, as it is. */
  readonly drop?: string;
  readonly counts: readonly string[];
  /** What is wrong with the buckets. */
  readonly found: readonly string[];
}

export class MitigatorModel {
  readonly parser = new ParseModel();
  lists: ListModel;
  readonly sources: BucketModel | undefined;
  readonly syns: BucketModel | undefined;

  constructor(lists: ListModel, sourceRate: Rate | undefined, synGuard: Rate | undefined) {
    this.lists = lists;
    this.sources = sourceRate && new BucketModel(sourceRate);
    this.syns = synGuard && new BucketModel(synGuard);
  }

  judge(arrival: Arrival): Judgement {
    const parsed = this.parser.parse(arrival.frame);
    if (!parsed.ok) return dropped(`entry ${parsed.reason}`);
    if (!arrival.isFromOutside) return { counts: [], found: [] };
    const { packet } = parsed;
    if (packet.kind !== 'ip') return { counts: ['passed'], found: [] };
    const listed = this.lists.source(packet.src);
    if (listed === 'Allow') return { counts: ['allowed', 'passed'], found: [] };
    if (listed === 'Deny') return dropped('SourceDenied');
    if (this.lists.isDenied(packet.dst)) return dropped('DestinationDenied');
    return this.#rates(arrival, packet);
  }

  #rates({ frame, span, buckets }: Arrival, packet: Parsed): Judgement {
    const { src, dst } = packet;
    const found: string[] = [];
    const source = isMapped(src) ? src : (src >> 64n) << 64n;
    if (this.sources && !this.sources.take(`${source}`, span, buckets.source(source), found)) {
      return { ...dropped('SourceRateExceeded'), found };
    }
    const port = this.syns && synPort(frame, packet);
    if (!this.syns || port === undefined) return { counts: ['passed'], found };
    const actual = buckets.syn({ address: dst, port });
    if (this.syns.take(`${dst} ${port}`, span, actual, found)) return { counts: ['syns', 'passed'], found };
    return { ...dropped('SynRateExceeded'), counts: ['syns'], found };
  }
}

const dropped = (drop: string): Judgement => ({ drop, counts: [], found: [] });

/** The port that a SYN is for: a segment that makes a server take up state (RFC 4987). */
function synPort(frame: Buffer, packet: Parsed): number | undefined {
  if (packet.protocol !== 6 || packet.fragment === 'later') return undefined;
  const { flags } = segmentOf(frame, packet);
  if (!flags.includes('S') || flags.includes('A') || flags.includes('R')) return undefined;
  return frame.readUInt16BE(packet.l4 + 2);
}
