// SPDX-License-Identifier: Apache-2.0

/** Whole ways of packets through the provider's cubes, each beside a program that makes its lookups and inserts alone. */
import type { BpfProgram } from '../../src/dataplane/kernel/addon/index.ts';
import type { Chain, ChainCube } from '../kernel/support/chain.ts';
import { FAMILIES, type Family } from './connect.ts';
import type { SuiteOptions } from './main.ts';
import { difference, interleave, type Measure, measureOf } from './measure.ts';
import type { Sender } from './sender.ts';

/** ns beside the lookups of a packet of a connection that is there, and beside lookups and inserts of a first one. */
const GOALS = { known: 100, new: 800 } as const;

/** Services that new connections go to in turn, a power of two: no two of them share a backend. */
export const NEW_FLOWS = 32;

/** Packets of one kind. */
export interface Traffic {
  readonly name: string;
  readonly way: 'request' | 'reply';
  readonly sender: Sender;
  /** What makes their lookups, and inserts where they are new, alone. */
  readonly beside: BpfProgram;
  /** Says what the packets come in by. */
  enter(): void;
  /** Each opens a connection. */
  readonly isNew: boolean;
}

export interface Way {
  /** The cubes that requests pass, as measures name them. */
  readonly name: string;
  readonly chain: Chain;
  /** So many connections of each kind that knows any. */
  traffic(family: Family, count: number): Promise<Traffic[]>;
  /** Packets that have left by the last port of their way. */
  sent(): Record<'request' | 'reply', number>;
  /** Connections that every cube which remembers them has taken for new. */
  newSessions(): number;
  /** Removes what was remembered of them, that tables do not fill; returns how many rows. */
  forget(): number;
  close(): void;
}

/** The least that one of the cubes has counted. */
export function leastOf(cubes: readonly ChainCube[], counter: string): number {
  return Math.min(...cubes.map((cube) => cube.tally().get(`count ${cube.name} ${counter}`) ?? 0));
}

export function forgetOpenings(cube: ChainCube): number {
  const table = cube.map('embryonic');
  return table.deleteBatchSync(table.dumpSync().keys);
}

/** Packets that any cube or the entry has dropped. */
export function dropsIn(chain: Chain): number {
  let sum = 0;
  for (const [name, count] of chain.tally()) if (name.startsWith('drop ')) sum += count;
  return sum;
}

async function measures(way: Way, family: Family, { quick, say }: SuiteOptions): Promise<Measure[]> {
  const [rounds, count] = quick ? [5, 512] : [21, 8192];
  /** As many new ones as find room in every table. */
  const repeatOf = ({ isNew }: Traffic): number => (isNew ? 20_000 : quick ? 80_000 : 400_000);
  const all = await way.traffic(family, count);
  say(`${way.name} ${family}: ${count} connections established`);
  const alternatives: Record<string, () => number> = {};
  for (const traffic of all) {
    const { name, sender, beside, isNew } = traffic;
    const repeat = repeatOf(traffic);
    alternatives[`${name}-end`] = () => sender.time(sender.end, repeat);
    alternatives[name] = () => {
      if (isNew) way.forget();
      traffic.enter();
      return sender.time(way.chain.entry, repeat);
    };
    alternatives[`${name}-beside`] = () => {
      if (isNew) way.forget();
      return sender.time(beside, repeat);
    };
  }
  const before = { sent: way.sent(), opened: way.newSessions(), drops: dropsIn(way.chain) };
  const values = await interleave(rounds, alternatives);
  const after = { sent: way.sent(), opened: way.newSessions(), drops: dropsIn(way.chain) };
  const packets = (of: (traffic: Traffic) => boolean): number =>
    all.filter(of).reduce((sum, traffic) => sum + (rounds + 1) * repeatOf(traffic), 0);
  expectAll(`${way.name} ${family}`, [
    ['dropped', after.drops - before.drops, 0],
    ['opened', after.opened - before.opened, packets(({ isNew }) => isNew)],
    ...(['request', 'reply'] as const).map(
      (to) => [`sent as ${to}`, after.sent[to] - before.sent[to], packets(({ way }) => way === to)] as const,
    ),
  ]);
  say(`${way.name} ${family}: ${rounds} rounds`);
  const minus = (a: string, b: string) => difference(values, a, b);
  const measure = (what: string, ns: number[], goal?: number): Measure =>
    measureOf(
      {
        name: `chains.${way.name}.${what}.${family}`,
        unit: 'ns',
        better: 'lower',
        ...(goal === undefined ? {} : { goal }),
      },
      ns,
    );
  return all.flatMap(({ name, isNew }) => {
    const alone = isNew ? 'lookups-and-inserts' : 'lookups';
    return [
      measure(`packet.${name}`, minus(name, `${name}-end`)),
      measure(`${alone}.${name}`, minus(`${name}-beside`, `${name}-end`)),
      measure(`beside-${alone}.${name}`, minus(name, `${name}-beside`), isNew ? GOALS.new : GOALS.known),
    ];
  });
}

/** A figure counts only if every packet went the whole way. */
function expectAll(name: string, fates: readonly (readonly [string, number, number])[]): void {
  for (const [fate, seen, wanted] of fates)
    if (seen !== wanted) throw new Error(`${name}: ${seen} packets were ${fate}, not ${wanted}`);
}

export async function measureWay(open: () => Promise<Way>, options: SuiteOptions): Promise<Measure[]> {
  const way = await open();
  try {
    const all: Measure[] = [];
    for (const family of FAMILIES) all.push(...(await measures(way, family, options)));
    return all;
  } finally {
    way.close();
  }
}
