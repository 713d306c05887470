// SPDX-License-Identifier: Apache-2.0
/**
 * A node that starts anew while its API server (here: the directory of manifests) is away. It runs on what its agent has
 * saved, until the objects are there again. How long it takes is told.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { readLines } from '../../src/dataplane/saved/journal-lines.ts';
import type { Running } from '../harness/process.ts';
import { createMachine, createPod, type Machine, type Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { answers, eventually, everything } from './support/answers.ts';
import { Manifests, podNetwork, serviceObjects, toProvider, vipsOf } from './support/manifests.ts';
import { reboot } from './support/reboot.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { holdConnections } from './support/sockets.ts';
import { cubeTable, FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(300_000);

const NODE_PORT = 30_080;
/** Bound of the recovery, far above what is seen. */
const MOST_MS = 20_000;

let lab: TwoNodes;
let outside: Machine;
let server: Pod;
let client: Pod;
let probe: Pod;
let far: Pod;

/** In the namespace `shop` clients alone reach the server. */
function policies(): object[] {
  const pod = (id: number, app: string, number: number) => {
    const { addresses } = podNetwork(0, number);
    const bare = [addresses.ipv4, addresses.ipv6].map((address) => address?.replace(/\/\d+$/, ''));
    return { id, namespace: 'shop', labels: { app }, addresses: bare };
  };
  const allowed = {
    namespace: 'shop',
    name: 'clients',
    podSelector: { matchLabels: { app: 'server' } },
    types: ['Ingress'],
    ingress: [{ peers: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
  };
  const denied = { namespace: 'shop', name: 'default-deny', types: ['Ingress'] };
  return [
    cubeTable('policies', { type: 'Policy', policies: [denied, allowed] }),
    cubeTable('identities', {
      type: 'Identity',
      identities: [pod(1, 'server', 11), pod(2, 'client', 12), pod(3, 'probe', 13)],
    }),
  ];
}

beforeAll(async () => {
  lab = await openTwoNodes('reboot', { chain: toProvider });
  outside = await createMachine(lab.underlay, 'outside', 50);
  server = await lab.addPod(0, 'server', 11);
  client = await lab.addPod(0, 'client', 12);
  probe = await lab.addPod(0, 'probe', 13);
  far = await lab.addPod(1, 'far', 11);
  for (const pod of [server, far]) await startServer(pod.namespace, pod.name, TARGET);
  lab.manifests.write('policies.yaml', ...policies());
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [server] });
  const ports = named.map((port) => ({ ...port, nodePort: NODE_PORT }));
  lab.writeService({ name: 'far', number: 11, ports, backends: [far], spec: { type: 'NodePort' } });
  lab.writeService({ name: 'gone', number: 12, ports: named, backends: [far] });
  lab.writeService({ name: 'moved', number: 13, ports: named, backends: [server] });
  await eventually(probe.namespace, server, [TARGET], []);
  await untilReached();
});
afterAll(async () => {
  await lab?.close();
});

const vip = (number: number) => ({ addresses: vipsOf(number) }) as Pod;
const nodeA = () => lab.worker(0).node as unknown as Pod;

/** All that has to pass: pod, Service of a pod here and there, port of the node. Returns what does not. */
async function unreached(): Promise<string[]> {
  const ways: readonly [string, Promise<string[]>, string[]][] = [
    ['pod of the other node', answers(client.namespace, far, [TARGET]), everything(TARGET)],
    ['pod of this node', answers(client.namespace, server, [TARGET]), everything(TARGET)],
    ['Service', answers(client.namespace, vip(10), [PORT]), everything(PORT)],
    ['Service of the other node', answers(client.namespace, vip(11), [PORT]), everything(PORT)],
    ['Service from the node', answers(lab.worker(0).node.namespace, vip(11), [PORT]), everything(PORT)],
    ['node port', answers(outside.namespace, nodeA(), [NODE_PORT]), everything(NODE_PORT)],
    ['node to its pod', answers(lab.worker(0).node.namespace, server, [TARGET]), everything(TARGET)],
  ];
  const lost = ways.map(async ([name, asked, wanted]) => {
    // Some errors, as that there is no network yet, are none of those that a client tells.
    const got = await asked.catch(() => []);
    return got.join() === wanted.join() ? [] : `${name}: only ${got.join(', ')}`;
  });
  return (await Promise.all(lost)).flat();
}

async function untilReached(): Promise<void> {
  let lost: string[] = [];
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    lost = await unreached();
    if (lost.length === 0) return;
  }
  expect(lost).toEqual([]);
}

/** Who is not allowed: a pod of the same namespace, and one without a known identity. */
async function expectDenied(): Promise<void> {
  expect(await answers(probe.namespace, server, [TARGET])).toEqual([]);
  expect(await answers(far.namespace, server, [TARGET])).toEqual([]);
}

/** Waits until all of it is on disk, which is about a second behind. */
async function untilSaved(services: number): Promise<void> {
  const path = join(lab.worker(0).agent.stateDir, lab.worker(0).node.name, 'tables.journal');
  let types: string[] = [];
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(50)) {
    types = [...(readLines(readFileSync(path, 'utf8'))?.tables.values() ?? [])].map(({ type }) => type);
    const isAll = ['Policy', 'Identity', 'Route'].every((type) => types.includes(type));
    if (isAll && types.filter((type) => type === 'Service').length === services) return;
  }
  throw new Error(`on disk are ${types.join(', ')}`);
}

async function restart(keepPins = false): Promise<void> {
  const { node, counters } = lab.worker(0);
  await reboot(node, 0, { pins: counters.pins.nodeRoot, keepPins });
}

/** The same pods as kubelet makes them again: new namespaces, the same devices and addresses. */
async function remakePods(): Promise<void> {
  const remake = async (old: Pod, number: number) => {
    const { name, hostDevice, mac } = old;
    const mtu = lab.worker(0).node.underlay.mtu - 70;
    return await createPod(lab.worker(0).node, { name, hostDevice, mac, mtu, ...podNetwork(0, number) });
  };
  server = await remake(server, 11);
  client = await remake(client, 12);
  probe = await remake(probe, 13);
  await startServer(server.namespace, server.name, TARGET);
}

/** The directory goes, as an API server does that nobody reaches. Returns where it is. */
function takeAway(): { readonly away: Manifests; giveBack(): void } {
  const { directory } = lab.manifests;
  const hidden = `${directory}.away`;
  renameSync(directory, hidden);
  return { away: new Manifests(hidden), giveBack: () => renameSync(hidden, directory) };
}

/** Starts the agent; resolves when a pod reaches a Service, and tells how long that took. */
async function startWithoutObjects(what: string): Promise<Running> {
  const began = performance.now();
  const running = await lab.worker(0).agent.launch();
  await running.waitForOutput(/runs on the tables that were saved/);
  // A SYN that is lost would be sent again after a second only.
  const script = `exec 3<>/dev/tcp/${vipsOf(10).ipv4}/${PORT}`;
  const connect = ['timeout', '0.3', 'bash', '--norc', '-c', script];
  const isReached = async () => (await client.namespace.exec(connect, { anyStatus: true })).status === 0;
  while (!(await isReached()))
    if (performance.now() - began > MOST_MS) throw new Error(`no Service after ${MOST_MS} ms`);
  const ms = Math.round(performance.now() - began);
  process.stderr.write(`${what}: a Service answers ${ms} ms after the start of the agent\n`);
  return running;
}

test('an agent alone that starts without its objects leaves the uplink where it is', async () => {
  const { agent, node } = lab.worker(0);
  const load = await startLoad(outside.namespace, node.addresses.ipv4, NODE_PORT, { every: 10, long: 2 });
  await agent.kill();
  const { giveBack } = takeAway();
  const running = await agent.launch();
  await expect(running.waitForOutput(/the graph changed|runs on the tables/, 5_000)).rejects.toThrow();
  giveBack();
  await running.waitForOutput(/^ready/m, 60_000);
  const { failures, requests } = await load.end();
  expect({ failures, isDone: requests > 100 }).toEqual({ failures: [], isDone: true });
});

test('runs on what was saved: pods, Services and node ports work, and policies are in force from the first packet', async () => {
  await untilSaved(4);
  const { agent } = lab.worker(0);
  await agent.kill();
  const { away, giveBack } = takeAway();
  await restart();
  await remakePods();
  // While the agent starts, somebody who is not allowed tries all the time.
  const intruder = await startLoad(probe.namespace, server.addresses.ipv4 ?? '', TARGET, { every: 20 });
  // One that is killed while it loads programs leaves nothing in force, and the next one begins again.
  const first = await agent.launch();
  await first.waitForOutput(/runs on the tables that were saved/);
  await sleep(200);
  await agent.kill();
  await startWithoutObjects('the node was started anew');
  await untilReached();
  await expectDenied();
  const { requests, failures } = await intruder.end();
  expect({ requests, isTried: failures.length > 0 }).toEqual({ requests: 0, isTried: true });

  const plan = (await agent.cli(['plan'])).stdout;
  expect(plan).toMatch(/nothing to do/);
  expect(plan).toMatch(/restored: the node started anew and runs on \d+ saved tables of .* \(\d+ min old\)/);
  // An agent that is killed: the next one goes on with what was saved, and nobody notices.
  const load = await startLoad(client.namespace, vipsOf(11).ipv6, PORT, { every: 10, long: 2 });
  await agent.kill();
  const next = await agent.launch();
  await next.waitForOutput(/runs on the tables that were saved/);
  expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/);
  const { failures: lost, requests: served } = await load.end();
  expect({ lost, isDone: served > 50 }).toEqual({ lost: [], isDone: true });
  // A pod that comes meanwhile, and one that goes.
  await agent.unplug(probe);
  await agent.plug(probe);
  await expectDenied();

  away.remove('service-gone.yaml');
  away.write(
    'service-moved.yaml',
    ...serviceObjects({ name: 'moved', number: 13, ports: named, backends: [far] }),
  );
  expect(await answers(client.namespace, vip(12), [PORT])).toEqual(everything(PORT));
  giveBack();
  await next.waitForOutput(/^ready/m, 60_000);
  await eventually(client.namespace, vip(12), [PORT], []);
  await eventually(probe.namespace, vip(13), [PORT], everything(PORT)); // no policy is about the pod there
  await untilReached();
  await expectDenied();
  await lab.untilReady();
  expect((await agent.cli(['plan'])).stdout).not.toMatch(/restored/);
});

test('where only the network namespace is made anew, connections through the node go on', async () => {
  await untilSaved(3);
  const { agent, node } = lab.worker(0);
  const held = [];
  for (const family of FAMILIES)
    held.push(await holdConnections(outside.namespace, node.addresses[family], NODE_PORT, 10));
  await agent.kill();
  const { giveBack } = takeAway();
  await restart(true);
  await remakePods();
  const running = await startWithoutObjects('its network namespace was made anew');
  await untilReached();
  await expectDenied();
  for (const connections of held) expect(await connections.check()).toEqual({ alive: 10, errors: {} });
  giveBack();
  await running.waitForOutput(/^ready/m, 60_000);
  await untilReached();
  await lab.untilReady();
  expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/);
});

test('an uplink that comes up after the agent takes its place in the chain', async () => {
  await untilSaved(3);
  const { agent, node } = lab.worker(0);
  await agent.kill();
  const { giveBack } = takeAway();
  await restart();
  await node.namespace.ip('address flush dev eth0', 'link set eth0 down');
  await remakePods();
  const running = await agent.launch();
  await running.waitForOutput(/the graph changed/);
  await eventually(client.namespace, vip(10), [PORT], everything(PORT));
  expect(await answers(client.namespace, far, [TARGET])).toEqual([]);
  await node.namespace.ip(
    'link set eth0 up',
    `address add ${node.addresses.ipv4}/24 dev eth0`,
    `address add ${node.addresses.ipv6}/64 dev eth0 nodad`,
  );
  await untilReached();
  giveBack();
  await running.waitForOutput(/^ready/m, 60_000);
  await untilReached();
});

test('where a saved table is damaged, pods stay closed: it may have been a policy; the rest of the node works', async () => {
  await untilSaved(3);
  const { agent, node } = lab.worker(0);
  await agent.kill();
  const { giveBack } = takeAway();
  const path = join(agent.stateDir, node.name, 'tables.journal');
  const lines = readFileSync(path, 'utf8').split('\n');
  const which = lines.findIndex((line) => line.includes('"type":"Policy"'));
  writeFileSync(
    path,
    lines.map((line, i) => (i === which ? line.replace('Policy', 'Polixy') : line)).join('\n'),
  );
  await restart();
  await remakePods();
  const running = await agent.launch();
  await running.waitForOutput(/entries of the saved tables are damaged/);
  await eventually(outside.namespace, nodeA(), [NODE_PORT], everything(NODE_PORT));
  await agent.plug(client);
  expect(await answers(client.namespace, far, [TARGET])).toEqual([]);
  await expectDenied();
  expect((await agent.cli(['plan'])).stdout).toMatch(/less 1 damaged entr/);
  giveBack();
  await running.waitForOutput(/^ready/m, 60_000);
  await untilReached();
  await expectDenied();
});
