// SPDX-License-Identifier: Apache-2.0

/**
 * From the start of the agent's process to 50,000 frontends with 250,000 backends in the kernel: 10,000 CubeTables, each
 * of a Service with five ports and five endpoints a port, listed from a real API server. By part: the same tables from
 * JSON through the image of a load balancer into maps of their own, in this process.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CubeTable } from '../../../src/api/generated/types.ts';
import { openLab } from '../../harness/lab.ts';
import { addBalancer } from '../load.ts';
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

const FULL: Size = { services: 10_000, ports: 5, endpoints: 5 };
const QUICK: Size = { services: 1_000, ports: 5, endpoints: 5 };
/** Goals in seconds, for the full size. */
const GOAL = { total: 5, kernel: 1 } as const;

async function run({ quick, say }: SuiteOptions): Promise<readonly Measure[]> {
  const size = quick ? QUICK : FULL;
  const rounds = quick ? 2 : 5;
  const all = tables(size);
  const lab = await openLab('bench programming', { log: say });
  try {
    const one = await openOneNode(lab);
    const { api } = one.cluster;
    await api.create(`${SYSTEM_PATH}/cubes`, balancer(one.node.name, size));
    await api.create(`${SYSTEM_PATH}/cubelinks`, podLink(one.node.name));
    await storeTables(one.cluster, all);
    say(`${all.length} CubeTables stored`);
    const totals: number[] = [];
    const parts: Parts[] = [];
    for (let round = 1; round <= rounds; round++) {
      totals.push(await programmed(one, size));
      parts.push(await byPart(all, size));
      say(`round ${round} of ${rounds}: ${totals.at(-1)?.toFixed(2)} s`);
    }
    const of = `${size.services * size.ports}-frontends`;
    const head = (name: string) =>
      ({ name: `programming.${of}.${name}`, unit: 's', better: 'lower' }) as const;
    const goal = (value: number) => (quick ? {} : { goal: value });
    return [
      measureOf({ ...head('total'), ...goal(GOAL.total) }, totals),
      measureOf(
        head('json'),
        parts.map(({ json }) => json),
      ),
      measureOf(
        head('rows'),
        parts.map(({ rows }) => rows),
      ),
      measureOf(
        { ...head('kernel'), ...goal(GOAL.kernel) },
        parts.map(({ kernel }) => kernel),
      ),
    ];
  } finally {
    await lab.close();
  }
}

/** Seconds from the start of the agent until all rows are in the kernel, which was empty. */
async function programmed({ agent, counters }: OneNode, size: Size): Promise<number> {
  const frontends = size.services * size.ports;
  const start = performance.now();
  await agent.start(120_000);
  let held = 0;
  for (const deadline = start + 120_000; performance.now() < deadline; await sleep(20)) {
    held = await counters.rows(BALANCER, 'frontends');
    if (held === frontends) break;
  }
  const seconds = (performance.now() - start) / 1000;
  if (held !== frontends) throw new Error(`the kernel holds ${held} frontends, not ${frontends}`);
  await agent.stop();
  await agent.down();
  return seconds;
}

/** Seconds. */
interface Parts {
  readonly json: number;
  readonly rows: number;
  readonly kernel: number;
}

async function byPart(all: readonly CubeTable[], size: Size): Promise<Parts> {
  const texts = all.map((table) => JSON.stringify(table));
  const { spec } = balancer('node-a', size) as unknown as { spec: { loadBalancer: object } };
  return await addBalancer(spec.loadBalancer, ({ image, cube }) => {
    const begin = performance.now();
    const parsed = texts.map((text) => JSON.parse(text) as CubeTable);
    const read = performance.now();
    for (const { metadata, spec: table } of parsed) {
      const services = table.type === 'Service' ? table.services : [];
      const [problem] = image.setTable(
        `${metadata.namespace}/${metadata.name}`,
        services,
        table.slice as never,
      );
      if (problem) throw new Error(problem.message);
    }
    image.settle();
    const { writes } = image.take();
    const packed = performance.now();
    for (const { map, keys, values } of writes) cube.map(map).updateBatchSync(keys, values);
    const written = performance.now();
    return { json: (read - begin) / 1000, rows: (packed - read) / 1000, kernel: (written - packed) / 1000 };
  });
}

export const suite: Suite = {
  name: 'programming',
  summary: 's from the start of an agent to 50,000 frontends with 250,000 backends in the kernel',
  run,
};
