// SPDX-License-Identifier: Apache-2.0
/** A load balancer with random Services, in the kernel and as a model. */
import type { Service } from '../../../src/api/generated/types.ts';
import { Balancer } from '../support/balancer.ts';
import { ipText } from '../support/bytes.ts';
import { type Chain, Verdict as Kernel } from '../support/chain.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { answerTo } from './load-balancer-answers.ts';
import { Flows, type Shot } from './load-balancer-flows.ts';
import { bytesOf, Halves, Rows } from './load-balancer-kernel.ts';
import {
  type Arrival,
  CLIENT,
  Impossible,
  LoadBalancerModel,
  SERVER,
  type Side,
  type Verdict,
} from './load-balancer-model.ts';
import { bytesOfAddress, modelServices } from './load-balancer-services.ts';
import { type Half, TABLES, type Table } from './load-balancer-state.ts';
import { TCP, Tuples } from './load-balancer-tuple.ts';
import {
  ADDRESSES,
  AGES,
  CLUSTER_SOURCES,
  HAIRPIN_SOURCE,
  HOST_BACKENDS,
  LONG_DRAIN,
  NAMES,
  NODE,
  otherBackends,
  randomService,
  randomSpec,
  ZONE,
} from './load-balancer-world.ts';
import { type Parsed, ParseModel } from './parse-model.ts';
import { Random } from './random.ts';
import { checksumsOf, rewritten, sameBytes } from './rewrite-model.ts';

/** Nanoseconds of the unit in which sessions are timed. */
const UNIT = 2 ** 30;
/** The kernel's coarse clock lags behind by a tick, at most so many nanoseconds. */
const TICK = 12e6;
const coarse = (seconds: number): number => Math.ceil((seconds * 1e9) / UNIT);

const WHOLE_EVERY = 512;

type Result = ReturnType<Chain['shoot']>;

/** Load balancers of one build. Loading one takes longer than a thousand packets, so seeds of a kind share one. */
export class LoadBalancers {
  readonly #path: string | undefined;
  readonly #balancers = new Map<number, Balancer>();
  /** Reasons and counters that packets of all seeds have met. */
  readonly seen = new Set<string>();

  /** @param path another build of the object file, with a planted bug. */
  constructor(path?: string) {
    this.#path = path;
  }

  /** The subject of a seed; it ends when the next one is opened. */
  readonly open = async (random: Random): Promise<Subject> => {
    const spec = randomSpec(random);
    // what else of a spec stands in the program's constants is always the same
    const kind = spec.rejects.errorsPerSecond;
    const path = this.#path === undefined ? {} : { path: this.#path };
    const balancer =
      this.#balancers.get(kind) ??
      (await Balancer.open({ spec, node: NODE, zone: ZONE, addresses: ADDRESSES, ...path }));
    this.#balancers.set(kind, balancer);
    for (const address of HOST_BACKENDS) balancer.chain.hostAddress(address);
    balancer.renew(spec);
    return new LoadBalancerSubject(balancer, random, this.seen);
  };

  close(): void {
    for (const balancer of this.#balancers.values()) balancer.close();
  }
}

class LoadBalancerSubject implements Subject {
  readonly #balancer: Balancer;
  readonly #seen: Set<string>;
  readonly #model: LoadBalancerModel;
  readonly #rows: Rows;
  readonly #halves: Halves;
  readonly #services = new Map<string, Service>();
  readonly #flows = new Flows();
  readonly #parser = new ParseModel();
  readonly #tuples = new Tuples();
  readonly #sums = new Map<string, number>();
  /** Counted for the seeds before. */
  readonly #before: ReadonlyMap<string, number>;
  /** Of the image, in seconds since the boot: moves by itself only, and lies behind the kernel's. */
  #clock = Math.max(1, Number(process.hrtime.bigint()) / 1e9 - 300);
  #port = -1;
  #packets = 0;
  /** Found outside of packets. */
  #pending: string[] = [];

  constructor(balancer: Balancer, random: Random, seen: Set<string>) {
    this.#balancer = balancer;
    this.#seen = seen;
    this.#before = balancer.chain.tally();
    this.#rows = new Rows(balancer);
    this.#halves = new Halves(balancer, this.#rows);
    const { timeouts } = balancer.spec.sessions;
    this.#model = new LoadBalancerModel({
      services: { frontends: new Map(), backends: new Map(), listed: new Map() },
      backends: new Map(),
      timeouts: {
        tcpSyn: coarse(timeouts.tcpSyn),
        tcpEstablished: coarse(timeouts.tcpEstablished),
        tcpClosing: coarse(timeouts.tcpClosing),
        udp: coarse(timeouts.udp),
        udpStream: coarse(timeouts.udpStream),
        sctp: coarse(timeouts.sctp),
      },
      hairpin: { v4: bytesOfAddress(HAIRPIN_SOURCE.ipv4), v6: bytesOfAddress(HAIRPIN_SOURCE.ipv6) },
      sources:
        balancer.spec.clusterSources.length === 0
          ? undefined
          : { v4: bytesOfAddress(CLUSTER_SOURCES.ipv4), v6: bytesOfAddress(CLUSTER_SOURCES.ipv6) },
      host: new Set(HOST_BACKENDS.map(bytesOfAddress)),
      unit: coarse,
    });
    for (const name of NAMES) this.#services.set(name, randomService(random, name));
    this.#configure(...NAMES);
  }

  /** Writes the Services of these names as they are now. */
  #configure(...names: string[]): void {
    const { image, spec } = this.#balancer;
    image.tick(this.#clock);
    for (const name of names) {
      const service = this.#services.get(name);
      image.setTable(`n/${name}`, service && [service]);
    }
    this.#balancer.apply(image.take());
    const services = modelServices(spec, { name: NODE, zone: ZONE, addresses: ADDRESSES }, [
      ...this.#services.values(),
    ]);
    this.#pending.push(...this.#rows.read(services));
    this.#model.config = { ...this.#model.config, services, backends: this.#rows.backends };
    // a row counts from zero for its next owner
    for (const id of this.#model.picked.keys()) if (!this.#rows.isLive(id)) this.#model.picked.delete(id);
  }

  change(random: Random): void {
    const r = new Random(random.word());
    const name = r.pick(NAMES);
    const service = this.#services.get(name);
    const kind = r.below(10);
    if (kind === 0) {
      this.#services.delete(name);
    } else if (kind === 1) {
      // the time to drain passes for backends that nobody lists
      const { drainSeconds, udpDrainSeconds } = this.#balancer.spec;
      const isLong = drainSeconds === LONG_DRAIN && udpDrainSeconds === LONG_DRAIN;
      this.#clock += isLong ? LONG_DRAIN + 100 : 2.5;
      this.#configure();
    } else if (kind < 7 && service) {
      this.#services.set(name, otherBackends(r, service));
    } else {
      this.#services.set(name, randomService(r, name));
    }
    this.#configure(name);
  }

  shoot(random: Random): readonly string[] {
    // by one number of the campaign's, so that what the kernel picks changes nothing in the packets behind
    const r = new Random(random.word());
    this.#pass(r);
    const shot = this.#flows.next(r);
    if (shot.port !== this.#port) {
      this.#port = shot.port;
      this.#balancer.enter(shot.port);
    }
    const [now, later] = this.#around(() => this.#balancer.chain.shoot(shot.frame));
    let found = this.#compare(shot, later.result, now);
    if (found.length > 0 && later.now !== now) found = this.#compare(shot, later.result, later.now);
    if (++this.#packets % WHOLE_EVERY === 0) found.push(...this.#halves.allDifferences(this.#model.state));
    found.push(...this.#pending);
    this.#pending = [];
    if (found.length === 0) return [];
    const { result } = later;
    return [
      ...found,
      `in by port ${shot.port}: ${shot.frame.toString('hex')}`,
      `kernel: verdict ${result.verdict}, port ${result.seen?.port ?? 'none'}, ${result.frame.toString('hex')}`,
    ];
  }

  /** The unit of time in which something ran; when it came to an end in another one, both. */
  #around(run: () => Result): [number, { result: Result; now: number }] {
    let before = Number(process.hrtime.bigint());
    while (before % UNIT < TICK) before = Number(process.hrtime.bigint());
    const result = run();
    const after = Number(process.hrtime.bigint());
    return [Math.floor(before / UNIT), { result, now: Math.floor(after / UNIT) }];
  }

  #compare(shot: Shot, result: Result, now: number): string[] {
    const { state, conflicts } = this.#model;
    const counted = { ...conflicts };
    state.begin();
    this.#model.opened = undefined;
    const outcome = this.#expect(shot, result, now);
    const found = typeof outcome === 'string' ? [outcome] : outcome.differences;
    found.push(...this.#halves.differences(state));
    if (found.length > 0) {
      state.rollBack();
      Object.assign(conflicts, counted);
      return found;
    }
    if (typeof outcome !== 'string') {
      const { opened, picked } = this.#model;
      if (opened !== undefined) picked.set(opened, (picked.get(opened) ?? 0) + 1);
      for (const name of outcome.sums) {
        add(this.#sums, name);
        this.#seen.add(name);
      }
      if (outcome.ends) this.#flows.arrived(shot, result.frame, outcome.ends);
    }
    return [];
  }

  #expect(shot: Shot, result: Result, now: number): Outcome | string {
    const parsed = this.#parser.parse(shot.frame);
    if (!parsed.ok) return dropped(result, [`drop entry ${parsed.reason}`]);
    const { packet } = parsed;
    const other = shot.port === SERVER ? CLIENT : SERVER;
    if (packet.kind !== 'ip') return sentOn(result, other, shot.frame, ['count load-balancer passed']);
    const tuple = this.#tuples.of(shot.frame, packet);
    if (packet.fragment === 'later' && !this.#parser.knows(packet))
      return dropped(result, ['drop load-balancer FragmentWithoutFirst']);
    const arrival = { frame: shot.frame, port: shot.port, packet, tuple, now, choices: this.#halves };
    try {
      const verdict = this.#model.decide(arrival);
      return this.#apply(arrival, verdict, result);
    } catch (error) {
      if (error instanceof Impossible) return error.message;
      throw error;
    }
  }

  #apply(arrival: Arrival, verdict: Verdict, result: Result): Outcome {
    const { frame, packet, port } = arrival;
    const counts = this.#model.counts.map((name) => `count load-balancer ${name}`);
    if (verdict.kind === 'drop') return dropped(result, [...counts, `drop load-balancer ${verdict.reason}`]);
    if (verdict.kind === 'refuse') {
      const answer = answerTo(frame, packet, result.frame);
      const sums = [...counts, `drop load-balancer ${verdict.reason}`];
      if (!answer) return dropped(result, sums);
      const isLimited = this.#balancer.spec.rejects.errorsPerSecond === 0;
      if (isLimited) return dropped(result, [...sums, 'count load-balancer rejectSuppressed']);
      return sentOn(result, port, answer, [...sums, 'count load-balancer rejected']);
    }
    const { dst, src } = verdict;
    if (!dst && !src) return sentOn(result, verdict.port, frame, counts);
    if (isCut(frame, packet)) return dropped(result, [...counts, 'drop load-balancer RewriteFailed']);
    let expected = frame;
    if (dst) expected = rewritten(expected, packet, changeOf('dst', dst, packet));
    if (src) expected = rewritten(expected, packet, changeOf('src', src, packet));
    if (src && packet.quoted && verdict.isHidden) expected = withSender(expected, packet, src);
    const { tuple } = arrival;
    const ends = {
      src: ipText(bytesOf(src?.address ?? tuple.src)),
      dst: ipText(bytesOf(dst?.address ?? tuple.dst)),
      sport: src?.port ?? tuple.sport,
      dport: dst?.port ?? tuple.dport,
    };
    const outcome = sentOn(result, verdict.port, expected, counts, packet);
    const { work } = result.seen ?? {};
    for (const name of ['src', 'dst', 'sport', 'dport'] as const) {
      if (work && work[name] !== ends[name])
        outcome.differences.push(`${name} of the tuple is ${work[name]}`);
    }
    return { ...outcome, ends };
  }

  /** Time goes on, rows are pushed out, what is over is cleared away. */
  #pass(r: Random): void {
    const kind = r.below(1000);
    if (kind < 4) this.#evict(r);
    else if (kind < 6) this.#age(r);
    else if (kind === 6) this.#reclaim();
  }

  #evict(r: Random): void {
    const table = r.pick(TABLES);
    const halves = this.#model.state.sessions[table];
    let at = r.below(Math.max(1, halves.size));
    for (const key of halves.keys()) {
      if (at-- > 0) continue;
      halves.delete(key);
      this.#halves.write(table, key, undefined);
      return;
    }
  }

  /** The last packets of some sessions were earlier. */
  #age(r: Random): void {
    const by = coarse(r.pick(AGES));
    const share = r.pick([0.2, 0.5, 1]);
    const chosen = new Map<string, boolean>();
    const { sessions, affinities } = this.#model.state;
    const isChosen = (key: string, half: Half) => {
      const session = key.charCodeAt(37) === 1 ? this.#model.forwardKey(key, half) : key;
      const known = chosen.get(session) ?? r.chance(share);
      chosen.set(session, known);
      return known;
    };
    for (const table of TABLES) {
      for (const [key, half] of sessions[table]) {
        if (isChosen(key, half)) this.#rewrite(table, key, { ...half, seen: (half.seen - by) >>> 0 });
      }
    }
    for (const [key, affinity] of affinities) {
      const older = { ...affinity, seen: (affinity.seen - by) >>> 0 };
      affinities.set(key, older);
      this.#halves.writeAffinity(key, older);
    }
  }

  #rewrite(table: Table, key: string, half: Half): void {
    this.#model.state.sessions[table].set(key, half);
    this.#halves.write(table, key, half);
  }

  #reclaim(): void {
    const now = Math.floor(Number(process.hrtime.bigint()) / UNIT);
    for (const table of TABLES) {
      const program = this.#balancer.cube.object.program(`reclaim_${table}`);
      const counted = program.testRun({ ctxIn: Buffer.alloc(24) }).ctxOut;
      const halves = this.#model.state.sessions[table];
      const all = halves.size;
      for (const [key, half] of halves) {
        if (this.#model.isExpired(half, key.charCodeAt(36), now)) halves.delete(key);
      }
      const [seen, removed] = [counted.readBigUInt64LE(0), counted.readBigUInt64LE(8)].map(Number);
      if (seen !== all || removed !== all - halves.size)
        this.#pending.push(
          `reclaiming ${table} removed ${removed} of ${seen}, not ${all - halves.size} of ${all}`,
        );
    }
  }

  sums(): readonly string[] {
    const found = [
      ...this.#halves.allDifferences(this.#model.state),
      ...this.#rows.countDifferences(this.#model.picked),
    ];
    const counted = new Map(
      [...this.#balancer.chain.tally()].map(([name, count]) => [name, count - (this.#before.get(name) ?? 0)]),
    );
    const name = 'count load-balancer conflicts';
    const conflicts = counted.get(name) ?? 0;
    counted.delete(name);
    if (conflicts > 0) this.#seen.add(name);
    const { least, most } = this.#model.conflicts;
    if (conflicts < least || conflicts > most) found.push(`${conflicts} conflicts, not ${least} to ${most}`);
    return [...found, ...compareSums(this.#sums, counted)];
  }

  close(): void {}
}

interface Outcome {
  readonly differences: string[];
  /** What it counts. */
  readonly sums: readonly string[];
  /** Of a packet that was translated: between whom it is now. */
  readonly ends?: { src: string; dst: string; sport: number; dport: number };
}

function dropped(result: Result, sums: readonly string[]): Outcome {
  const differences = result.verdict === Kernel.drop ? [] : [`it should be dropped: ${sums.at(-1)}`];
  return { differences, sums };
}

/** @param packet of a frame whose checksums may be written in two ways. */
function sentOn(
  result: Result,
  port: number,
  frame: Buffer,
  sums: readonly string[],
  packet?: Parsed,
): Outcome {
  const differences: string[] = [];
  if (result.verdict !== Kernel.ok || !result.seen) {
    differences.push(`it should go out by port ${port}: ${sums.join()}`);
  } else {
    if (result.seen.port !== port) differences.push(`it went to port ${result.seen.port}, not ${port}`);
    if (!sameBytes(result.frame, frame, packet ? checksumsOf(packet) : []))
      differences.push(`other bytes than ${frame.toString('hex')}`);
  }
  return { differences, sums };
}

/** An error, from another sender; what it quotes stays. */
function withSender(frame: Buffer, packet: Parsed, src: Side): Buffer {
  const { quoted: _, ...alone } = { ...packet, isError: false, hasPorts: false, isEcho: false };
  return rewritten(frame, alone, changeOf('src', { ...src, port: 0 }, packet));
}

function changeOf(side: 'src' | 'dst', { address, port }: Side, packet: Parsed) {
  const bytes = bytesOf(address);
  return { side, address: packet.v6 ? bytes : bytes.subarray(12), port };
}

/** A TCP header that ends before its checksum. */
function isCut(frame: Buffer, packet: Parsed): boolean {
  return packet.protocol === TCP && packet.fragment !== 'later' && packet.l4 + 18 > frame.length;
}
