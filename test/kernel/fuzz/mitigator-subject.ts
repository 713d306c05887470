// SPDX-License-Identifier: Apache-2.0
/** A DDoS mitigator with random lists and rates, in the kernel at either hook and as a model. */
import { GATEWAY_MAC, ipText, isV6, mappedBytes, POD_MAC } from '../support/bytes.ts';
import { Chain } from '../support/chain.ts';
import { addMitigator, enterBy, INSIDE, type Mitigator, OUTSIDE, SIZES } from '../support/mitigator.ts';
import { XdpChain, XdpVerdict } from '../support/xdp-chain.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { tupleBytes } from './flow-model.ts';
import { Flows, type Shot } from './flow-packets.ts';
import {
  type BucketModel,
  type Buckets,
  type List,
  type Listed,
  ListModel,
  MitigatorModel,
  type Rate,
} from './mitigator-model.ts';
import { type Address, addressOf } from './parse-model.ts';
import type { Random } from './random.ts';

const SIDES = {
  outside: [
    ...['203.0.113.7', '203.0.113.8', '203.0.112.1', '198.51.100.1', '10.1.0.1', '10.1.0.2', '10.129.0.1'],
    ...[
      '2001:db8::7',
      '2001:db8::8',
      '2001:db8:0:1::7',
      '2001:db9::1',
      'fd01::1',
      'fd01:0:0:1::1',
      '64:ff9b::1',
    ],
  ],
  inside: [
    '10.0.0.1',
    '10.0.0.2',
    '10.0.1.1',
    '192.0.2.1',
    'fd00::1',
    'fd00::2',
    'fd00:0:0:1::1',
    '2001:db8:1::1',
  ],
  ports: [0, 1, 80, 443, 40000],
  macs: [GATEWAY_MAC, POD_MAC, 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:05'],
};
const ADDRESSES = [...SIDES.outside, ...SIDES.inside];

const LENGTHS = {
  4: [0, 1, 8, 9, 23, 24, 31, 32, 32, 32],
  6: [0, 0, 1, 3, 16, 32, 48, 63, 64, 65, 127, 128, 128, 128],
};
const TABLES = ['test/a', 'test/b', 'test/c'] as const;
const COUNTS = [0, 0, 1, 2, 4, 8];

/**
 * The clock of buckets moves in ticks, of 10 ms at most, and lags behind the one that is read here; on a busy machine
 * by more. In ns.
 */
const LAG = 200_000_000n;

function randomRow(r: Random): Listed {
  const address = r.pick(ADDRESSES);
  const v6 = isV6(address);
  const length = r.pick(LENGTHS[v6 ? 6 : 4]);
  const rest = BigInt((v6 ? 128 : 32) - length);
  const value = (addressOf(mappedBytes(address)) >> rest) << rest;
  const bytes = Buffer.from(value.toString(16).padStart(32, '0'), 'hex');
  const cidr = `${ipText(v6 ? bytes : bytes.subarray(12))}/${length}`;
  // few of the shortest: below them nothing else would be seen
  const isShort = length < 8 && r.chance(0.5);
  if (isShort) return randomRow(r);
  const lists = ['DenySource', 'DenySource', 'AllowSource', 'DenyDestination'] as const;
  return { cidr, list: r.pick(lists) };
}

const randomRows = (r: Random): Listed[] => Array.from({ length: r.pick(COUNTS) }, () => randomRow(r));

function randomRate(r: Random): Rate | undefined {
  if (r.chance(0.35)) return undefined;
  return { perSecond: r.pick([1, 1, 2, 10]), burst: r.pick([1, 2, 5, 30, 100]) };
}

const cidrs = (rows: readonly Listed[], list: List): string[] => [
  ...new Set(rows.filter((row) => row.list === list).map(({ cidr }) => cidr)),
];

export interface MitigatorOptions {
  readonly hook?: 'TC' | 'XDP';
  /** Another build of the object file, with a planted bug. */
  readonly path?: string;
  /** Gets the names of all drops and counters that the model has had. */
  readonly seen?: Set<string>;
}

/** At the hook that is given, or by seed at one of them. */
export async function openMitigator(r: Random, options: MitigatorOptions = {}): Promise<Subject> {
  const hook = options.hook ?? (r.seed % 2 === 0 ? 'TC' : 'XDP');
  const chain = hook === 'TC' ? await Chain.open() : await XdpChain.open();
  const spec = randomRows(r);
  const [sourceRate, synGuard] = [randomRate(r), randomRate(r)];
  const mitigator = await addMitigator(
    chain,
    {
      denySources: cidrs(spec, 'DenySource'),
      allowSources: cidrs(spec, 'AllowSource'),
      denyDestinations: cidrs(spec, 'DenyDestination'),
      sizes: { ...SIZES, maxSourceBuckets: 8192, maxSynBuckets: 8192 },
      ...(sourceRate
        ? { sourceRate: { packetsPerSecond: sourceRate.perSecond, burst: sourceRate.burst } }
        : {}),
      ...(synGuard ? { synGuard: { synsPerSecond: synGuard.perSecond, burst: synGuard.burst } } : {}),
    },
    {},
    options.path,
  );
  const model = new MitigatorModel(new ListModel(spec), sourceRate, synGuard);
  const subject = new MitigatorSubject(chain, mitigator, model, spec, options.seen ?? new Set());
  for (const table of TABLES) subject.setTable(table, randomRows(r));
  return subject;
}

class MitigatorSubject implements Subject, Buckets {
  readonly #chain: Chain | XdpChain;
  readonly #mitigator: Mitigator;
  readonly #model: MitigatorModel;
  readonly #spec: readonly Listed[];
  readonly #tables = new Map<string, readonly Listed[]>();
  readonly #flows = new Flows(SIDES);
  readonly #sums = new Map<string, number>();
  readonly #seen: Set<string>;
  #port: number | undefined;
  /** Since when first fragments are remembered, by performance.now(). */
  #remembered = performance.now();

  constructor(
    chain: Chain | XdpChain,
    mitigator: Mitigator,
    model: MitigatorModel,
    spec: readonly Listed[],
    seen: Set<string>,
  ) {
    this.#chain = chain;
    this.#mitigator = mitigator;
    this.#model = model;
    this.#spec = spec;
    this.#seen = seen;
  }

  source(source: Address): bigint | undefined {
    return this.#bucket('source_buckets', addressBytes(source));
  }

  syn({ address, port }: { readonly address: Address; readonly port: number }): bigint | undefined {
    const key = Buffer.alloc(24);
    key.set(addressBytes(address));
    key.writeUInt16BE(port, 16);
    return this.#bucket('syn_buckets', key);
  }

  #bucket(map: string, key: Buffer): bigint | undefined {
    return this.#mitigator.cube.map(map).lookup(key)?.readBigUInt64LE();
  }

  shoot(random: Random): readonly string[] {
    const shot = this.#flows.next(random);
    const from = random.chance(0.8) ? 'outside' : shot.from;
    this.#enter(from === 'outside' ? OUTSIDE : INSIDE);
    // what a dry run leaves behind, the real one and all that is compared would show
    if (random.chance(0.02)) this.#chain.shoot(shot.frame, { dry: true });
    const before = process.hrtime.bigint() - LAG;
    const { left, frame } = this.#send(shot);
    const span = { from: before, to: process.hrtime.bigint() };
    const judged = this.#model.judge({
      ...{ frame: shot.frame, isFromOutside: from === 'outside', span, buckets: this },
    });
    const { drop, counts } = judged;
    const cube = this.#mitigator.cube.name;
    if (drop !== undefined) add(this.#sums, `drop ${drop.startsWith('entry') ? '' : `${cube} `}${drop}`);
    for (const name of counts) add(this.#sums, `count ${cube} ${name}`);
    const found = [...judged.found];
    const port = drop === undefined ? (from === 'outside' ? INSIDE : OUTSIDE) : undefined;
    if (left !== port) found.push(`port ${left}, not ${port}`);
    if (!frame.equals(shot.frame)) found.push('other bytes');
    if (found.length === 0) return [];
    return [...found, `model: ${drop ?? 'passes'}`, `from ${from}: ${shot.frame.toString('hex')}`];
  }

  #send({ frame }: Shot): { left: number | undefined; frame: Buffer } {
    if (this.#chain instanceof Chain) {
      const { seen, frame: out } = this.#chain.shoot(frame);
      return { left: seen?.port, frame: out };
    }
    const { verdict, frame: out } = this.#chain.shoot(frame);
    return { left: { [XdpVerdict.pass]: INSIDE, [XdpVerdict.tx]: OUTSIDE }[verdict], frame: out };
  }

  sums(): readonly string[] {
    const found = compareSums(this.#sums, this.#chain.tally());
    for (const [map, buckets] of this.#buckets()) {
      const { count } = this.#mitigator.cube.map(map).dumpSync();
      const expected = buckets?.full.size ?? 0;
      if (count !== expected) found.push(`${count} ${map}, not ${expected}`);
    }
    return found;
  }

  #buckets(): [string, BucketModel | undefined][] {
    return [
      ['source_buckets', this.#model.sources],
      ['syn_buckets', this.#model.syns],
    ];
  }

  /** Other lists, or time that passes. */
  change(random: Random): void {
    this.#forgetFragments();
    const table = random.pick(TABLES);
    if (random.chance(0.4)) this.#age(random);
    else this.setTable(table, this.#otherRows(random, this.#tables.get(table) ?? []));
  }

  #otherRows(random: Random, now: readonly Listed[]): readonly Listed[] | undefined {
    const place = random.below(now.length + 1);
    const kinds = [
      () => undefined,
      () => [...now],
      () => randomRows(random),
      () => now.toSpliced(place, 1),
      () => now.toSpliced(place, 0, randomRow(random)),
      // of another table as well: such a row stays until both are without it
      () => [...now, ...(this.#tables.get(random.pick(TABLES)) ?? []).slice(0, 3)],
    ];
    return random.pick(kinds)();
  }

  setTable(table: string, rows: readonly Listed[] | undefined): void {
    const problems = this.#mitigator.set(table, rows);
    if (problems.length > 0) throw new Error(problems.join('\n'));
    if (rows) this.#tables.set(table, rows);
    else this.#tables.delete(table);
    this.#model.lists = new ListModel([...this.#spec, ...[...this.#tables.values()].flat()]);
  }

  /** Time passes: all buckets are full that much earlier. */
  #age(random: Random): void {
    const ns = BigInt(random.pick([1, 2, 5, 60])) * 1_000_000_000n;
    for (const [name, buckets] of this.#buckets()) {
      const map = this.#mitigator.cube.map(name);
      const { count, keys, values } = map.dumpSync();
      for (let i = 0; i < count; i++)
        values.writeBigUInt64LE(earlier(values.readBigUInt64LE(8 * i), ns), 8 * i);
      if (count > 0) map.updateBatchSync(keys, values);
      for (const [key, full] of buckets?.full ?? []) buckets?.full.set(key, earlier(full, ns));
    }
  }

  /** The parser remembers a first fragment for 30 seconds: none gets that old here. */
  #forgetFragments(): void {
    if (performance.now() - this.#remembered < 10_000) return;
    this.#remembered = performance.now();
    const map = this.#chain.shared('fragments');
    const { count, keys } = map.dumpSync();
    if (count > 0) map.deleteBatchSync(keys);
    this.#model.parser.forget();
  }

  #enter(port: number): void {
    if (port === this.#port) return;
    this.#port = port;
    enterBy(this.#chain, this.#mitigator.cube, port);
  }

  close(): void {
    for (const name of this.#sums.keys())
      this.#seen.add(name.replace('ddos-mitigator-xdp', 'ddos-mitigator'));
    this.#chain.close();
  }
}

const earlier = (full: bigint, ns: bigint): bigint => (full > ns ? full - ns : 0n);

/** 16 bytes, as keys have them. */
function addressBytes(address: Address): Buffer {
  return tupleBytes({ src: address, dst: 0n, sport: 0, dport: 0, protocol: 0 }).subarray(0, 16);
}
