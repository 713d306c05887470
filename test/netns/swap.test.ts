// SPDX-License-Identifier: Apache-2.0
/**
 * Programs of running cubes are swapped under a load that never pauses: by a spec that makes another program of the same
 * object file, and by releases, each with object files of its own. Sessions stay: the firewall is strict, so that a packet
 * of a connection that it has forgotten is refused, and a balancer that has forgotten one resets it.
 */
import { appendFileSync, copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { HALF_CHANGED } from './support/half-changed.ts';
import { PinnedObjects } from './support/kernel-state.ts';
import { sampleChain, vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { holdConnections } from './support/sockets.ts';
import { Traffic } from './support/traffic.ts';
import { FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';
import { OUTCAST, Prober, wall } from './support/wall.ts';

/** Programs to swap; `npm run soak` asks for more. */
const SWAPS = Number(process.env.CUBEPLANE_SWAPS ?? 100);
jest.setTimeout(300_000 + SWAPS * 5_000);
/** How often it is a release, for which the agent starts anew: one in so many times. */
const RELEASE_EVERY = 8;
const HELD = 100;
const CUBES = ['load-balancer', 'firewall', 'router'];
const BUILT = new URL('../../build/bpf', import.meta.url).pathname;

let lab: TwoNodes;
let client: Pod;
let outcast: Pod;
const backends: Pod[] = [];

/** The sample chain with a strict firewall; each revision makes other programs of all three cubes. */
// biome-ignore lint/suspicious/noExplicitAny: fields of the sample are changed
function revise(chain: any, revision: number): object {
  const [ilb, router] = chain.spec.cubes;
  const perSecond = 100 + (revision % 50);
  ilb.loadBalancer.rejects = { errorsPerSecond: perSecond };
  router.router = { icmp: { errorsPerSecond: perSecond } };
  const fw = wall('fw', { handshake: 'Strict', rejects: { perSecond } });
  chain.spec.cubes = [ilb, fw, router];
  chain.spec.path.splice(2, 0, { type: 'Cube', cube: { name: 'fw', in: 'inside', out: 'outside' } });
  return chain;
}

/** A folder with object files that are others, to the agent, and do the same. */
function release(number: number): string {
  const folder = join(lab.lab.directory, `release-${number}`);
  mkdirSync(folder);
  for (const file of readdirSync(BUILT).filter((name) => name.endsWith('.o')))
    copyFileSync(join(BUILT, file), join(folder, file));
  // behind the end of an ELF file nobody looks
  for (const cube of CUBES) appendFileSync(join(folder, `${cube}.o`), `release ${number}`);
  return folder;
}

const keyOf = (cube: string, index: number) => `${SYSTEM}/kubernetes.${cube}.${lab.worker(index).node.name}`;

/** Instances of all cubes that have a program: `ilb 3f2a…`. */
function instances(index: number): string[] {
  const { counters } = lab.worker(index);
  return ['ilb', 'fw', 'router'].flatMap((cube) =>
    counters.instances(keyOf(cube, index)).map((instance) => `${cube} ${instance}`),
  );
}

/** Waits until all three cubes of a node have another program than before, and each only one. */
async function untilSwapped(index: number, before: readonly string[], timeoutMs = 60_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(20)) {
    const now = instances(index);
    if (now.length === CUBES.length && now.every((one) => !before.includes(one))) return;
    if (Date.now() > deadline)
      throw new Error(`${now.join()} after ${timeoutMs} ms; before ${before.join()}`);
  }
}

beforeAll(async () => {
  lab = await openTwoNodes('swap test', { chain: (chain) => revise(chain, 0) });
  client = await lab.addPod(0, 'client', 10);
  outcast = await lab.addPod(0, 'outcast', OUTCAST);
  backends.push(await lab.addPod(0, 'near', 11), await lab.addPod(1, 'far', 11));
  for (const pod of backends) await startServer(pod.namespace, pod.name, TARGET);
  lab.writeService({ name: 'web', number: 10, ports: named, backends });
  for (const { index } of lab.workers) await lab.untilFrontends(index, 4);
});
afterAll(async () => {
  await lab?.close();
});

/** Drops of a node that come of half a change, or of a forgotten session. */
async function wrongDrops(index: number): Promise<Record<string, number>> {
  const { counters } = lab.worker(index);
  const found: Record<string, number> = {};
  const add = (cube: string, drops: Readonly<Record<string, number>>) => {
    for (const reason of [...HALF_CHANGED, 'InvalidState', 'NoSession', 'SessionTableFull'])
      if (drops[reason] !== undefined) found[`${cube} ${reason}`] = drops[reason];
  };
  add('fw', await counters.cube(keyOf('fw', index), 'Firewall'));
  for (const [cube, drops] of Object.entries(await lab.drops(index))) add(cube, drops);
  return found;
}

test(`${SWAPS} programs swapped lose no packet and no session, let nobody through, and leak nothing`, async () => {
  const held = await Promise.all(
    FAMILIES.map((family) => holdConnections(client.namespace, vipsOf(10)[family], PORT, HELD)),
  );
  const objects = lab.workers.map(({ counters }) => new PinnedObjects(counters.pins.nodeRoot));
  const sizes = await Promise.all(objects.map(async (each) => (await each.look()).size));
  const dropsBefore = await Promise.all(lab.workers.map(({ index }) => wrongDrops(index)));
  const traffic = await Traffic.start(client, backends, 10);
  const prober = await Prober.start(outcast, backends[1]?.addresses ?? {}, TARGET);
  let swapped = 0;
  for (let round = 1; swapped < SWAPS; round++) {
    const before = lab.workers.map(({ index }) => instances(index));
    if (round % RELEASE_EVERY === 0) {
      const { agent, index } = lab.worker((round / RELEASE_EVERY) % 2);
      await agent.stop();
      agent.release = release(round);
      await agent.start();
      await untilSwapped(index, before[index] ?? []);
      swapped += CUBES.length;
    } else {
      lab.manifests.write('chain.yaml', revise(sampleChain(), round));
      for (const { index } of lab.workers) await untilSwapped(index, before[index] ?? []);
      swapped += lab.workers.length * CUBES.length;
    }
    if (round % RELEASE_EVERY === 1) for (const each of objects) await each.look();
  }
  await lab.untilReady();
  const { tries, answered } = await prober.end();
  expect(answered).toEqual({});
  expect(tries).toBeGreaterThan(SWAPS);
  const { lost, requests, echoes } = await traffic.end();
  expect(lost).toEqual({});
  expect(requests).toBeGreaterThan(SWAPS);
  expect(echoes).toBeGreaterThan(SWAPS);
  for (const each of held) expect(await each.check()).toEqual({ alive: HELD, errors: {} });
  for (const { index, agent } of lab.workers) {
    expect(await wrongDrops(index)).toEqual(dropsBefore[index]);
    expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
    expect(await objects[index]?.leaked()).toEqual([]);
    expect((await objects[index]?.look())?.size).toBe(sizes[index]);
  }
});
