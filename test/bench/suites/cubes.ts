// SPDX-License-Identifier: Apache-2.0

/**
 * What each cube costs a packet, behind the entry and with the edge that it leaves by:
 *   known  of 4,096 flows at random that the cube knows, three of TCP and one of UDP; beside it the map lookups of that way
 *          alone (test/kernel/fixtures/lookups.bpf.c)
 *   new    of a flow that nobody has seen; beside it the inserts of that way alone (inserts.bpf.c). The tables are full, as
 *          in a flood: each insert pushes an older flow out
 *   a miss of the cube's own kind
 * `pass` is a cube that does nothing: what entry and edge cost every packet, beside their lookups.
 * Each run of BPF_PROG_TEST_RUN is another packet (flows.bpf.c); what writing it costs is measured by itself and taken off.
 */
import { CUBE_TYPES } from '../../../src/cubes/generated/index.ts';
import type { BpfProgram } from '../../../src/dataplane/kernel/addon/index.ts';
import { Chain, type ChainCube, u32 } from '../../kernel/support/chain.ts';
import { FAMILIES, type Family } from '../connect.ts';
import { loadCube } from '../load.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { difference, interleave, type Measure, measureOf } from '../measure.ts';
import { SCENARIOS, type Scenario, type Traffic } from '../scenarios.ts';
import { openBeside, Sender } from '../sender.ts';

/** ns beside the lookups of a known packet, and beside the inserts of a new flow. */
const GOALS = { known: 40, new: 200 } as const;
const SLOT = 1;
/** A cube that counts and refuses nothing of its own. */
const NOTHING = { ...CUBE_TYPES.Mirror, dropReasons: [], counters: [] };

const portsOf = ({ cube }: Scenario): number[] => cube?.ports.map(({ id }) => id) ?? [0, 1];

/** One kind of traffic, and the program beside it. */
interface Kind {
  readonly name: string;
  readonly traffic: Traffic;
  readonly sender: Sender;
  readonly beside?: BpfProgram;
}

/** A cube alone in a chain. */
export class Bench {
  readonly scenario: Scenario;
  readonly chain: Chain;
  readonly cube: ChainCube;
  readonly #objects: { close(): void }[] = [];

  private constructor(scenario: Scenario, chain: Chain, cube: ChainCube) {
    this.scenario = scenario;
    this.chain = chain;
    this.cube = cube;
  }

  static async open(scenario: Scenario): Promise<Bench> {
    const chain = await Chain.open();
    try {
      const cube = scenario.cube
        ? await loadCube(chain, SLOT, scenario.cube)
        : await chain.add({ object: 'pass', schema: NOTHING, slot: SLOT });
      for (const id of portsOf(scenario)) chain.edge(SLOT, id, { kind: 'device', target: 1 });
      return new Bench(scenario, chain, cube);
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  async kinds(family: Family, count: number): Promise<Kind[]> {
    const { scenario } = this;
    const known = scenario.known(family, count, (port, frame) => {
      this.enter(port);
      return this.chain.entry.testRun({ dataIn: frame }).dataOut;
    });
    const kinds = [await this.#kind('known', known, 'lookups')];
    if (scenario.fresh) kinds.push(await this.#kind('new', scenario.fresh(family, 1024), 'inserts'));
    if (scenario.miss) kinds.push(await this.#kind(scenario.miss.name, scenario.miss.traffic(family, 1024)));
    return kinds;
  }

  async #kind(name: string, traffic: Traffic, fixture?: 'lookups' | 'inserts'): Promise<Kind> {
    const sender = await Sender.open(traffic.packets, traffic.fresh);
    this.#objects.push(sender);
    if (!fixture) return { name, traffic, sender };
    const variables = fixture === 'lookups' ? { rows_tried: u32(this.scenario.rows ?? 1) } : {};
    const { name: program } = this.scenario;
    const beside = await openBeside(fixture, program, sender, this.chain, [this.cube], variables);
    this.#objects.push(beside);
    return { name, traffic, sender, beside: beside.program };
  }

  enter(port: number): void {
    this.chain.attach({ kind: 'stack' }, this.cube, port);
  }

  /** Packets that the cube has sent, and that it has dropped. */
  fates(): Record<Traffic['fate'], number> {
    const sent = portsOf(this.scenario).map((id) => this.cube.port(id).txPackets);
    const dropped = [...this.cube.tally()].filter(([name]) => name.startsWith('drop'));
    return { sent: sum(sent), dropped: sum(dropped.map(([, count]) => count)) };
  }

  close(): void {
    for (const object of this.#objects) object.close();
    this.chain.close();
  }
}

const sum = (list: readonly number[]): number => list.reduce((total, one) => total + one, 0);

async function measures(bench: Bench, family: Family, { quick, say }: SuiteOptions): Promise<Measure[]> {
  const [rounds, count] = quick ? [5, 512] : [9, 4096];
  /** New flows cost several times as much as all others. */
  const repeatOf = ({ fresh }: Traffic): number => (quick ? 30_000 : 100_000) / (fresh ? 5 : 1);
  const { name } = bench.scenario;
  const kinds = await bench.kinds(family, count);
  const alternatives: Record<string, () => number> = {};
  for (const { name, traffic, sender, beside } of kinds) {
    const repeat = repeatOf(traffic);
    alternatives[`${name}-end`] = () => sender.time(sender.end, repeat);
    alternatives[name] = () => {
      bench.enter(traffic.port);
      return sender.time(bench.chain.entry, repeat);
    };
    if (beside) alternatives[`${name}-beside`] = () => sender.time(beside, repeat);
  }
  const before = bench.fates();
  const values = await interleave(rounds, alternatives);
  const after = bench.fates();
  for (const fate of ['sent', 'dropped'] as const) {
    const meant = kinds.filter(({ traffic }) => traffic.fate === fate);
    const packets = sum(meant.map(({ traffic }) => repeatOf(traffic) * (rounds + 1)));
    if (after[fate] - before[fate] !== packets)
      throw new Error(`${name}: ${after[fate] - before[fate]} of ${packets} packets were ${fate}`);
  }
  say(`${name} ${family}: ${rounds} rounds`);
  const minus = (a: string, b: string) => difference(values, a, b);
  const measure = (what: string, ns: number[], goal?: number) =>
    measureOf(
      {
        name: `cubes.${name.replaceAll('_', '-')}.${what}.${family}`,
        unit: 'ns',
        better: 'lower',
        ...(goal === undefined ? {} : { goal }),
      },
      ns,
    );
  const goalOf = (kind: string) => (bench.scenario.cube ? GOALS[kind as keyof typeof GOALS] : undefined);
  return kinds.flatMap(({ name, beside }) => {
    const total = measure(name, minus(name, `${name}-end`));
    if (!beside) return [total];
    const alone = name === 'known' ? 'lookups' : 'inserts';
    return [
      total,
      measure(`${name}-${alone}`, minus(`${name}-beside`, `${name}-end`)),
      measure(`${name}-beside-${alone}`, minus(name, `${name}-beside`), goalOf(name)),
    ];
  });
}

async function run(options: SuiteOptions): Promise<readonly Measure[]> {
  const all: Measure[] = [];
  for (const scenario of SCENARIOS) {
    const bench = await Bench.open(scenario);
    try {
      for (const family of FAMILIES) all.push(...(await measures(bench, family, options)));
    } finally {
      bench.close();
    }
  }
  return all;
}

export const suite: Suite = {
  name: 'cubes',
  summary: 'ns of a packet through each cube: known, beside its lookups; new, beside its inserts; a miss',
  run,
};
