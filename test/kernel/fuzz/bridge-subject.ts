// SPDX-License-Identifier: Apache-2.0
/** A bridge with a random configuration, in the kernel and as a model. */
import { Verdict } from '../support/chain.ts';
import { Bench, type End, type Run, type Stage } from './bridge-bench.ts';
import { AGES, modelOf, nextConfig, randomConfig } from './bridge-config.ts';
import { Segment } from './bridge-frames.ts';
import { BridgeModel, type Forwarded, type Input, type Outcome } from './bridge-model.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import type { Random } from './random.ts';

/** Two slots, for a revision and the next one. */
const SLOTS = [1, 2] as const;
/** Ports that may be linked to cubes. */
const MOST_CUBES = 4;

export interface BridgeOptions {
  readonly stage: Stage;
  /** Another build of the object file, with a planted bug. */
  readonly path?: string;
  /** Takes up what the model has counted, of all subjects. */
  readonly outcomes: Map<string, number>;
}

/** Monotonic ns, as programs have them. */
const now = (): number => Number(process.hrtime.bigint());

/** The clock of the learned addresses: units of 2^30 ns. It ticks every few ms. */
const coarse = (ns: number): number => Math.floor(ns / 2 ** 30);
const TICK = 20e6;

function randomEnd(r: Random, isCube: boolean): End {
  const number = r.below(20);
  if (number === 0) return 'gone';
  if (number === 1) return 'nothing';
  return isCube || number < 7 ? 'cube' : 'device';
}

function increase(sums: Map<string, number>, name: string, by: number): void {
  sums.set(name, (sums.get(name) ?? 0) + by);
}

export async function openBridge(r: Random, options: BridgeOptions): Promise<Subject> {
  const bench = await Bench.open(options.stage);
  let config = randomConfig(r, options.stage.devices.length, MOST_CUBES);
  let cube = await bench.load(config, SLOTS[0], options.path);
  const model = new BridgeModel(modelOf(config));
  const segment = new Segment();
  /** By the model: events and drops; packets and bytes of ports. */
  const sums = new Map<string, number>();
  const traffic = new Map<string, number>();
  /** Counted by revisions before. */
  const past = new Map<string, number>();
  let ends: readonly End[] = [];
  let port = -1;
  let shared = false;

  const rewire = (random: Random) => {
    ends = config.ports.map(({ endpoint }) => randomEnd(random, endpoint === 'Cube'));
    bench.wire(cube.slot, ends);
    shared = random.chance(0.5);
    bench.attach(shared);
    port = -1;
  };
  rewire(r);

  const enterBy = (next: Input) => {
    if (next.port === port) return;
    port = next.port;
    bench.enterBy(cube, port);
  };

  const finish = () => {
    for (const [name, count] of bench.tally(cube, config.ports.length)) increase(past, name, count);
  };

  /** The port that the frame itself left by, of those that got no copy. */
  const lastOf = (targets: readonly number[], run: Run): number | undefined => {
    const possible: readonly End[] = run.verdict === Verdict.drop ? ['nothing'] : ['device', 'gone'];
    const got = run.sightings.map((copy) => copy.port);
    const left = targets.filter(
      (target) => !got.includes(target) && possible.includes(ends[target] ?? 'nothing'),
    );
    if (left.length < 2) return left[0];
    const sent = (target: number) => bench.sent(cube, target) + (past.get(`tx ${target} packets`) ?? 0);
    return left.find((target) => sent(target) > (traffic.get(`tx ${target} packets`) ?? 0));
  };

  const compareForwarded = (expected: Forwarded, run: Run, input: Input): string[] => {
    const found: string[] = [];
    const targets = [...expected.frames.keys()];
    const rank = (target: number) => {
      const { endpoint, endsSegment = false } = config.ports[target] ?? {};
      return endpoint === 'Cube' ? (endsSegment ? 1 : 2) : 0;
    };
    // the frame itself goes last
    const itself = run.verdict === Verdict.ok ? run.sightings.at(-1) : undefined;
    const copies = itself ? run.sightings.slice(0, -1) : run.sightings;
    const final = itself?.port ?? lastOf(targets, run);
    if (final === undefined) return ['it should go out'];
    const best = Math.max(...targets.map(rank));
    if (rank(final) < best)
      found.push(`port ${final} of rank ${rank(final)} has it last, not one of ${best}`);

    // BPF_PROG_TEST_RUN makes frames of many segments that have no type, and the kernel does not clone such
    const copyable =
      input.segment === undefined ? targets.filter((target) => COPYABLE.has(ends[target] ?? 'nothing')) : [];
    const expectedCopies = copyable.filter((target) => target !== final).sort();
    const actual = copies.map((copy) => copy.port).sort();
    if (actual.join() !== expectedCopies.join()) found.push(`copies at ${actual}, not ${expectedCopies}`);
    for (const { port: target, wire } of run.sightings) {
      if (!expected.frames.get(target)?.equals(wire)) found.push(`other bytes at port ${target}`);
    }
    const frame = expected.frames.get(final);
    if (frame === undefined) found.push(`it went out of port ${final}`);
    else if (!itself && !frame.equals(run.frame) && !withoutTag(frame).equals(run.frame))
      found.push('other bytes');
    for (const { port: target, told } of run.sightings) {
      if (told === undefined) continue;
      const vlan = expected.stacked ? told.vlan : expected.tags.get(target);
      const right = { l3: 14, vlan, hops: input.shared ? 2 : 3 };
      if (told.vlan !== right.vlan || told.l3 !== right.l3 || told.hops !== right.hops)
        found.push(
          `the cube at port ${target} is told ${JSON.stringify(told)}, not ${JSON.stringify(right)}`,
        );
    }

    increase(sums, 'count bridge copies', expectedCopies.length);
    increase(sums, 'count bridge copyFailures', targets.length - 1 - expectedCopies.length);
    if (ends[final] === 'nothing') add(sums, 'drop bridge NoEdge');
    for (const target of [...expectedCopies, final]) add(traffic, `tx ${target} packets`);
    return found;
  };

  const compareReal = (expected: Outcome, run: Run, input: Input): string[] => {
    for (const name of model.counts) add(sums, `count bridge ${name}`);
    if (expected.kind === 'drop') add(sums, `drop ${expected.by} ${expected.reason}`);
    if (expected.kind !== 'drop' || expected.by === 'bridge') {
      add(traffic, `rx ${input.port} packets`);
      increase(traffic, `rx ${input.port} bytes`, input.frame.length);
    }
    if (expected.kind === 'forward') return compareForwarded(expected, run, input);
    if (run.sightings.length > 0) return ['it should go nowhere'];
    const verdict = expected.kind === 'pass' ? Verdict.pass : Verdict.drop;
    return run.verdict === verdict
      ? []
      : [expected.kind === 'pass' ? 'the host should have it' : 'it should end'];
  };

  /** A dry run tells of each port, and of the decision. */
  const compareDry = (expected: Outcome, { events }: Run): string[] => {
    const outputs = events.filter(({ kind, slot }) => kind === 'output' && slot === cube.slot);
    const said = outputs.map(({ value }) => value).sort();
    if (expected.kind !== 'forward') return said.length === 0 ? [] : [`it would go out of ${said}`];
    const final = outputs.at(-1)?.value ?? -1;
    const told = (target: number) => target === final || ends[target] !== 'nothing';
    const targets = [...expected.frames.keys()];
    const found = said.join() === targets.filter(told).sort().join() ? [] : [`it would go out of ${said}`];
    if (!targets.includes(final)) found.push(`last out of ${final}`);
    const decision = events.find(({ kind, slot }) => kind === 'decision' && slot === cube.slot);
    const { decision: name, object } = expected.by;
    if (decision?.value !== DECISIONS[name] || decision.object !== BigInt(object))
      found.push('another decision');
    return found;
  };

  /** What was learned, or heard again, stands in the map as of now. */
  const compareHeard = (from: number, to: number): string[] => {
    const { heard } = model;
    if (heard === undefined) return [];
    const row = bench.address(cube, heard);
    if (row?.port !== model.learned.get(heard)?.port) return [`${heard} at port ${row?.port}`];
    const isNow = row !== undefined && row.seen >= coarse(from - TICK) && row.seen <= coarse(to);
    return isNow ? [] : [`${heard} heard at ${row?.seen}, not ${coarse(from)}`];
  };

  const compareAddresses = (): string[] => {
    const expected = new Map([...model.learned].map(([key, place]) => [key, place.port]));
    return compareSums(expected, bench.addresses(cube)).map((text) => `address ${text}`);
  };

  const droppedFor = (reason: string, run: Run): boolean => {
    const name = `drop bridge ${reason}`;
    if (run.events.length > 0)
      return !run.events.some(({ kind, slot }) => kind === 'output' && slot === cube.slot);
    return bench.dropped(cube, reason) + (past.get(name) ?? 0) > (sums.get(name) ?? 0);
  };

  return {
    shoot(random) {
      if (random.chance(0.02)) rewire(random);
      const input = { ...segment.next(random, model.config, shared), dry: random.chance(0.02) };
      enterBy(input);
      const from = now();
      const run = bench.run(input);
      const to = now();
      const outcome = model.decide(input, { from, to, droppedFor: (reason) => droppedFor(reason, run) });
      const found = input.dry
        ? compareDry(outcome, run)
        : [...compareReal(outcome, run, input), ...compareHeard(from, to)];
      return found.length === 0 ? [] : [...found, ...describe(input, outcome, run, ends)];
    },

    sums() {
      finish();
      const expected = new Map([...sums, ...traffic].filter(([, count]) => count > 0));
      const actual = new Map([...past, ...bench.entryTally()]);
      for (const [name, count] of sums) increase(options.outcomes, name, count);
      return [...compareSums(expected, actual), ...compareAddresses()];
    },

    async change(random) {
      const kind = random.below(6);
      if (kind === 0) {
        finish();
        config = nextConfig(random, config, MOST_CUBES);
        cube = await bench.load(config, cube.slot === SLOTS[0] ? SLOTS[1] : SLOTS[0], options.path, cube);
        model.reconfigure(modelOf(config));
        rewire(random);
      } else if (kind < 2) {
        model.fillBuckets();
        bench.fillBuckets(cube);
      } else {
        for (const [key, place] of model.learned) {
          if (!random.chance(0.5)) continue;
          const heard = now() - random.pick(AGES) * 1e9;
          Object.assign(place, { from: heard, to: heard });
          bench.age(cube, key, coarse(heard));
        }
      }
    },

    close: () => bench.close(),
  };
}

/** Where a copy arrives. */
const COPYABLE: ReadonlySet<End> = new Set(['device', 'cube']);

const DECISIONS = { Learned: 1, StaticEntry: 2, Flooded: 3 } as const;

const withoutTag = (frame: Buffer): Buffer => Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]);

/** Headers, and how much there is. */
const hex = (bytes: Buffer): string => `${bytes.toString('hex', 0, 96)} (${bytes.length})`;

function describe(input: Input, outcome: Outcome, run: Run, ends: readonly End[]): string[] {
  const { frame, ...rest } = input;
  const expected =
    outcome.kind === 'forward'
      ? `${outcome.by.decision}: ${[...outcome.frames].map(([port, bytes]) => `${port} ${hex(bytes)}`).join(', ')}`
      : JSON.stringify(outcome);
  const arrived = run.sightings.map(({ port, wire }) => `${port} ${hex(wire)}`).join(', ');
  return [
    `in: ${JSON.stringify(rest)} ${hex(frame)}`,
    `ports end at ${ends.join()}`,
    `model:  ${expected}`,
    `kernel: verdict ${run.verdict}, ${hex(run.frame)}, arrived: ${arrived}`,
  ];
}
