// SPDX-License-Identifier: Apache-2.0

/**
 * A forwarder with random rules, in the kernel and as a model. A change is what the agent makes of it: another instance with
 * other rules in the other slot, to which the graph is led.
 *
 * Not here: that the ring of punts is full (it is emptied after each), and that first fragments are forgotten after 30 seconds.
 */
import type { Forwarder, ForwarderAction, ForwarderRule } from '../../../src/api/generated/types.ts';
import { forwarder } from '../../../src/cubes/forwarder/type.ts';
import { RingBuffer } from '../../../src/dataplane/kernel/addon/index.ts';
import { decodePunt } from '../../../src/dataplane/punt-record.ts';
import { Chain, type ChainCube, sumPerCpu, u32, Verdict } from '../support/chain.ts';
import { loadForwarder } from '../support/forwarder.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { withCodePoint } from './code-points.ts';
import { Conversations } from './conversations.ts';
import { type ForwarderDecision, ForwarderModel } from './forwarder-model.ts';
import { FactsModel } from './match-model.ts';
import type { Random } from './random.ts';
import { MARKS, randomMatch, some, WORLD } from './random-match.ts';

const PORTS = [0, 1, 2, 31, 32, 63].map((id) => ({
  id,
  name: `p${id}`,
  addresses: [],
  endpoint: 'Interface' as const,
}));
const NAMES = PORTS.map(({ name }) => name);
/** Codes of punts from here on are no place of a rule. */
const MOST_RULES = 256;
const PUNT_BYTES = 2048;
/** Nanoseconds: none comes back while a test lasts. */
const A_DAY = 86_400_000_000_000n;

interface Config {
  readonly spec: Forwarder;
  /** Ports without a link. */
  readonly unlinked: readonly number[];
  /** Packets that the agent takes before it takes no more; undefined: all. */
  readonly punts: number | undefined;
}

function randomAction(r: Random): ForwarderAction {
  const type = r.pick(['Output', 'Output', 'Output', 'Drop', 'Punt'] as const);
  return type === 'Output' ? { type, output: { port: r.pick(NAMES) } } : { type };
}

function randomRule(r: Random): ForwarderRule {
  return {
    ...randomMatch(r),
    priority: r.pick([0, 1, 1000, 1000, 65535]),
    ...(r.chance(0.3) ? { inPorts: some(r, NAMES, 4) } : {}),
    action: randomAction(r),
  };
}

/** Rules that are not refused, for no packet or too many rows. */
function randomConfig(r: Random): Config {
  const count = r.chance(0.1) ? r.between(100, 256) : r.between(0, 10);
  const defaultAction = randomAction(r);
  const isAccepted = (rules: readonly ForwarderRule[]) =>
    forwarder.check({
      namespace: 'test',
      name: 'forwarder',
      uid: 'u',
      ports: PORTS,
      spec: { rules: [...rules], defaultAction },
    }).length === 0;
  const rules = Array.from({ length: count }, () => randomRule(r)).filter((rule) => isAccepted([rule]));
  while (!isAccepted(rules)) rules.length >>= 1;
  return {
    spec: { rules, defaultAction },
    unlinked: PORTS.map(({ id }) => id).filter(() => r.chance(0.1)),
    punts: r.chance(0.7) ? undefined : r.below(4),
  };
}

/** `struct rate_limit`: ns between two packets, and how many of these spans may be taken in advance. */
function limitOf(punts: number | undefined): Buffer {
  const bytes = Buffer.alloc(16);
  if (punts === 0) return bytes;
  bytes.writeBigUInt64LE(punts === undefined ? 1n : A_DAY, 0);
  bytes.writeBigUInt64LE(punts === undefined ? A_DAY : BigInt(punts - 1) * A_DAY, 8);
  return bytes;
}

interface PortSums {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
}

/** One instance, and what it has counted. */
class Revision {
  readonly cube: ChainCube;
  readonly config: Config;
  readonly model: ForwarderModel;
  readonly sums = new Map<string, number>();
  readonly rules = new Map<number, { packets: number; bytes: number }>();
  readonly ports = new Map<number, PortSums>();
  /** Packets that the agent still takes. */
  punts: number;

  constructor(cube: ChainCube, config: Config) {
    this.cube = cube;
    this.config = config;
    this.model = new ForwarderModel(config.spec);
    this.punts = config.punts ?? Number.POSITIVE_INFINITY;
  }

  port(id: number): PortSums {
    const sums = this.ports.get(id) ?? { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
    this.ports.set(id, sums);
    return sums;
  }

  /** Drop reasons and counters of the kernel, without the cube's name. */
  counted(): Map<string, number> {
    return new Map([...this.cube.tally()].map(([name, n]) => [name.replace(/forwarder(@\d+)? /, ''), n]));
  }

  differences(): string[] {
    const found = compareSums(this.sums, this.counted());
    for (const { id, name } of PORTS) {
      const [model, kernel] = [this.port(id), this.cube.port(id)].map((sums) => JSON.stringify(sums));
      if (model !== kernel) found.push(`port ${name}: model ${model}, kernel ${kernel}`);
    }
    const counters = this.cube.map('rule_counters');
    for (const place of this.config.spec.rules.keys()) {
      const kernel = sumPerCpu(counters.lookup(u32(place)) ?? Buffer.alloc(0), 2);
      const model = this.rules.get(place) ?? { packets: 0, bytes: 0 };
      if (kernel[0] !== model.packets || kernel[1] !== model.bytes)
        found.push(`rule ${place}: model ${model.packets}, ${model.bytes} B; kernel ${kernel}`);
    }
    return found;
  }
}

/**
 * @param options.path another build of the object file, with a planted bug.
 * @param options.seen gets the drop reasons and counters that occurred.
 */
export async function openForwarder(
  r: Random,
  options: { path?: string; seen?: Set<string> } = {},
): Promise<Subject> {
  const { path, seen = new Set() } = options;
  const chain = await Chain.open();
  const facts = new FactsModel();
  const frames = new Conversations(WORLD);
  const entry = new Map<string, number>();
  const punts = new RingBuffer(chain.shared('punts'), () => undefined);
  punts.unref();
  const late: string[] = [];

  const load = async (random: Random, slot: number): Promise<Revision> => {
    const config = randomConfig(random);
    const cube = await loadForwarder(chain, {
      ports: PORTS,
      spec: config.spec,
      slot,
      ...(path === undefined ? {} : { path }),
      variables: { punt_limit: limitOf(config.punts) },
    });
    for (const id of config.unlinked) chain.edge(slot, id, { kind: 'none' });
    // buckets are the slot's, and the instance that was in it before may have taken what it can
    for (const kind of [0, 1]) chain.shared('punt_buckets').update(u32(slot * 2 + kind), Buffer.alloc(8));
    return new Revision(cube, config);
  };
  let now = await load(r, 1);
  let port = PORTS[0] as (typeof PORTS)[number];
  const enterBy = (random: Random) => {
    port = random.pick(PORTS);
    chain.attach({ kind: 'interface' }, now.cube, port.id);
  };
  enterBy(r);

  return {
    shoot(random) {
      if (random.chance(0.2)) enterBy(random);
      const frame = withCodePoint(random, frames.next(random));
      const mark = random.pick(MARKS);
      const actual = chain.shoot(frame, { mark });
      const known = facts.read(frame, mark);
      const differences = [...late];
      let decision: ForwarderDecision | undefined;
      if (typeof known === 'string') {
        add(entry, `drop entry ${known}`);
        if (actual.verdict !== Verdict.drop) differences.push(`the entry should drop it: ${known}`);
      } else {
        decision = now.model.decide(known, port.name);
        differences.push(...expect(decision, frame, actual));
      }
      if (!actual.frame.equals(frame)) differences.push('other bytes');
      if (differences.length === 0) return [];
      return [
        ...differences,
        `in by ${port.name}, mark ${mark}: ${frame.toString('hex')}`,
        `model:  ${JSON.stringify(decision)}; rules ${JSON.stringify(now.config)}`,
        `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, ${actual.frame.toString('hex')}`,
      ];
    },
    sums() {
      const counted = [...chain.tally()].filter(([name]) => name.startsWith('drop entry'));
      for (const name of [...entry.keys(), ...now.counted().keys()]) seen.add(name);
      return [...late, ...compareSums(entry, new Map(counted)), ...now.differences()];
    },
    async change(random) {
      const before = now;
      now = await load(random, before.cube.slot === 1 ? 2 : 1);
      chain.attach({ kind: 'interface' }, now.cube, port.id);
      for (const name of before.counted().keys()) seen.add(name);
      late.push(...before.differences());
      chain.remove(before.cube);
    },
    close() {
      punts.close();
      chain.close();
    },
  };

  function expect(
    { rule, action }: ForwarderDecision,
    frame: Buffer,
    actual: ReturnType<Chain['shoot']>,
  ): string[] {
    const inBy = now.port(port.id);
    inBy.rxPackets += 1;
    inBy.rxBytes += frame.length;
    add(now.sums, rule === undefined ? 'count unmatched' : 'count matched');
    if (rule !== undefined) {
      const { packets, bytes } = now.rules.get(rule) ?? { packets: 0, bytes: 0 };
      now.rules.set(rule, { packets: packets + 1, bytes: bytes + frame.length });
    }
    if (action.type === 'Output') {
      const out = Number(action.output.port.slice(1));
      const outBy = now.port(out);
      outBy.txPackets += 1;
      outBy.txBytes += frame.length;
      if (!now.config.unlinked.includes(out)) {
        return actual.verdict === Verdict.ok && actual.seen?.port === out
          ? []
          : [`it should leave by p${out}`];
      }
      add(now.sums, 'drop NoEdge');
    } else if (action.type === 'Drop') {
      add(now.sums, rule === undefined ? 'drop DroppedByDefault' : 'drop DroppedByRule');
    } else {
      const taken = now.punts > 0;
      add(now.sums, taken ? 'drop Punted' : 'drop PuntLimited');
      now.punts -= taken ? 1 : 0;
      const problem = punted(taken, rule, frame);
      if (problem) return [problem];
    }
    return actual.verdict === Verdict.drop && !actual.seen ? [] : ['it should end here'];
  }

  function punted(taken: boolean, rule: number | undefined, frame: Buffer): string | undefined {
    const records = punts.consume().map(decodePunt);
    if (records.length !== (taken ? 1 : 0)) return `${records.length} punts`;
    const [punt] = records;
    if (!punt) return undefined;
    const { record, slot } = punt;
    const isRight =
      record.kind === 'Packet' &&
      slot === now.cube.slot &&
      record.port === port.id &&
      record.length === frame.length &&
      frame.subarray(0, PUNT_BYTES).equals(record.packet) &&
      (rule === undefined ? record.code >= MOST_RULES : record.code === rule);
    return isRight ? undefined : `a punt of rule ${record.code} by port ${record.port}, ${record.length} B`;
  }
}
