// SPDX-License-Identifier: Apache-2.0
/** A firewall with random rules, in the kernel and as a model. */
import type { FirewallRule } from '../../../src/api/generated/types.ts';
import { decodePerCpu } from '../../../src/cubes/codec/map-codec.ts';
import {
  established as codec,
  ruleCounters,
  type Session,
} from '../../../src/cubes/firewall/generated/codec.ts';
import { identityOf } from '../../../src/cubes/firewall/rule-meaning.ts';
import { RingBuffer } from '../../../src/dataplane/kernel/addon/index.ts';
import { Attach } from '../support/chain.ts';
import { FirewallChain, INSIDE, OUTSIDE } from '../support/firewall.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import {
  otherRules,
  type RuleSets,
  randomConfig,
  randomRules,
  SIDES,
  STEP,
  specOf,
  TABLES,
  type TableName,
} from './firewall-course.ts';
import { FirewallModel, type KnownSession, type Log, type Verdict } from './firewall-model.ts';
import type { RuleWorld } from './firewall-random-rules.ts';
import { RuleModel } from './firewall-rule-model.ts';
import { keyOf, tupleBytes } from './flow-model.ts';
import { Flows, type Shot } from './flow-packets.ts';
import type { Random } from './random.ts';

/** Of the fixture `pass`, which drops and counts nothing of its own. */
const BEFORE = 200;

/** Of struct punt_event, and how much of the packet a log has (bpf/include/punt.h). */
const HEAD = 88;
const CAPTURED = 128;

const ESTABLISHED = 'established';
const EMBRYONIC = 'embryonic';

const CODES = { Drop: 0, Allow: 1, Reject: 2 } as const;

const Bit = { established: 1, replied: 2, fin: 4, finReply: 8, rst: 16, midstream: 32 } as const;

function flagsOf({ session }: KnownSession): number {
  return (
    (session.isEstablished ? Bit.established : 0) |
    (session.hasReplied ? Bit.replied : 0) |
    (session.hasFin ? Bit.fin : 0) |
    (session.hasFinReply ? Bit.finReply : 0) |
    (session.hasRst ? Bit.rst : 0) |
    (session.isMidstream ? Bit.midstream : 0)
  );
}

const identities = new WeakMap<FirewallRule, number>();

function identity(rule: FirewallRule | undefined): number {
  if (!rule) return 0;
  const before = identities.get(rule);
  if (before !== undefined) return before;
  const value = identityOf(rule);
  identities.set(rule, value);
  return value;
}

const textOf = ({ from, frame }: Shot): string => `from ${from}: ${frame.toString('hex')}`;

const swapped = (word: number): number => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(word);
  return bytes.readUInt32BE();
};

interface Counted {
  packets: number;
  bytes: number;
}

/** What a seed has in store. */
interface Course {
  readonly sets: RuleSets;
  readonly world: RuleWorld;
  readonly isLarge: boolean;
  /** Another cube stands between the interface and the firewall. */
  readonly isBehind: boolean;
  readonly seen: Set<string>;
}

export interface FirewallOptions {
  /** Another build of the object file, with a planted bug. */
  readonly path?: string;
  /** Gets the names of all drops and counters that the model has had. */
  readonly seen?: Set<string>;
}

export async function openFirewall(r: Random, { path, seen }: FirewallOptions = {}): Promise<Subject> {
  const config = randomConfig(r);
  const stateShare = r.pick([0, 0.1, 0.4]);
  const world: RuleWorld = { ...SIDES, stateShare, prefixShare: [0, 0.5, 0.8, 0.5][r.seed % 4] as number };
  const isLarge = r.seed % 6 === 2; // compiling them takes longer than all packets between two changes
  const sets: RuleSets = { spec: randomRules(r, world, undefined, false), tables: new Map() };
  const fw = await FirewallChain.open(specOf(config, sets.spec), path);
  const before = await fw.chain.addPass(BEFORE);
  const isBehind = r.chance(0.5);
  fw.chain.attach({ kind: 'interface' }, isBehind ? before : fw.cube);
  const model = new FirewallModel(config, new RuleModel([]));
  const subject = new FirewallSubject(fw, model, { sets, world, isLarge, isBehind, seen: seen ?? new Set() });
  for (const table of TABLES) {
    subject.setTable(table, randomRules(r, world, table, isLarge));
  }
  return subject;
}

class FirewallSubject implements Subject {
  readonly #fw: FirewallChain;
  readonly #model: FirewallModel;
  readonly #sets: RuleSets;
  readonly #world: RuleWorld;
  readonly #isLarge: boolean;
  readonly #isBehind: boolean;
  readonly #punts: RingBuffer;
  readonly #flows = new Flows(SIDES);
  readonly #seen: Set<string>;
  readonly #sums = new Map<string, number>();
  readonly #counted = new Map<number, Counted>();
  #port: number | undefined;
  #last: Shot | undefined;
  /** Since when first fragments are remembered, by performance.now(). */
  #remembered = performance.now();
  /** What an audit between two packets found. */
  #found: readonly string[] = [];

  constructor(fw: FirewallChain, model: FirewallModel, course: Course) {
    const { sets, world, isLarge, isBehind, seen } = course;
    this.#fw = fw;
    this.#model = model;
    this.#sets = sets;
    this.#world = world;
    this.#isLarge = isLarge;
    this.#isBehind = isBehind;
    this.#seen = seen;
    this.#punts = new RingBuffer(fw.chain.shared('punts'), () => undefined);
    this.#punts.unref();
  }

  shoot(random: Random): readonly string[] {
    const shot = this.#flows.next(random);
    this.#enter(shot.from === 'outside' ? OUTSIDE : INSIDE);
    // what a dry run leaves behind, the real one and all that is compared would show
    if (random.chance(0.02)) this.#fw.chain.shoot(shot.frame, { dry: true });
    const actual = this.#fw.chain.shoot(shot.frame);
    const isOut = actual.seen !== undefined;
    const verdict = this.#model.decide({
      frame: shot.frame,
      from: shot.from,
      actual: { isOut, frame: actual.frame },
    });
    this.#count(verdict, shot.frame.length);
    const found = [
      ...this.#found,
      ...this.#compare(verdict, actual),
      ...this.#compareLogs(verdict.logs, shot),
    ];
    this.#last = shot;
    if (found.length === 0) return [];
    return [
      ...found,
      textOf(shot),
      `model:  ${verdict.drop ?? 'passes'}, port ${verdict.port}, ${verdict.counts}, rules ${JSON.stringify(verdict.rules)}, ${verdict.frame?.toString('hex')}`,
      `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, ${actual.frame.toString('hex')}`,
    ];
  }

  sums(): readonly string[] {
    const found = this.#audit();
    return found.length === 0 || !this.#last ? found : [...found, `after ${textOf(this.#last)}`];
  }

  /** Other rules, the same again, or time that passes; and all that has been remembered and counted is compared. */
  change(random: Random): void {
    const found = this.#audit();
    this.#forgetFragments();
    if (random.chance(0.7)) this.#age(random);
    else this.#changeRules(random);
    this.#found = found;
  }

  close(): void {
    for (const name of this.#sums.keys()) this.#seen.add(name);
    this.#punts.close();
    this.#fw.close();
  }

  setTable(table: TableName, rules: readonly FirewallRule[] | undefined): void {
    const problems = this.#fw.image.setTable(table, rules);
    this.#fw.apply(this.#fw.image.take());
    if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('\n'));
    if (rules) this.#sets.tables.set(table, rules);
    else this.#sets.tables.delete(table);
    this.#model.rules = new RuleModel([this.#sets.spec, ...this.#sets.tables.values()]);
  }

  #changeRules(random: Random): void {
    const table = random.pick(TABLES);
    const now = this.#sets.tables.get(table) ?? [];
    this.setTable(table, otherRules(random, this.#world, table, now, this.#isLarge));
  }

  /** Time passes: all sessions were seen that much earlier. */
  #age(random: Random): void {
    const seconds = STEP * random.between(1, 3);
    const units = Math.round((seconds * 1e9) / 2 ** 30);
    for (const name of [ESTABLISHED, EMBRYONIC]) {
      const map = this.#fw.cube.map(name);
      const { count, keys, values } = map.dumpSync();
      for (let i = 0; i < count; i++) {
        const at = i * codec.valueSize;
        values.writeUInt32LE((values.readUInt32LE(at) - units) >>> 0, at);
      }
      if (count > 0) map.updateBatchSync(keys, values);
    }
    this.#model.now += seconds;
    if (random.chance(0.5)) return;
    for (const name of ['reclaim_established', 'reclaim_embryonic']) {
      this.#fw.cube.object.program(name).testRun({ ctxIn: Buffer.alloc(24) });
    }
    this.#model.reclaim();
  }

  /** The parser remembers a first fragment for 30 seconds (RFC 8200 4.5: 60 at most): none gets that old here. */
  #forgetFragments(): void {
    if (performance.now() - this.#remembered < 10_000) return;
    this.#remembered = performance.now();
    const map = this.#fw.chain.shared('fragments');
    const { count, keys } = map.dumpSync();
    if (count > 0) map.deleteBatchSync(keys);
    this.#model.parser.forget();
  }

  #enter(port: number): void {
    if (port === this.#port) return;
    this.#port = port;
    const { chain, cube } = this.#fw;
    const [slot, from] = this.#isBehind ? [BEFORE, 1] : [0, Attach.interface];
    chain.edge(slot, from, { kind: 'cube', target: cube.slot, port });
  }

  #count({ drop, counts, rules }: Verdict, bytes: number): void {
    if (drop !== undefined) add(this.#sums, `drop ${drop}`);
    for (const name of counts) add(this.#sums, `count firewall ${name}`);
    for (const rule of rules) {
      const id = identity(rule);
      const counted = this.#counted.get(id) ?? { packets: 0, bytes: 0 };
      this.#counted.set(id, { packets: counted.packets + 1, bytes: counted.bytes + bytes });
    }
  }

  #compare(verdict: Verdict, actual: ReturnType<FirewallChain['chain']['shoot']>): string[] {
    const found: string[] = [];
    if (actual.seen?.port !== verdict.port) found.push(`port ${actual.seen?.port}, not ${verdict.port}`);
    else if (verdict.frame && !actual.frame.equals(verdict.frame)) found.push('other bytes');
    if (!verdict.touched) return found;
    const known = this.#model.sessions.get(keyOf(verdict.touched));
    return [...found, ...this.#compareTables(tupleBytes(verdict.touched), known)];
  }

  /** One that should be there is looked for where it should be; that it is not in both tables, an audit sees. */
  #compareTables(key: Buffer, known: KnownSession | undefined): string[] {
    const tables = known ? [known.session.isEstablished ? ESTABLISHED : EMBRYONIC] : [ESTABLISHED, EMBRYONIC];
    const rows = tables.map((table) => this.#fw.cube.map(table).lookup(key));
    if (!known) return rows.some((row) => row) ? ['there is a session'] : [];
    const [row] = rows;
    if (!row) return [`no session is ${tables[0]}`];
    return this.#compareSession(known, codec.decodeValue(row));
  }

  #compareSession(known: KnownSession, { state, rule }: Session): string[] {
    const found: string[] = [];
    const flags = flagsOf(known);
    if (state.flags !== flags) found.push(`flags ${state.flags}, not ${flags}`);
    const { proof, protocol, isEstablished, isMidstream } = known.session;
    const isProof = (protocol === 132 ? swapped(state.proof) : state.proof) === proof;
    if (!isEstablished && !isMidstream && proof !== undefined && !isProof) {
      found.push(`proof ${state.proof}, not ${proof}`);
    }
    const by = identity(known.rule);
    if (rule !== by) found.push(`let through by ${rule}, not ${by}`);
    return found;
  }

  #compareLogs(logs: readonly Log[], { frame, from }: Shot): string[] {
    if (logs.length === 0) return [];
    const records = this.#punts.consume();
    if (records.length !== logs.length) return [`${records.length} records of the log, not ${logs.length}`];
    return records.flatMap((record, i) => {
      const { action, rule } = logs[i] as Log;
      const code = record.readUInt32LE(20);
      const object = record.readBigUInt64LE(8);
      const by = BigInt(identity(rule));
      const found: string[] = [];
      if (code !== CODES[action] || object !== by) {
        found.push(`logged as ${code} by ${object}, not ${CODES[action]} by ${by}`);
      }
      if (record.readUInt8(47) !== (from === 'outside' ? OUTSIDE : INSIDE))
        found.push('logged at another port');
      const captured = record.subarray(HEAD, HEAD + record.readUInt16LE(40));
      if (!captured.equals(frame.subarray(0, CAPTURED))) found.push('another packet was logged');
      return found;
    });
  }

  #audit(): string[] {
    const found = compareSums(this.#sums, this.#fw.chain.tally());
    const sessions = new Map(
      [...this.#model.sessions.values()].map((known) => [tupleBytes(known.tuple).toString('latin1'), known]),
    );
    for (const { table, session, bytes, src, dst, sport, dport, proto } of this.#fw.sessions()) {
      const text = `${proto} ${src} ${sport} ${dst} ${dport} ${table}`;
      const key = bytes.toString('latin1');
      const known = sessions.get(key);
      sessions.delete(key);
      if (known?.session.isEstablished !== (table === ESTABLISHED)) found.push(`there should be no ${text}`);
      else found.push(...this.#compareSession(known, session).map((one) => `${text}: ${one}`));
    }
    for (const { tuple } of sessions.values()) found.push(`a session is gone: ${keyOf(tuple)}`);
    found.push(...this.#auditRules());
    return found;
  }

  #auditRules(): string[] {
    const { count, keys, values } = this.#fw.cube.map('rule_counters').dumpSync();
    const stride = values.length / Math.max(count, 1);
    const expected = new Map(this.#counted);
    const found: string[] = [];
    for (let i = 0; i < count; i++) {
      const id = Number(keys.readBigUInt64LE(8 * i));
      const total = { packets: 0, bytes: 0 };
      const value = values.subarray(i * stride, (i + 1) * stride);
      for (const one of decodePerCpu(ruleCounters, value, stride / ruleCounters.valueSize)) {
        total.packets += Number(one.packets);
        total.bytes += Number(one.bytes);
      }
      const { packets, bytes } = expected.get(id) ?? { packets: 0, bytes: 0 };
      expected.delete(id);
      if (packets !== total.packets || bytes !== total.bytes) {
        found.push(`rule ${id}: ${total.packets} packets, ${total.bytes} bytes, not ${packets}, ${bytes}`);
      }
    }
    for (const [id, { packets }] of expected) found.push(`rule ${id}: not counted, ${packets} packets`);
    return found;
  }
}
