// SPDX-License-Identifier: Apache-2.0
import { expect } from '@jest/globals';
import { rebootNode } from '../../harness/real/reboot.ts';
import type { ClientReport } from '../../harness/traffic.ts';
import { until } from '../../harness/until.ts';
import type { Admin, Traces } from './admin.ts';
import { expectNoFailure, LoadOutside, LoadPod, nodePortTarget, serviceTarget, withServers } from './load.ts';

/** Its servers are on both nodes, and move. */
const MOVES = 'moves';
/** Its server is on the node that stays. */
const STAYS = 'stays';
const SHORT = { every: 50 };

/**
 * A node drained, its power cut, started anew and uncordoned, while the other node's pods and clients outside ask Services: what stays on
 * the other node is reached all the time, and pods come back to the node.
 */
export async function drainAndReboot(
  admin: Admin,
  nodes: { readonly stays: string; readonly leaves: string },
  log: (line: string) => void,
): Promise<void> {
  const servers = [
    { name: MOVES, replicas: 2 },
    { name: STAYS, replicas: 1, node: nodes.stays },
  ];
  try {
    await withServers(admin, servers, () => reboot(admin, nodes, log));
  } finally {
    await admin.kubectl(['uncordon', nodes.leaves]);
  }
}

async function reboot(
  admin: Admin,
  { stays, leaves }: { readonly stays: string; readonly leaves: string },
  log: (line: string) => void,
): Promise<void> {
  const inside = await LoadPod.start(admin, 'drain-load', stays, [
    await serviceTarget(admin, MOVES, SHORT),
    await serviceTarget(admin, STAYS, { ...SHORT, long: 2 }),
  ]);
  const outside = await LoadOutside.start(admin, [
    await nodePortTarget(admin, MOVES, stays, SHORT),
    await nodePortTarget(admin, STAYS, stays, { ...SHORT, long: 2 }),
  ]);
  // What nobody can serve while the node is away: told, not held against anybody.
  const excepted = await LoadOutside.start(admin, [await nodePortTarget(admin, MOVES, leaves, SHORT)]);

  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const flags = ['--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=120s'];
  await admin.kubectl(['drain', leaves, ...flags]);
  const drained = seconds();
  await admin.kubectl(['rollout', 'status', `deployment/${MOVES}`, '--timeout=120s']);
  await rebootNode(admin.lab.id, leaves, () => {});
  const booted = seconds();
  // Its old agent is Ready until kubelet has looked: only what it says itself counts.
  await until(
    `the agent of ${leaves} answers and has nothing to do`,
    async () => /nothing to do/i.test(await admin.cubeplane(leaves, 'plan')),
    120_000,
  );
  const programmed = seconds();
  await admin.kubectl(['wait', '--for=condition=Ready', `node/${leaves}`, '--timeout=60s']);
  await admin.kubectl(['uncordon', leaves]);
  await admin.kubectl(['scale', `deployment/${MOVES}`, '--replicas=4']);
  await admin.kubectl(['rollout', 'status', `deployment/${MOVES}`, '--timeout=120s']);
  const back = (await admin.pods(`app=${MOVES}`)).filter(({ spec }) => spec.nodeName === leaves);
  expect(back.length).toBeGreaterThan(0);
  log(
    `${leaves} drained after ${drained}, kubelet runs again after ${booted}, the network after ${programmed}, ` +
      `${back.length} new pods Ready on it after ${seconds()}`,
  );

  const reports = new Map([...(await inside.end()), ...(await outside.end())]);
  for (const [name, { failures, requests }] of await excepted.end())
    log(`${name} (the node itself): ${requests} answered, ${summary(failures)}`);
  await expectNoFailure(admin, [stays, leaves], reports);
  await expectReached(admin, stays, leaves);
  let traces: Traces = {};
  await until(
    'the node has what its pods need, and nothing of those before',
    async () => {
      traces = await admin.traces(leaves);
      return new Set([traces.pairs, traces.leases, traces.pods, traces.namespaces]).size === 1;
    },
    30_000,
    () => JSON.stringify(traces),
  );
}

function summary(failures: ClientReport['failures']): string {
  if (failures.length === 0) return 'none failed';
  const times = failures.map(({ at }) => at);
  const lasted = (Math.max(...times) - Math.min(...times)) / 1000;
  const errors = [...new Set(failures.map(({ error }) => error))];
  return `${failures.length} failed (${errors.join(', ')}) within ${lasted.toFixed(1)} s`;
}

/** Pods of both nodes reach the Service, whose pods are on both. */
async function expectReached(admin: Admin, ...nodes: readonly string[]): Promise<void> {
  for (const node of nodes) {
    const load = await LoadPod.start(admin, `after-${node}`, node, [
      await serviceTarget(admin, MOVES, { every: 5 }),
    ]);
    for (const [name, { failures }] of await load.end())
      expect([node, name, failures]).toEqual([node, name, []]);
  }
}
