// SPDX-License-Identifier: Apache-2.0
/** A router with a random configuration, in the kernel and as a model. */
import type { CubeTypeSchema } from '../../../src/api/schemas/cube-type.ts';
import { mappedBytes } from '../support/bytes.ts';
import { Chain, Verdict } from '../support/chain.ts';
import { addRouter, apply } from '../support/router.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { randomFrame } from './packets.ts';
import { addressOf } from './parse-model.ts';
import type { Random } from './random.ts';
import { DEVICE_MAC, modelOf, randomConfig, randomRoutes, WORLD } from './router-config.ts';
import { type Outcome, RouterModel } from './router-model.ts';

/** Of the fixture `pass`, which drops and counts nothing of its own. */
const PASS_SCHEMA = { dropReasons: [], counters: [] } as unknown as CubeTypeSchema;

const FIRST = 2;
const ROUTER = 1;
const TABLE = 'test/routes';

const words = (outcome: Outcome): string =>
  JSON.stringify(outcome, (key, value) =>
    key === 'frame' ? undefined : typeof value === 'bigint' ? value.toString(16) : value,
  );

/** @param path another build of the object file, with a planted bug. */
export async function openRouter(r: Random, path?: string): Promise<Subject> {
  const chain = await Chain.open();
  const config = randomConfig(r);
  const router = await addRouter(chain, {
    ports: config.ports,
    slot: ROUTER,
    ...(path === undefined ? {} : { path }),
    spec: {
      routes: [...config.routes],
      icmp: { errorsPerSecond: 1_000_000, burst: 100_000 },
      ...(config.mtu === undefined ? {} : { mtu: config.mtu }),
    },
  });
  const before = await chain.add({ object: 'pass', schema: PASS_SCHEMA, slot: FIRST });
  const model = new RouterModel(modelOf(config, []));
  const sums = new Map<string, number>();

  let port = 0;
  let shared = false;
  const enterBy = (random: Random) => {
    port = random.below(config.ports.length);
    shared = random.chance(0.4);
    chain.watch(ROUTER, ...config.ports.map(({ id }) => id));
    if (shared) {
      chain.attach({ kind: 'interface' }, router.cube, port);
    } else {
      chain.attach({ kind: 'interface' }, before, 0);
      chain.edge(FIRST, 1, { kind: 'cube', target: ROUTER, port });
    }
  };
  enterBy(r);

  return {
    shoot(random) {
      if (random.chance(0.1)) enterBy(random);
      const frame = randomFrame(random, WORLD);
      const actual = chain.shoot(frame);
      const expected = model.decide({ frame, port, shared, deviceMac: DEVICE_MAC }, actual.frame);
      if (expected.kind !== 'pass') {
        for (const name of expected.counts) add(sums, `count router ${name}`);
        if (expected.drop !== undefined) add(sums, `drop ${expected.drop}`);
      }
      const differences = compare(expected, actual);
      if (differences.length === 0) return [];
      return [
        ...differences,
        `in by port ${port}${shared ? ', shared' : ''}: ${frame.toString('hex')}`,
        `model:  ${words(expected)}${expected.kind === 'output' ? ` ${expected.frame.toString('hex')}` : ''}`,
        `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, ${actual.frame.toString('hex')}`,
      ];
    },
    sums() {
      const counted = [...chain.tally()].filter(([name]) => !name.endsWith('lpmLookups'));
      return compareSums(sums, new Map(counted));
    },
    change(random) {
      const rows = randomRoutes(random);
      router.image.setTable(TABLE, rows);
      apply(router.cube, router.image.take());
      model.config = modelOf(config, rows);
    },
    close: () => chain.close(),
  };
}

function compare(expected: Outcome, actual: ReturnType<Chain['shoot']>): string[] {
  if (expected.kind === 'pass') return actual.verdict === Verdict.pass ? [] : ['the host should have it'];
  if (expected.kind === 'drop') return actual.verdict === Verdict.drop ? [] : ['it should be dropped'];
  const { seen } = actual;
  if (actual.verdict !== Verdict.ok || !seen) return ['it should go out'];
  const found: string[] = [];
  if (seen.port !== expected.port) found.push(`port ${seen.port}, not ${expected.port}`);
  if (expected.tunnel !== undefined && addressOf(mappedBytes(seen.work.tunnelRemote)) !== expected.tunnel) {
    found.push(`tunnel to ${seen.work.tunnelRemote}`);
  }
  if (expected.nextHop !== undefined && addressOf(mappedBytes(seen.work.nextHop)) !== expected.nextHop) {
    found.push(`next hop ${seen.work.nextHop}`);
  }
  if (!actual.frame.equals(expected.frame)) found.push('other bytes');
  return found;
}
