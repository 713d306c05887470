// SPDX-License-Identifier: Apache-2.0
/** Pods that come and go by the hundred, many at once, while a Service is scaled: nothing of them stays. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { CODE } from '../../src/dataplane/cni/cni-error.ts';
import type { Pod } from '../harness/topology.ts';
import { addressesOf, CniRuntime, type Container, cniFlags, NOTHING, ping } from './support/cni.ts';
import { kernelState } from './support/kernel-state.ts';
import { openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

/** Pods in all; `npm run soak` asks for more. */
const PODS = Number(process.env.CUBEPLANE_CNI_CHURN ?? 50);
/** Pods that are there at once, each in a namespace that the next one gets. */
const LANES = Math.min(25, PODS);
jest.setTimeout(240_000 + PODS * 3_000);

let lab: TwoNodes;
let cni: CniRuntime;
let stays: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('cni churn test', { nodes: 1, flagsOf: cniFlags });
  cni = new CniRuntime(lab.worker(0));
  stays = await lab.addPod(0, 'stays', 200);
});
afterAll(async () => {
  await lab?.close();
});

/** All that a pod could leave: pins with their rows, devices, files of the node's state, neighbours, routes. */
async function everything(): Promise<Record<string, unknown>> {
  const { node, agent, counters } = lab.worker(0);
  const kernel = Object.entries(await kernelState(counters.pins.root, node));
  const state = join(agent.stateDir, node.name);
  const neighbours = await node.namespace.ipJson('neighbour show');
  const routes = [
    ...(await node.namespace.ipJson('-4 route show')),
    ...(await node.namespace.ipJson('-6 route show')),
  ];
  return {
    // How many rows, not which: where picks of a Service lie changes with each scaling.
    kernel: kernel.map(([what, value]) => `${what}: ${value.replace(/, [0-9a-f]{16}$/, '')}`),
    files: [...readdirSync(join(state, 'pods')), ...readdirSync(join(state, 'cni', 'attachments'))].sort(),
    neighbours: neighbours.filter(({ dev }) => /^cp/.test(String(dev))),
    routes: routes.map(({ dst, dev }) => `${dst} ${dev}`).sort(),
  };
}

/** Whether an echo comes back. The first one that does not is told of, with what the node has dropped. */
async function answered({ id, namespace }: Container, to: string): Promise<boolean> {
  for (let tries = 0; tries < 3; tries++) {
    if ((await ping(namespace, to, 1)) === 1) return true;
    const { counters, node } = lab.worker(0);
    const drops = {
      entry: await counters.entry(),
      ilb: await counters.cube(`cubeplane-system/kubernetes.ilb.${node.name}`, 'LoadBalancer'),
      router: await counters.cube(`cubeplane-system/kubernetes.router.${node.name}`, 'Router'),
    };
    process.stderr.write(`${id}: no answer of ${to}, drops ${JSON.stringify(drops)}\n`);
  }
  return false;
}

/** As a runtime does: where all free addresses were released a moment ago, it is asked again. */
async function addPatiently(container: Container): Promise<string[]> {
  for (const deadline = Date.now() + 30_000; ; await sleep(500)) {
    const { status, json } = await cni.call('ADD', container);
    if (status === 0) return addressesOf(json);
    if (json.code !== CODE.TryAgainLater || Date.now() > deadline)
      throw new Error(`ADD ${container.id}: ${JSON.stringify(json)}`);
  }
}

test(`${PODS} pods, ${LANES} at once, while a Service is scaled: nothing is left`, async () => {
  const { node, agent } = lab.worker(0);
  const scale = (backends: number) =>
    lab.writeService({
      name: 'scaled',
      number: 7,
      ports: [{ name: 'tcp', protocol: 'TCP', port: 80, targetPort: 8080 }],
      backends: Array.from({ length: backends }, () => stays),
    });
  scale(1);
  await lab.untilFrontends(0, 2);
  const lanes = await Promise.all(Array.from({ length: LANES }, (_, i) => cni.container(`lane${i}`)));
  // One comes and goes before: what an agent makes at its first pod is there in both looks.
  await cni.add(lanes[0] as Container);
  await cni.delete(lanes[0] as Container);
  const before = await everything();
  const inUse = new Set<string>();
  let isOver = false;
  const scaling = (async () => {
    for (let round = 0; !isOver; round++) {
      scale(1 + (round % 2));
      await lab.untilFrontends(0, 2);
      await sleep(50);
    }
    scale(1);
  })();
  try {
    await Promise.all(
      lanes.map(async (lane, number) => {
        for (let pod = number; pod < PODS; pod += LANES) {
          const container = { ...lane, id: `${lane.id}-${pod}` };
          const addresses = await addPatiently(container);
          for (const address of addresses) {
            expect([address, inUse.has(address)]).toEqual([address, false]);
            inUse.add(address);
          }
          // Each has its network while others come and go.
          for (const to of Object.values(stays.addresses))
            expect([pod, to, await answered(container, to)]).toEqual([pod, to, true]);
          for (const address of addresses) inUse.delete(address);
          await cni.delete(container);
        }
      }),
    );
  } finally {
    isOver = true;
    await scaling;
  }
  await lab.untilFrontends(0, 2);
  expect(await cni.traces()).toEqual({ ...NOTHING, pods: 1, rows: 2 });
  // Rows of a Service that wait for their grace go by themselves.
  let after = await everything();
  for (const deadline = Date.now() + 90_000; Date.now() < deadline; after = await everything()) {
    if (isDeepStrictEqual(after, before)) break;
    await sleep(500);
  }
  expect(after).toEqual(before);
  expect((await agent.cli(['plan', '--node', node.name])).stdout).not.toContain('cp');
});
