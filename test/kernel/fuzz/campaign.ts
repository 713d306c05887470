// SPDX-License-Identifier: Apache-2.0
/**
 * Runs a model beside the kernel. A campaign is all that follows from a seed: configurations, and packets through each.
 *
 *   CUBEPLANE_FUZZ_PACKETS  packets a cube; 100,000 by default
 *   CUBEPLANE_FUZZ_CALLS    calls of sockets to the socket load balancer, which are dearer; 6,000 by default
 *   CUBEPLANE_FUZZ_SEED     the first seed; 1 by default
 *   CUBEPLANE_FUZZ_STRETCH  packets of one seed; 1,000 by default, more where programs take long to load. A longer stretch goes on where a shorter one ends,
 *                           so it finds what the shorter one finds at the same packet, with fewer programs to load
 *   CUBEPLANE_FUZZ_EXACT    1: sums are compared after each packet, to see which one is counted otherwise; slow
 *
 * A difference names its seed: the same campaign, run with this seed alone, ends at the same packet.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Random } from './random.ts';

export const PACKETS = Number(process.env.CUBEPLANE_FUZZ_PACKETS ?? 100_000);
export const SEED = Number(process.env.CUBEPLANE_FUZZ_SEED ?? 1);

/** Packets of one seed, under one configuration at first. */
const STRETCH = process.env.CUBEPLANE_FUZZ_STRETCH;

/** Packets after which a long campaign says how far it is. */
const REPORTED = 500_000;

const IS_EXACT = process.env.CUBEPLANE_FUZZ_EXACT === '1';

/** One configuration in the kernel and in the model. */
export interface Subject {
  /** Sends one random packet through both; returns what differs, in words. */
  shoot(random: Random): readonly string[] | Promise<readonly string[]>;
  /** Compares what has been counted since the beginning. */
  sums(): readonly string[];
  /** Changes the configuration of both at random. */
  change?(random: Random): void | Promise<void>;
  close(): void | Promise<void>;
}

export interface CampaignResult {
  readonly packets: number;
  readonly changes: number;
  /** Of the first packet that differs; the campaign ends there. */
  readonly differences: readonly string[];
}

/**
 * @param open makes the subject of a seed.
 * @param options.isTimed the kernel's clock has a say in what a packet does, and a machine that is held up between two looks at
 * it makes a difference that is none: one that the same seed does not show again is told of and passed over, once in 10 seeds.
 */
export async function campaign(
  open: (random: Random) => Promise<Subject>,
  options: { packets?: number; seed?: number; stretch?: number; isTimed?: boolean } = {},
): Promise<CampaignResult> {
  const { packets: wanted = PACKETS, seed: first = SEED } = options;
  const stretch = Number((options.packets === undefined && STRETCH) || (options.stretch ?? 1_000));
  let packets = 0;
  let changes = 0;
  let passedOver = 0;
  let reported = 0;
  const started = Date.now();
  for (let seed = first; packets < wanted; seed++) {
    const random = new Random(seed);
    const subject = await open(random);
    try {
      await nextTurn(); // memory of buffers is given back
      for (let n = 0; n < stretch; n++, packets++) {
        if (subject.change && random.chance(0.005)) {
          await subject.change(random);
          changes++;
        }
        const shot = subject.shoot(random);
        const differences = [...(shot instanceof Promise ? await shot : shot)];
        if (IS_EXACT || n === stretch - 1) differences.push(...subject.sums());
        if (differences.length === 0) continue;
        const found = [`seed ${seed}, packet ${n}`, ...differences];
        const isKnown = !options.isTimed || passedOver * 10 > seed - first;
        if (isKnown || (await campaign(open, { packets: stretch, seed, stretch })).differences.length > 0)
          return { packets, changes, differences: found };
        passedOver++;
        console.warn(`not seen again with the same seed: ${found.join('\n')}`);
        break;
      }
    } finally {
      await subject.close();
    }
    if (packets - reported < REPORTED) continue;
    reported = packets;
    const minutes = ((Date.now() - started) / 60_000).toFixed(1);
    process.stderr.write(`fuzz: ${packets} of ${wanted} packets, seed ${seed}, ${minutes} minutes\n`);
  }
  return { packets, changes, differences: [] };
}

/** Sums that differ: what was expected and what was counted. */
export function compareSums(
  expected: ReadonlyMap<string, number>,
  actual: ReadonlyMap<string, number>,
): string[] {
  const names = new Set([...expected.keys(), ...actual.keys()]);
  return [...names]
    .filter((name) => (expected.get(name) ?? 0) !== (actual.get(name) ?? 0))
    .map((name) => `${name}: model ${expected.get(name) ?? 0}, kernel ${actual.get(name) ?? 0}`);
}

export function add(sums: Map<string, number>, name: string): void {
  sums.set(name, (sums.get(name) ?? 0) + 1);
}
