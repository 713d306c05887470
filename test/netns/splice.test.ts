// SPDX-License-Identifier: Apache-2.0
/** Transparent chains in a network that carries traffic: put in, taken out, one after the other, thirty in a row. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { heldBpf, heldBpfOnce } from '../harness/held.ts';
import { createPod, deletePodInterface, type Pod } from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import type { Drops } from './support/counters.ts';
import { HALF_CHANGED } from './support/half-changed.ts';
import { type KernelState, kernelState, PinnedObjects } from './support/kernel-state.ts';
import { vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { Traffic } from './support/traffic.ts';
import {
  conditionOf,
  FAMILIES,
  openTwoNodes,
  SYSTEM,
  type TwoNodes,
  type Worker,
} from './support/two-nodes.ts';
import { OUTCAST, Prober, wall } from './support/wall.ts';

/** `npm run soak` asks for more. */
const SPLICES = Number(process.env.CUBEPLANE_SPLICES ?? 100);
jest.setTimeout(300_000 + SPLICES * 10_000);
const SAMPLE = new URL('../../samples/transparent-chain.yaml', import.meta.url).pathname;

let lab: TwoNodes;
let client: Pod;
let outcast: Pod;
const backends: Pod[] = [];

beforeAll(async () => {
  lab = await openTwoNodes('splice test');
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

const mitigator = (name: string, spec: object = {}) => ({
  name,
  type: 'DDoSMitigator',
  ddosMitigator: {
    sizes: { maxSourceBuckets: 64, maxSynBuckets: 64, maxSourceHosts: 64, maxSourcePrefixes: 64 },
    ...spec,
  },
});

/** A Transparent chain of so many cubes, a firewall first; at an endpoint, or in a link of the sample chain. */
function guard(name: string, place: string | object, count = 1, more: object = {}): object {
  const cubes = Array.from({ length: count }, (_, i) => (i === 0 ? wall('m0') : mitigator(`m${i}`)));
  const steps = cubes.map((cube) => ({ type: 'Cube', cube: { name: cube.name } }));
  return {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'ServiceChain',
    metadata: { name, namespace: SYSTEM },
    spec: {
      mode: 'Transparent',
      target:
        typeof place === 'string'
          ? { type: 'Link', link: { chain: 'kubernetes', name: place } }
          : { type: 'Nodes' },
      cubes,
      path: [...(typeof place === 'string' ? [] : [place]), ...steps, { type: 'Next' }],
      ...more,
    },
  };
}

/** Waits until the chain is in force on all nodes, or on none. */
async function until(chain: string, there: boolean, timeoutMs = 30_000): Promise<void> {
  for (const { index, node } of lab.workers) {
    for (const deadline = Date.now() + timeoutMs; ; await sleep(10)) {
      const status = (await lab.statuses(index)).get(`CubeNode//${node.name}`)?.status;
      const chains = (status?.chains ?? []) as { name: string }[];
      if (status !== undefined && chains.some(({ name }) => name === chain) === there) break;
      if (Date.now() > deadline)
        throw new Error(`${chain} on ${node.name} after ${timeoutMs} ms: ${JSON.stringify(status)}`);
    }
  }
}

async function linkStatus(index: number, name: string): Promise<Record<string, unknown>> {
  const { node } = lab.worker(index);
  return (await lab.statuses(index)).get(`CubeLink/${SYSTEM}/${name}.${node.name}`)?.status ?? {};
}

/** The kernel of each node and what its agent holds open. */
async function everything(): Promise<{ kernel: KernelState; held: Record<string, number> }[]> {
  return await Promise.all(
    lab.workers.map(async ({ counters, node, agent }) => ({
      kernel: { ...(await kernelState(counters.pins.nodeRoot, node)), [EDGES]: '', [CONFIG]: '' },
      held: heldBpf(agent.running.pid),
    })),
  );
}
/** They hold the epoch, and the bank that is not in use. */
const EDGES = 'v1/node/edges';
const CONFIG = 'v1/node/node_config';

async function planOf({ agent }: Worker): Promise<string> {
  return (await agent.cli(['plan'])).stdout.trim();
}

const keyOf = (chain: string, cube: string, worker: Worker) =>
  `${SYSTEM}/${chain}.${cube}.${worker.node.name}`;

/** Drops of all cubes that come of half a change. */
async function halfChanged(chains: readonly string[] = []): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const worker of lab.workers) {
    const all: Record<string, Drops> = { ...(await lab.drops(worker.index)) };
    for (const chain of chains) {
      all[chain] = await worker.counters.cube(keyOf(chain, 'm0', worker), 'Firewall');
    }
    for (const [cube, drops] of Object.entries(all)) {
      for (const reason of HALF_CHANGED) {
        if (drops[reason] !== undefined) found[`${worker.node.name} ${cube} ${reason}`] = drops[reason];
      }
    }
  }
  return found;
}

test('the sample: two chains at their places, seen from all sides, and gone without a trace', async () => {
  // Maps of the node that the agent opens when it first needs them stay open.
  const withoutHeld = ({ held: _, ...rest }: Awaited<ReturnType<typeof everything>>[number]) => rest;
  const before = (await everything()).map(withoutHeld);
  const manifests = parseAllDocuments(readFileSync(SAMPLE, 'utf8')).map((one) => one.toJS());
  lab.manifests.write('splice.yaml', ...manifests);
  for (const chain of ['guard', 'mitigator']) await until(chain, true);
  await lab.untilReady();
  expect(await linkStatus(0, 'kubernetes.path-1')).toMatchObject({ through: ['guard.guard.node-a'] });
  const status = (await lab.statuses(0)).get(`Cube/${SYSTEM}/mitigator.mitigator.node-a`)?.status ?? {};
  expect(status.ports).toEqual([
    { name: 'inside', peer: 'Stack', state: 'Up' },
    { name: 'outside', peer: 'Interface eth0', state: 'Up' },
  ]);
  const { stdout } = await lab.worker(0).agent.cli(['get', 'chain', '-A']);
  expect(stdout).toMatch(/guard +Transparent/);
  // What guard refuses is counted by guard; others pass.
  const odd = await lab.addPod(0, 'odd', 66);
  for (const [pod, family] of [
    [odd, 'ipv4'],
    [outcast, 'ipv6'],
  ] as const) {
    const refused = await ask(pod.namespace, vipsOf(10)[family], PORT, { count: 1 });
    expect(refused.requests).toBe(0);
  }
  for (const family of FAMILIES) {
    expect((await ask(client.namespace, vipsOf(10)[family], PORT)).failures).toEqual([]);
  }
  const worker = lab.worker(0);
  const drops = await worker.counters.cube(keyOf('guard', 'guard', worker), 'DDoSMitigator');
  expect(Object.values(drops).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(2);
  await worker.agent.unplug(odd);
  await deletePodInterface(odd);
  lab.manifests.remove('splice.yaml');
  for (const chain of ['guard', 'mitigator']) await until(chain, false);
  for (const each of lab.workers) expect(await planOf(each)).toMatch(/nothing to do/i);
  expect((await everything()).map(withoutHeld)).toEqual(before);
});

test(`a cube put in and taken out ${SPLICES} times loses nothing, and leaves its neighbours as they are`, async () => {
  const places = ['path-0', 'path-1', 'path-2', { type: 'Pods' }, { type: 'Overlay' }];
  const before = await everything();
  const halves: Record<string, number> = await halfChanged();
  const traffic = await Traffic.start(client, backends, 10);
  // One that stays: chains come and go on both sides of it, and what it refuses is refused all the time.
  lab.manifests.write('stays.yaml', guard('stays', 'path-1', 1, { priority: 500 }));
  await until('stays', true);
  const objects = lab.workers.map(({ counters }) => new PinnedObjects(counters.pins.nodeRoot));
  const prober = await Prober.start(outcast, backends[1]?.addresses ?? {}, TARGET);
  for (let round = 0; round < SPLICES; round++) {
    const place = places[round % places.length] as string | object;
    const priority = round % 2 === 0 ? 900 : 100;
    lab.manifests.write('comes.yaml', guard('comes', place, 1 + (round % 3), { priority }));
    await until('comes', true);
    if (place === 'path-1') {
      const names = (await linkStatus(0, 'kubernetes.path-1')).through as string[];
      expect(names[priority === 900 ? names.length - 1 : 0]).toBe('stays.m0.node-a');
    }
    await sleep(Math.random() * 40);
    expect(await halfChanged(['comes', 'stays'])).toEqual(halves);
    if (round % 10 === 0) for (const each of objects) await each.look();
    lab.manifests.remove('comes.yaml');
    await until('comes', false);
    await sleep(Math.random() * 40);
  }
  expect(await halfChanged(['stays'])).toEqual(halves);
  const { tries, answered } = await prober.end();
  expect(answered).toEqual({});
  expect(tries).toBeGreaterThan(SPLICES);
  lab.manifests.remove('stays.yaml');
  await until('stays', false);
  // It was that firewall, and nothing else, that kept it out.
  expect((await ask(outcast.namespace, backends[1]?.addresses.ipv4 ?? '', TARGET)).failures).toEqual([]);
  const { lost, requests, echoes } = await traffic.end();
  expect(lost).toEqual({});
  expect(requests).toBeGreaterThan(SPLICES * 10);
  expect(echoes).toBeGreaterThan(SPLICES * 10);
  for (const [i, worker] of lab.workers.entries()) {
    expect(await planOf(worker)).toMatch(/nothing to do/i);
    // The program that removes what is over stays open once it has run.
    const { prog: _, ...wanted } = before[i]?.held ?? {};
    const { prog = 0, ...held } = await heldBpfOnce(worker.agent.running.pid, wanted);
    expect(held).toEqual(wanted);
    expect(prog).toBeLessThanOrEqual(2);
  }
  expect((await everything()).map(({ kernel }) => kernel)).toEqual(before.map(({ kernel }) => kernel));
  for (const each of objects) expect(await each.leaked()).toEqual([]);
});

describe('chains of many cubes', () => {
  let left: Pod;
  let right: Pod;
  beforeAll(async () => {
    // A way through the node's own stack, from one interface to another.
    const { node } = lab.worker(0);
    const side = (name: string, net: number) =>
      createPod(node, {
        name,
        hostDevice: name,
        addresses: { ipv4: `192.168.${net}.2/24`, ipv6: `fd00:${net}::2/64` },
        gateways: { ipv4: `192.168.${net}.1`, ipv6: `fd00:${net}::1` },
      });
    left = await side('left', 71);
    right = await side('right', 72);
    for (const [name, net] of [
      ['left', 71],
      ['right', 72],
    ] as const) {
      await node.namespace.ip(
        `address add 192.168.${net}.1/24 dev ${name}`,
        `address add fd00:${net}::1/64 dev ${name} nodad`,
      );
    }
    await startServer(right.namespace, 'right', TARGET);
  });

  test.each([1, 4, 8, 30])('%i cubes on an interface that the host has for itself', async (count) => {
    lab.manifests.write(
      'long.yaml',
      guard('long', { type: 'Interface', interface: { name: 'left' } }, count),
    );
    const worker = lab.worker(0);
    const last = keyOf('long', `m${count - 1}`, worker);
    for (const deadline = Date.now() + 120_000; ; await sleep(50)) {
      const status = (await lab.statuses(0)).get(`Cube/${last}`)?.status;
      if (status !== undefined && conditionOf(status, 'Ready')?.status === 'True') break;
      if (Date.now() > deadline) throw new Error(`${last} is not ready: ${JSON.stringify(status)}`);
    }
    const before = (await worker.counters.ports(last))[0]?.rxPackets ?? 0;
    for (const family of FAMILIES) {
      const address = right.addresses[family] ?? '';
      const report = await ask(left.namespace, address, TARGET);
      expect(report).toMatchObject({ failures: [], requests: 20 });
      const ping = await left.namespace.exec(['ping', '-c', '5', '-i', '0.02', '-W', '5', address]);
      expect(ping.stdout).toContain(' 0% packet loss');
    }
    const after = (await worker.counters.ports(last))[0]?.rxPackets ?? 0;
    expect(after - before).toBeGreaterThan(100);
  });

  test('28 cubes between balancer and router of a chain, over the overlay', async () => {
    lab.manifests.remove('long.yaml');
    const { agent } = lab.worker(0);
    await sleep(0);
    // Sixty members at once: whoever means it says so.
    for (const deadline = Date.now() + 60_000; ; await sleep(100)) {
      await agent.cli(['allow-removal']);
      const status = (await lab.statuses(0)).get('CubeNode//node-a')?.status;
      const chains = (status?.chains ?? []) as { name: string }[];
      if (!chains.some(({ name }) => name === 'long')) break;
      if (Date.now() > deadline) throw new Error('the long chain stays');
    }
    lab.manifests.write('long.yaml', guard('long', 'path-1', 28));
    await until('long', true, 120_000);
    const far = backends[1] as Pod;
    for (const family of FAMILIES) {
      const report = await ask(client.namespace, far.addresses[family] ?? '', TARGET);
      expect(report).toMatchObject({ failures: [], requests: 20 });
    }
  });
});
