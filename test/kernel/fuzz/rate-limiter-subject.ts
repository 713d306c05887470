// SPDX-License-Identifier: Apache-2.0

/**
 * A rate limiter with random limits, in the kernel and as a model. A change is another table of limits, of which some are the
 * same. Not here: that CPUs race for a bucket.
 */
import type { Bandwidth, Limit } from '../../../src/api/generated/types.ts';
import { ipBytes, isV6, mappedBytes } from '../support/bytes.ts';
import { Verdict } from '../support/chain.ts';
import { type Direction, INSIDE, Limiter, OUTSIDE } from '../support/limiter.ts';
import { ethernet, ip, tcp, udp } from '../support/packet.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { randomFrame } from './packets.ts';
import { type Address, addressOf, type Parsed, ParseModel } from './parse-model.ts';
import type { Random } from './random.ts';
import { WORLD } from './random-match.ts';
import { BucketModel, headersOf, type Span, wireBytes } from './rate-limiter-model.ts';

const DIRECTIONS = ['ingress', 'egress'] as const;
const REASON = { ingress: 'IngressRateExceeded', egress: 'EgressRateExceeded' } as const;
/** From what nothing gets through to what nobody can reach. */
const RATES = [1000, 8000, 1_000_000, 100_000_000, 1_000_000_000, 100_000_000_000, 1e15];
const BURSTS = [1, 8, 800, 8000, 100_000, 1_000_000, 2 ** 35];
const SEGMENTS = [1, 100, 536, 1400];
const MOST_LIMITS = 5;
const MOST_ADDRESSES = 4;

const bandwidth = (r: Random): Bandwidth => ({ bitsPerSecond: r.pick(RATES), burst: r.pick(BURSTS) });

/** Addresses that limits name. Frames are built by a library that takes an IPv4-compatible address for a mapped one. */
const NAMED = WORLD.addresses.filter((address) => !/^::\d+\./.test(address));

/** Limits that share no address. */
function randomLimits(r: Random): Limit[] {
  const left = [...NAMED];
  return Array.from({ length: r.between(1, MOST_LIMITS) }, () => ({
    addresses: Array.from({ length: r.between(1, MOST_ADDRESSES) }, () =>
      left.splice(r.below(left.length), 1).join(),
    ),
    ...(r.chance(0.8) ? { ingress: bandwidth(r) } : {}),
    ...(r.chance(0.8) ? { egress: bandwidth(r) } : {}),
  }));
}

/** One that is to be segmented still, with options of TCP. */
function largeFrame(r: Random): Buffer {
  const v6 = r.chance(0.5);
  const pool = WORLD.addresses.filter((address) => isV6(address) === v6);
  const ports = { sport: r.pick(WORLD.ports), dport: r.pick(WORLD.ports), payload: r.between(0, 3000) };
  const l4 = r.chance(0.5) ? udp(ports) : tcp({ ...ports, options: Buffer.alloc(4 * r.below(11), 1) });
  return ethernet({}, ip({ src: r.pick(pool), dst: r.pick(pool) }, l4));
}

/** ns since boot, as the kernel's programs have them, in ticks. */
const ticks = (): bigint => process.hrtime.bigint() << 4n;

/**
 * @param options.path another build of the object file, with a planted bug.
 * @param options.seen gets the drop reasons and counters that occurred.
 */
export async function openRateLimiter(
  r: Random,
  options: { path?: string; seen?: Set<string> } = {},
): Promise<Subject> {
  const { path, seen = new Set() } = options;
  const limiter = await Limiter.open({}, path);
  const { chain, cube } = limiter;
  const parser = new ParseModel();
  const sums = new Map<string, number>();
  /** By number, as the kernel has it. */
  let buckets = new Map<number, BucketModel>();
  /** Number of the limit of each address. */
  let numbers = new Map<Address, number>();
  let limits: Limit[] = [];
  let direction: Direction = 'ingress';

  const enter = (random: Random) => {
    direction = random.pick(DIRECTIONS);
    limiter.enter(direction);
  };

  /** Another table. What became of the buckets is looked at once; from there on the model knows. */
  const apply = (next: Limit[]): string[] => {
    const problems = [...limiter.set('test/limits', next)];
    const before = buckets;
    limits = next;
    numbers = new Map();
    buckets = new Map();
    for (const limit of limits) {
      const found = limit.addresses.map((address) =>
        cube.map('limits').lookup(mappedBytes(address))?.readUInt32LE(0),
      );
      const [number] = found;
      if (number === undefined || new Set(found).size !== 1) problems.push(`numbers ${found} of one limit`);
      if ([...numbers.values()].includes(number ?? -1)) problems.push(`number ${number} of two limits`);
      for (const address of limit.addresses) numbers.set(addressOf(ipBytes(address)), number ?? -1);
      for (const [place, of] of DIRECTIONS.entries()) {
        const rate = limit[of];
        if (rate === undefined || number === undefined) continue;
        const at = number * DIRECTIONS.length + place;
        const model = new BucketModel(rate);
        model.full = limiter.bucket(at).full;
        if (model.full !== 0n && model.full !== before.get(at)?.full)
          problems.push(`bucket ${at} is neither`);
        const { packets, bytes } = limiter.dropped(at);
        Object.assign(model, { packets, bytes });
        buckets.set(at, model);
      }
    }
    return problems;
  };
  const late = apply(randomLimits(r));
  enter(r);

  function expect(
    frame: Buffer,
    packet: Parsed,
    out: Buffer,
    passed: boolean,
    at: Span,
    segment: number,
  ): string[] {
    const egress = direction === 'egress';
    const isLimited = packet.kind === 'ip' && !packet.isNeighbourDiscovery;
    const number = isLimited ? numbers.get(egress ? packet.src : packet.dst) : undefined;
    const place = number === undefined ? -1 : number * DIRECTIONS.length + (egress ? 1 : 0);
    const bucket = buckets.get(place);
    if (bucket === undefined) return passed ? [] : ['it has no limit'];
    add(sums, passed ? 'count limited' : `drop ${REASON[direction]}`);
    // without the tag that the entry takes off
    const tag = frame.length - out.length;
    const headers = headersOf(frame, packet) - tag;
    const { full } = limiter.bucket(place);
    return bucket.offer(wireBytes(out.length, headers, segment), at, { passed, full });
  }

  /** What the kernel holds of all buckets; a packet has no part in those of others. */
  function otherBuckets(): string[] {
    return [...buckets].flatMap(([at, { full, packets, bytes }]) => {
      const [model, kernel] = [
        { full, packets, bytes },
        { full: limiter.bucket(at).full, ...limiter.dropped(at) },
      ];
      const isSame = model.full === kernel.full && packets === kernel.packets && bytes === kernel.bytes;
      return isSame ? [] : [`bucket ${at}: model ${Object.values(model)}, kernel ${Object.values(kernel)}`];
    });
  }

  return {
    shoot(random) {
      if (random.chance(0.2)) enter(random);
      const isLarge = random.chance(0.2);
      const frame = isLarge ? largeFrame(random) : randomFrame(random, WORLD);
      const segment = isLarge ? random.pick(SEGMENTS) : 0;
      if (random.chance(0.05)) {
        chain.shoot(frame, { dry: true });
        return otherBuckets();
      }
      const differences = late.splice(0);
      const from = ticks();
      const actual = chain.shoot(frame, segment === 0 ? {} : { gsoSize: segment });
      const at = { from, to: ticks() };
      const parsed = parser.parse(frame);
      const passed = actual.seen !== undefined;
      if (!parsed.ok) {
        add(sums, `drop entry ${parsed.reason}`);
        if (actual.verdict !== Verdict.drop) differences.push(`the entry should drop it: ${parsed.reason}`);
      } else {
        differences.push(...expect(frame, parsed.packet, actual.frame, passed, at, segment));
        const out = direction === 'egress' ? OUTSIDE : INSIDE;
        if (passed && actual.seen?.port !== out) differences.push(`it left by ${actual.seen?.port}`);
      }
      if (random.chance(0.02)) differences.push(...otherBuckets());
      if (differences.length === 0) return [];
      return [
        ...differences,
        `${direction}, segments of ${segment}: ${frame.toString('hex')}`,
        `limits ${JSON.stringify(limits)}`,
        `kernel: ${passed ? 'passed' : 'dropped'}, ${actual.frame.toString('hex')}`,
      ];
    },
    sums() {
      const counted = new Map(
        [...chain.tally()].map(([name, n]) => [name.replace(/rate-limiter(@\d+)? /, ''), n]),
      );
      for (const name of counted.keys()) seen.add(name);
      return [...otherBuckets(), ...compareSums(sums, counted)];
    },
    change(random) {
      const kept = limits.filter(() => random.chance(0.5));
      const held = new Set(kept.flatMap(({ addresses }) => addresses));
      const fresh = randomLimits(random).filter(({ addresses }) => addresses.every((one) => !held.has(one)));
      const next = [...kept, ...fresh].slice(0, MOST_LIMITS);
      late.push(...apply(next.length > 0 ? next : randomLimits(random)));
    },
    close: () => chain.close(),
  };
}
