// SPDX-License-Identifier: Apache-2.0

/**
 * Resident memory of an agent with 10,000 Services of 25 endpoints, listed from a real API server, next to the same agent
 * before there was any Service. Settled: what it holds after a while without work. Peak: the most it ever held.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLab } from '../../harness/lab.ts';
import type { Suite, SuiteOptions } from '../main.ts';
import { type Measure, measureOf } from '../measure.ts';
import {
  BALANCER,
  balancer,
  type OneNode,
  openOneNode,
  podLink,
  type Size,
  SYSTEM_PATH,
  storeTables,
  tables,
} from '../services.ts';

const FULL: Size = { services: 10_000, ports: 1, endpoints: 25 };
const QUICK: Size = { services: 1_000, ports: 1, endpoints: 25 };
/** MB on top of the empty agent, for the full size. */
const GOAL = 80;

interface Resident {
  readonly settled: number;
  readonly peak: number;
}

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const size = quick ? QUICK : FULL;
  const rounds = quick ? 1 : 3;
  const idle = quick ? 5_000 : 15_000;
  const lab = await openLab('bench memory', { log: say });
  try {
    const one = await openOneNode(lab);
    const { api } = one.cluster;
    await api.create(`${SYSTEM_PATH}/cubes`, balancer(one.node.name, size));
    await api.create(`${SYSTEM_PATH}/cubelinks`, podLink(one.node.name));
    const empty: Resident[] = [];
    for (let round = 1; round <= rounds; round++) empty.push(await resident(one, 0, idle));
    say(`empty: ${text(empty)}`);
    await storeTables(one.cluster, tables(size));
    const full: Resident[] = [];
    for (let round = 1; round <= rounds; round++) full.push(await resident(one, size.services, idle));
    say(`${size.services} Services: ${text(full)}`);
    return (['settled', 'peak'] as const).flatMap((which) => {
      const own = full.map((one) => one[which]);
      const before = empty.map((one) => one[which]);
      const head = (name: string) =>
        ({ name: `memory.${which}.${name}`, unit: 'MB', better: 'lower' }) as const;
      return [
        measureOf(head('empty'), before),
        measureOf(head(`${size.services}-services`), own),
        measureOf(
          { ...head('on-top'), ...(quick ? {} : { goal: GOAL }) },
          own.map((mb, round) => mb - (before[round] as number)),
        ),
      ];
    });
  } finally {
    await lab.close();
  }
}

/** Starts the agent on an empty kernel, and ends it when it has had nothing to do for so many milliseconds. */
async function resident({ agent, counters }: OneNode, frontends: number, idleMs: number): Promise<Resident> {
  await agent.start(120_000);
  const held = await counters.rows(BALANCER, 'frontends');
  if (held !== frontends) throw new Error(`the kernel holds ${held} frontends, not ${frontends}`);
  await sleep(idleMs);
  const status = await readFile(`/proc/${agent.running.pid}/status`, 'utf8');
  const mb = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  const result = { settled: mb('VmRSS'), peak: mb('VmHWM') };
  await agent.stop();
  await agent.down();
  return result;
}

function text(all: readonly Resident[]): string {
  return all.map(({ settled, peak }) => `${settled.toFixed(0)} MB (peak ${peak.toFixed(0)})`).join(', ');
}

export const suite: Suite = {
  name: 'memory',
  summary: 'MB that an agent holds with 10,000 Services of 25 endpoints, on top of an empty one',
  run,
};
