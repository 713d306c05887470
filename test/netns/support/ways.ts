// SPDX-License-Identifier: Apache-2.0
/** Who answers at a place, and which source it saw: TCP and UDP, both families, all places asked by one process. */
import { expect } from '@jest/globals';
import type { Namespace } from '../../harness/netns.ts';
import type { DualStack } from '../../harness/topology.ts';
import { survey } from './sockets.ts';
import { FAMILIES } from './two-nodes.ts';

const PROTOCOLS = ['tcp', 'udp'] as const;
/** How often a place is asked, so that each backend of several is picked: one is missed once in 10 ^ 11 runs. */
const countOf = (by: Way['by']): number =>
  typeof by === 'string' ? 1 : by.length === 1 ? 3 : by.length * by.length * 10;

export interface Way {
  /** What the test calls it. */
  readonly name: string;
  readonly from: Namespace;
  /** Addresses that the sockets are bound to; those without one get what the kernel picks. */
  readonly bound?: DualStack;
  readonly to: DualStack;
  readonly port: number;
  /** Names of those who answer, each of them. Nobody: what becomes of it instead, as `ETIMEDOUT`. */
  readonly by: readonly string[] | string;
  /** The source that they see. */
  readonly sees?: DualStack;
}

/** What came, and what was to come, a line for each way, protocol and family. */
async function walk(ways: readonly Way[]): Promise<{ found: string[]; wanted: string[] }> {
  const found: string[] = [];
  const wanted: string[] = [];
  const walkFrom = async ({ from, bound }: Pick<Way, 'from' | 'bound'>) => {
    const asked = ways
      .filter((way) => way.from === from && way.bound === bound)
      .flatMap((way) =>
        FAMILIES.flatMap((family) => {
          const address = way.to[family];
          return address === undefined
            ? []
            : PROTOCOLS.map((protocol) => ({ way, family, protocol, address, port: way.port }));
        }),
      );
    const outcomes = await survey(
      from,
      asked.map(({ way, ...place }) => ({ ...place, count: countOf(way.by) })),
      bound,
    );
    for (const [i, { way, family, protocol }] of asked.entries()) {
      const line = (outcome: string) => `${way.name}, ${protocol} ${family}: ${outcome}`;
      found.push(...Object.keys(outcomes[i] ?? {}).map(line));
      const { by, sees = {} } = way;
      wanted.push(...(typeof by === 'string' ? [by] : by.map((name) => `${name} ${sees[family]}`)).map(line));
    }
  };
  const starts = ways.filter(
    (way, i) => ways.findIndex(({ from, bound }) => from === way.from && bound === way.bound) === i,
  );
  await Promise.all(starts.map(walkFrom));
  return { found: found.sort(), wanted: wanted.sort() };
}

export async function expectWays(ways: readonly Way[]): Promise<void> {
  const { found, wanted } = await walk(ways);
  expect(found).toEqual(wanted);
}

/** Of a change it takes the agents a moment to see it. */
export async function eventuallyWays(ways: readonly Way[]): Promise<void> {
  for (const deadline = Date.now() + 60_000; ; ) {
    const { found, wanted } = await walk(ways);
    if (found.join() === wanted.join()) return;
    if (Date.now() > deadline) expect(found).toEqual(wanted);
  }
}
