// SPDX-License-Identifier: Apache-2.0
/** A NAT with a random configuration, in the kernel and as a model. */
import { established as codec } from '../../../src/cubes/nat/generated/codec.ts';
import { GATEWAY_MAC, ipBytes, POD_MAC } from '../support/bytes.ts';
import { type Chain, Verdict } from '../support/chain.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import {
  type Config,
  modelOf,
  OWN,
  PEERS,
  PUBLISHED,
  randomConfig,
  SERVERS,
  SHAPES,
  type Shape,
  TIMEOUTS,
} from './nat-config.ts';
import { errorAbout, Flows, plainPacketOf, type Shot } from './nat-flows.ts';
import { type NatLab, STEP, TABLES } from './nat-lab.ts';
import {
  INSIDE,
  isV6Raw,
  type Judge,
  NatModel,
  OUTSIDE,
  type Outcome,
  rawOf,
  translated,
} from './nat-model.ts';
import {
  type Half,
  type HalfKey,
  keyOf,
  type RawAddress,
  SessionsModel,
  tupleOfKey,
} from './nat-sessions-model.ts';
import { damaged, randomFrame, type World } from './packets.ts';
import { Random } from './random.ts';
import { checksumsOf, sameBytes } from './rewrite-model.ts';

/** Clients that lose the other halves of what they claim. */
const THIEVES = [rawOf(ipBytes('10.244.1.250')), rawOf(ipBytes('fd00:244:1::250'))] as const;

/** skb->pkt_type */
const HOST = 0;

const now = (): number => Number(process.hrtime.bigint() >> 30n);

const WORLD: World = {
  addresses: [
    ...OWN,
    ...PEERS,
    ...SERVERS,
    ...PUBLISHED,
    ...[
      '10.244.1.1',
      '10.244.1.2',
      'fd00:244:1::1',
      'fd00:244:1::2',
      '224.0.0.5',
      '239.1.1.1',
      '255.255.255.255',
    ],
    ...[
      '127.0.0.1',
      '0.0.0.0',
      'fe80::5',
      'ff02::1',
      'ff05::2',
      '::1',
      '::',
      '::ffff:10.0.0.1',
      '169.254.1.1',
    ],
  ],
  ports: [0, 1, 53, 80, 8000, 4000, 60001],
  macs: [GATEWAY_MAC, GATEWAY_MAC, POD_MAC, 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:05'],
};

interface Row {
  readonly seen: number;
  readonly proof: number;
  readonly flags: number;
  readonly own: number;
  readonly out: string;
}

function rowOf(value: Buffer): Row {
  return {
    seen: value.readUInt32LE(0),
    proof: value.readUInt32LE(4),
    flags: value.readUInt8(8),
    own: value.readUInt8(9),
    out: value.toString('latin1', 12, 48),
  };
}

/** Ports, then addresses, as a session has them. */
function outOf({ out }: Half): string {
  const ports = String.fromCharCode(out.sport >> 8, out.sport & 255, out.dport >> 8, out.dport & 255);
  return ports + out.src + out.dst;
}

const isToServerSide = (half: Half): boolean => half.outPort === INSIDE;

/** What differs between a half and its row. */
function halfDiffers(half: Half, row: Row): string | undefined {
  const age = Math.round(((now() - row.seen) | 0) / STEP);
  if (half.told) {
    half.told = false;
    if (age === 0) half.age = 0;
  }
  if (row.out !== outOf(half)) return 'its packets leave otherwise';
  if (row.flags !== half.marks) return `flags: model ${half.marks}, kernel ${row.flags}`;
  if (((row.own & 1) === 1) !== half.reply) return 'which half it is';
  if (((row.own & 2) === 2) !== isToServerSide(half)) return 'the port it leaves by';
  if (age !== half.age) return `age: model ${half.age}, kernel ${age}`;
  if (
    !half.reply &&
    half.table === 'embryonic' &&
    (half.marks & 2) !== 0 &&
    proofOf(half, row) !== half.proof
  ) {
    return `proof: model ${half.proof}, kernel ${proofOf(half, row)}`;
  }
  return undefined;
}

/** Sequence numbers stand there in host order, SCTP's tags as in the packet. */
function proofOf({ key }: Half, { proof }: Row): number {
  if (key.charCodeAt(36) !== 132) return proof;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(proof);
  return bytes.readUInt32BE();
}

const bytesOf = (key: HalfKey): Buffer => Buffer.from(key, 'latin1');
const hex = (key: HalfKey): string => bytesOf(key).toString('hex');

class NatSubject implements Subject {
  readonly #kernel: NatLab;
  readonly #shapes: readonly Shape[];
  readonly #model: NatModel;
  readonly #sessions: SessionsModel;
  readonly #flows: Flows;
  readonly #sums = new Map<string, number>();
  readonly #complaints: string[] = [];
  #config: Config;
  #conflicts = 0;
  #entered = '';
  #rejects = new Map<string, number>();
  #since = 0;

  constructor(kernel: NatLab, r: Random, shapes: readonly Shape[], config: Config) {
    this.#kernel = kernel;
    this.#shapes = shapes;
    this.#config = config;
    this.#conflicts = kernel.conflicts();
    this.#flows = new Flows(r);
    const judge: Judge = {
      chosen: (key) => this.#chosen(key),
      conflicts: () => this.#newConflicts(),
      mayReject: (prefix, sent) => this.#mayReject(prefix, sent),
      count: (counter) => add(this.#sums, `count nat ${counter}`),
      drop: (reason) => add(this.#sums, `drop ${reason}`),
      complain: (what) => this.#complaints.push(what),
    };
    this.#sessions = new SessionsModel(config.spec.sessions.maxEstablished, TIMEOUTS, judge.count);
    this.#model = new NatModel(modelOf(config), this.#sessions, judge);
    this.#since = performance.now();
  }

  #chosen(key: HalfKey): { src: RawAddress; sport: number } | undefined {
    const value = this.#kernel.table('embryonic').lookup(bytesOf(key));
    return value && { src: value.toString('latin1', 16, 32), sport: value.readUInt16BE(12) };
  }

  #newConflicts(): number {
    const before = this.#conflicts;
    this.#conflicts = this.#kernel.conflicts();
    return this.#conflicts - before;
  }

  #mayReject(prefix: string, sent: boolean): boolean {
    const { errorsPerSecond, burst } = this.#config.spec.rejects;
    if (errorsPerSecond === 0) return false;
    if (errorsPerSecond > 1_000) return true;
    const before = this.#rejects.get(prefix) ?? 0;
    if (sent) this.#rejects.set(prefix, before + 1);
    if (before < burst) return true;
    const refilled = ((performance.now() - this.#since) / 1_000) * errorsPerSecond + 1;
    if (sent && before >= burst + refilled) this.#complaints.push('more RSTs than the limit allows');
    return sent;
  }

  #enter(port: number, shared: boolean): void {
    const way = `${port} ${shared}`;
    if (way === this.#entered) return;
    this.#entered = way;
    this.#kernel.chain.attach({ kind: shared ? 'interface' : 'stack', all: true }, this.#kernel.cube, port);
  }

  shoot(seeds: Random): readonly string[] {
    // what one packet draws, and how much of it, has no effect on those behind it
    const random = new Random(seeds.word());
    const disturbed = random.chance(0.02) ? this.#disturb(random) : undefined;
    const discriminates = this.#config.spec.role === 'Discriminator';
    if (disturbed) return this.#shoot(disturbed, discriminates);
    const shot = random.chance(0.1)
      ? { frame: randomFrame(random, WORLD), port: random.pick([OUTSIDE, INSIDE]) }
      : this.#flows.shot(random);
    if (random.chance(0.05)) this.#provokeZero(shot);
    const frame = random.chance(0.06) ? damaged(random, shot.frame, 0.5) : shot.frame;
    const shared = random.chance(discriminates ? 0.9 : 0.08);
    return this.#shoot({ ...shot, frame }, shared, random.chance(0.03));
  }

  #shoot(shot: Shot, shared: boolean, isForAnother = false): readonly string[] {
    const { frame, port, flow, isThere } = shot;
    this.#enter(port, shared);
    const others = isForAnother || (frame.readUInt8(0) & 1) === 1;
    // that a frame is for a group, or for all, the device has seen by itself
    const actual = this.#kernel.chain.shoot(frame, others ? {} : { packetType: HOST });
    const out = actual.verdict === Verdict.ok && actual.seen !== undefined;
    const outcome = this.#model.decide({ frame, port, shared, others }, { frame: actual.frame, out });
    if (flow && outcome.kind === 'output' && isThere !== undefined) {
      if (outcome.tuple && isThere) flow.out = { tuple: outcome.tuple, port: outcome.port };
      if (outcome.tuple) flow.last[isThere ? 0 : 1] = actual.frame.subarray(14);
    }
    const differences = [...this.#complaints.splice(0), ...compare(outcome, actual), ...this.#touched()];
    if (differences.length === 0) return [];
    const kind =
      outcome.kind === 'output' ? `out by ${outcome.port}: ${outcome.frame.toString('hex')}` : outcome.kind;
    return [
      ...differences,
      JSON.stringify(this.#config),
      `in by port ${port}${shared ? ', shared' : ''}: ${frame.toString('hex')}`,
      `model:  ${kind}`,
      `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}: ${actual.frame.toString('hex')}`,
    ];
  }

  /** A checksum of UDP that comes out as zero, which stands for "none" and may not be written (RFC 768). */
  #provokeZero({ frame, port }: Shot): void {
    const parsed = this.#model.parser.parse(frame);
    if (!parsed.ok || parsed.packet.protocol !== 17 || parsed.packet.fragment !== 'none') return;
    const tuple = this.#model.tupleOf(frame, parsed.packet);
    const half = tuple && this.#sessions.halves.get(keyOf(tuple, port));
    const at = parsed.packet.l4 + 6;
    if (!half || frame.readUInt16BE(at) === 0) return;
    const result = translated(frame, parsed.packet, tuple, half.out).readUInt16BE(at);
    const sum = frame.readUInt16BE(at) + (~result & 0xffff);
    const wanted = (sum & 0xffff) + (sum >>> 16);
    if (wanted !== 0) frame.writeUInt16BE(wanted, at);
  }

  /**
   * Does to a session what time and floods do: it grows old, or one of its halves alone does, which the other one keeps alive, or one
   * is pushed out, and maybe another session has claimed its port by then. What can only pass for a moment with an established
   * session happens just before a packet of what is left.
   */
  #disturb(random: Random): Shot | undefined {
    const flow = this.#flows.pick(random);
    const steps = random.between(1, 7);
    const kind = random.pick(['old', 'old', 'half old', 'pushed out', 'pushed out', 'robbed'] as const);
    const isThere = random.chance(0.5);
    const isSeen = random.chance(0.5);
    if (!flow) return undefined;
    const there = this.#sessions.halves.get(keyOf(flow.tuple, flow.port));
    const back = there && this.#sessions.partner(there);
    if (!there || !back || there === back) return undefined;
    const [half, other] = isThere ? [there, back] : [back, there];
    if (kind === 'old') {
      this.#age(there, steps);
      this.#age(back, steps);
      return isSeen ? errorAbout(random, flow) : undefined;
    }
    if (kind === 'robbed') {
      if (back.table === 'established') return undefined;
      const thief = this.#sessions.rob(back, THIEVES[isV6Raw(back.out.dst) ? 1 : 0]);
      this.#kernel.redirect(thief.table, bytesOf(thief.key), Buffer.from(thief.out.dst, 'latin1'));
      return isSeen ? plainPacketOf(flow, true) : undefined;
    }
    this.#age(half, steps);
    if (kind === 'pushed out') {
      this.#sessions.remove(other);
      this.#kernel.table(other.table).delete(bytesOf(other.key));
      if (isSeen && half.table === 'embryonic') return undefined;
    }
    return plainPacketOf(flow, isThere, { tuple: tupleOfKey(half.key), port: half.key.charCodeAt(37) });
  }

  #age(half: Half, steps: number): void {
    half.age += steps;
    this.#kernel.age(half.table, steps, bytesOf(half.key));
  }

  /** What the packet has changed in the tables. */
  #touched(): string[] {
    const found: string[] = [];
    for (const key of this.#sessions.touched) {
      const half = this.#sessions.halves.get(key);
      const bytes = bytesOf(key);
      for (const table of TABLES) {
        const value = this.#kernel.table(table).lookup(bytes);
        if (half?.table !== table) {
          if (value) found.push(`${table} ${hex(key)} should not be there`);
          continue;
        }
        const what = value ? halfDiffers(half, rowOf(value)) : 'it is not there';
        if (what !== undefined) found.push(`${table} ${hex(key)}: ${what}`);
      }
    }
    this.#sessions.touched.clear();
    return found;
  }

  /** All of both tables. */
  #tables(): string[] {
    const found: string[] = [];
    let rows = 0;
    for (const table of TABLES) {
      const { count, keys, values } = this.#kernel.table(table).dumpSync();
      rows += count;
      for (let i = 0; i < count; i++) {
        const key = keys.toString('latin1', i * codec.keySize, (i + 1) * codec.keySize);
        const half = this.#sessions.halves.get(key);
        const value = values.subarray(i * codec.valueSize, (i + 1) * codec.valueSize);
        const what = half?.table === table ? halfDiffers(half, rowOf(value)) : 'it should not be there';
        if (what !== undefined) found.push(`${table} ${hex(key)}: ${what}`);
      }
    }
    if (rows !== this.#sessions.halves.size) found.push(`${rows} halves, not ${this.#sessions.halves.size}`);
    return found;
  }

  sums(): readonly string[] {
    return [...this.#tables(), ...compareSums(this.#sums, this.#kernel.sums())];
  }

  async change(random: Random): Promise<void> {
    switch (random.below(8)) {
      case 0:
      case 1:
        return this.#reconfigure(random);
      case 2:
      case 3:
      case 4: {
        const steps = random.pick([1, 1, 1, 2, 3, 7]);
        for (const half of this.#sessions.halves.values()) half.age += steps;
        for (const table of TABLES) this.#kernel.age(table, steps);
        break;
      }
      case 5:
        this.#sessions.reclaim();
        this.#kernel.reclaim();
        break;
      default:
    }
    this.#complaints.push(...this.#tables());
  }

  async #reconfigure(random: Random): Promise<void> {
    const shape = random.pick(this.#shapes);
    this.#config = randomConfig(random, shape);
    await this.#kernel.use(shape, this.#config);
    this.#kernel.forgetRejects();
    this.#model.config = modelOf(this.#config);
    this.#conflicts = this.#kernel.conflicts();
    this.#entered = '';
    this.#rejects = new Map();
    this.#since = performance.now();
  }

  close(): void {
    for (const [name, count] of this.#sums)
      this.#kernel.seen.set(name, (this.#kernel.seen.get(name) ?? 0) + count);
  }
}

function compare(outcome: Outcome, actual: ReturnType<Chain['shoot']>): string[] {
  if (outcome.kind === 'pass') return actual.verdict === Verdict.pass ? [] : ['the host should have it'];
  if (outcome.kind === 'drop') return actual.verdict === Verdict.drop ? [] : ['it should be dropped'];
  const { seen } = actual;
  if (actual.verdict !== Verdict.ok || !seen) return ['it should go out'];
  const found: string[] = [];
  if (seen.port !== outcome.port) found.push(`port ${seen.port}, not ${outcome.port}`);
  const sums = outcome.packet ? checksumsOf(outcome.packet) : [];
  if (!sameBytes(actual.frame, outcome.frame, sums)) found.push('other bytes');
  return found;
}

/** One seed's NAT in the lab; there is one at a time. */
export async function openNat(lab: NatLab, r: Random): Promise<Subject> {
  const { maxEstablished } = r.pick(SHAPES);
  const shapes = SHAPES.filter((shape) => shape.maxEstablished === maxEstablished);
  const shape = r.pick(shapes);
  const config = randomConfig(r, shape);
  await lab.use(shape, config);
  lab.begin();
  return new NatSubject(lab, r, shapes, config);
}
