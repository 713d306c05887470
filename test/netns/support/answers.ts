// SPDX-License-Identifier: Apache-2.0
/** Who may open what: real sockets, TCP and UDP, both families. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import type { Namespace } from '../../harness/netns.ts';
import type { Pod } from '../../harness/topology.ts';
import { connectTcp, sendUdp } from './sockets.ts';

const FAMILIES = ['ipv4', 'ipv6'] as const;

/** What gets an answer: `TCP ipv4 8080`. */
export async function answers(from: Namespace, to: Pod, ports: readonly number[]): Promise<string[]> {
  const tries = FAMILIES.flatMap((family) =>
    ports.flatMap((port) => {
      const address = to.addresses[family] ?? '';
      return [
        [`TCP ${family} ${port}`, connectTcp(from, address, port)] as const,
        [`UDP ${family} ${port}`, sendUdp(from, address, port)] as const,
      ];
    }),
  );
  const results = await Promise.all(tries.map(async ([name, attempt]) => [name, await attempt] as const));
  return results.flatMap(([name, { error }]) => (error === null ? [name] : [])).sort();
}

/** Answers on all of these ports. */
export const everything = (...ports: number[]): string[] =>
  ports
    .flatMap((port) => ['TCP', 'UDP'].flatMap((l4) => FAMILIES.map((family) => `${l4} ${family} ${port}`)))
    .sort();

/** Of a change it takes the agents a moment to see it. */
export async function eventually(
  from: Namespace,
  to: Pod,
  ports: readonly number[],
  expected: string[],
): Promise<void> {
  let got: string[] = [];
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await sleep(100)) {
    got = await answers(from, to, ports);
    if (got.join() === expected.join()) return;
  }
  expect(got).toEqual(expected);
}
