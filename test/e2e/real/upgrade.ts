// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { labDisk } from '../../harness/lab.ts';
import { makeNextImage } from '../../harness/real/next-image.ts';
import { type Admin, AGENTS } from './admin.ts';
import {
  expectNoFailure,
  LoadOutside,
  LoadPod,
  nodePortTarget,
  serviceTarget,
  TARGET,
  withServers,
} from './load.ts';

const SERVER = 'upgrade';
const NEXT = 'next';
/** Each long connection carries a byte every 20 ms; new ones come all the time. */
const LOAD = { every: 100, long: 2 };

/** Names of the programs of all cubes on a node. */
async function programsOf(admin: Admin, node: string): Promise<string[]> {
  const text = await admin.inMachine(node, 'sh', '-c', 'ls -d /sys/fs/bpf/cubeplane/*/v1/cubes/*/*_*');
  return text
    .trim()
    .split('\n')
    .filter((path) => !path.endsWith('/state'))
    .map((path) => path.split('/').slice(-2).join(' '))
    .sort();
}

/** Gives the nodes a next image of that tag; its name. */
async function importNext(
  admin: Admin,
  nodes: readonly string[],
  tag: string,
  options: { readonly broken?: boolean } = {},
): Promise<string> {
  // Where machines see it.
  const { name, archive } = await makeNextImage(join(labDisk(admin.lab.id), tag), tag, options);
  for (const node of nodes)
    await admin.inMachine(node, 'ctr', '--namespace', 'k8s.io', 'images', 'import', archive);
  return name;
}

/**
 * The DaemonSet of agents restarted, upgraded to an image with other programs, and taken back, under load between pods of two nodes, through
 * a Service, and from outside through a port of a node: no connection is lost, none is refused.
 */
export async function replaceAgents(
  admin: Admin,
  nodes: readonly [string, string],
  log: (line: string) => void,
): Promise<void> {
  const image = await importNext(admin, nodes, NEXT);
  await withServers(admin, [{ name: SERVER, replicas: 2 }], () => replace(admin, nodes, image, log));
}

async function replace(
  admin: Admin,
  nodes: readonly [string, string],
  image: string,
  log: (line: string) => void,
): Promise<void> {
  const pods = await admin.pods(`app=${SERVER}`);
  const far = pods.find(({ spec }) => spec.nodeName === nodes[1]);
  const addresses = (far?.status.podIPs ?? []).map(({ ip }) => ip);
  expect(addresses).toHaveLength(2);
  const inside = await LoadPod.start(admin, 'upgrade-load', nodes[0], [
    { name: 'pod', addresses, port: TARGET, options: LOAD },
    await serviceTarget(admin, SERVER, LOAD),
  ]);
  const outside = await LoadOutside.start(admin, [
    await nodePortTarget(admin, SERVER, nodes[0], LOAD),
    await nodePortTarget(admin, SERVER, nodes[1], LOAD),
  ]);
  const programs = async () => await Promise.all(nodes.map((node) => programsOf(admin, node)));
  const rollout = async (what: string, ...command: string[]) => {
    const began = performance.now();
    await admin.system('rollout', ...command, AGENTS);
    await rolledOut(what, began);
  };
  const rolledOut = async (what: string, began: number) => {
    await admin.system('rollout', 'status', AGENTS, '--timeout=180s');
    const memory = await Promise.all(nodes.map((node) => admin.agentMemory(node)));
    log(
      `agents ${what} in ${((performance.now() - began) / 1000).toFixed(1)} s, ${memory.join(' and ')} MB then`,
    );
    for (const node of nodes) expect(await admin.cubeplane(node, 'plan')).toMatch(/nothing to do/i);
  };

  const first = await programs();
  await rollout('restarted', 'restart');
  expect(await programs()).toEqual(first);

  const began = performance.now();
  await admin.system('set', 'image', AGENTS, `agent=${image}`);
  await rolledOut('upgraded', began);
  const second = await programs();
  for (const [at, names] of second.entries()) {
    expect(names).toHaveLength(first[at]?.length ?? 0);
    expect(names.filter((name) => first[at]?.includes(name))).toEqual([]);
  }

  await rollout('taken back', 'undo');
  expect((await programs()).flat().filter((name) => second.flat().includes(name))).toEqual([]);

  const reports = new Map([...(await inside.end()), ...(await outside.end())]);
  await expectNoFailure(admin, nodes, reports);
  const all = [...reports.values()];
  const sum = all.reduce((total, { requests }) => total + requests, 0);
  log(
    `${sum} requests of ${all.length} clients, all answered, the slowest in ${Math.max(...all.map(({ slowest }) => slowest))} ms`,
  );
}

/** An image whose programs no kernel takes comes to one node, where the chain stays as it was, and to no other. */
export async function stopAtFirstNode(admin: Admin, nodes: readonly string[]): Promise<void> {
  const image = await importNext(admin, nodes, 'broken', { broken: true });
  const programs = async () => await Promise.all(nodes.map((node) => programsOf(admin, node)));
  const before = await programs();
  await admin.system('set', 'image', AGENTS, `agent=${image}`);
  try {
    const status = admin.system('rollout', 'status', AGENTS, '--timeout=30s');
    await expect(status).rejects.toThrow(/1 out of 2 new pods have been updated|timed out/);
    const updated = await admin.system('get', AGENTS, '-o', 'jsonpath={.status.updatedNumberScheduled}');
    expect(updated).toBe('1');
    expect(await programs()).toEqual(before);
  } finally {
    await admin.system('rollout', 'undo', AGENTS);
    await admin.system('rollout', 'status', AGENTS, '--timeout=120s');
  }
}
