// SPDX-License-Identifier: Apache-2.0
/**
 * The network of a cluster while its agents are replaced, on one node after the other as a DaemonSet does: those of the commit before
 * by ours, and back. Pods, Services and node ports are used all the time; nothing may be lost, and pods come and go with each agent.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { parse } from 'yaml';
import { type Checkout, checkOutPrevious, ROOT } from '../harness/checkout.ts';
import { Scope } from '../harness/scope.ts';
import { createMachine, type DualStack, type Machine, type Pod } from '../harness/topology.ts';
import { type Load, startLoad, startServer } from '../harness/traffic.ts';
import { addressesOf, CniRuntime, type Container, cniFlags, ping } from './support/cni.ts';
import { PinnedObjects } from './support/kernel-state.ts';
import { vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { type Held, holdConnections, survey } from './support/sockets.ts';
import { FAMILIES, openTwoNodes, SYSTEM, type TwoNodes, type Worker } from './support/two-nodes.ts';

/** There and back; `npm run soak` asks for more. */
const UPGRADES = Number(process.env.CUBEPLANE_UPGRADES ?? 1);
jest.setTimeout(700_000 + UPGRADES * 120_000);

const NODE_PORT = 30_080;
/** Of a pod's own address: answers to a UDP client of the Service's port would be taken for those of the Service. */
const DIRECT = 8081;
const HELD = 20;
const CUBES = {
  ilb: 'load-balancer',
  policy: 'firewall',
  router: 'router',
  elb: 'load-balancer',
  'disc-nat': 'nat',
  sockets: 'socket-lb',
} as const;

const scope = new Scope();
let previous: Checkout;
let lab: TwoNodes;
let client: Pod;
let near: Pod;
let far: Pod;
let outside: Machine;

beforeAll(async () => {
  previous = await checkOutPrevious(scope);
  const others = tellApart();
  log(others.length === 0 ? 'the same object files' : `other object files: ${others.join()}`);
  const provider = readFileSync(join(previous.directory, 'config/provider/kubernetes.yaml'), 'utf8');
  lab = await openTwoNodes('upgrade test', {
    chain: (chain) => Object.assign(chain, { spec: parse(provider).spec }),
    flagsOf: cniFlags,
    checkout: previous.directory,
  });
  client = await lab.addPod(0, 'client', 200);
  near = await lab.addPod(0, 'near', 201);
  far = await lab.addPod(1, 'far', 201);
  outside = await createMachine(lab.underlay, 'outside', 50);
  // As nodes have one; older agents need it to know their uplink before they have heard of their Node.
  for (const { node } of lab.workers)
    for (const family of FAMILIES)
      await node.namespace.ip(`route add default via ${outside.addresses[family]}`);
  for (const pod of [near, far]) await startServer(pod.namespace, pod.name, TARGET);
  await startServer(far.namespace, far.name, DIRECT);
  await startServer(outside.namespace, 'outside', TARGET);
  const ports = named.map((port) => ({ ...port, nodePort: NODE_PORT }));
  lab.writeService({ name: 'web', number: 10, ports, backends: [near, far], spec: { type: 'NodePort' } });
  for (const place of places())
    for (const family of FAMILIES)
      for (const deadline = Date.now() + 60_000; ; await sleep(200)) {
        const asked = {
          address: place.to[family] ?? '',
          port: place.port,
          protocol: 'tcp',
          count: 1,
        } as const;
        const [answers = {}] = await survey(place.from.namespace, [asked]);
        if (Object.keys(answers).some((text) => text.includes(' '))) break;
        if (Date.now() > deadline)
          throw new Error(`${place.name}, ${family}: ${Object.keys(answers).join()}`);
      }
});
afterAll(async () => {
  try {
    await lab?.close();
  } finally {
    await scope.close();
  }
});

function log(text: string): void {
  process.stderr.write(`upgrade from ${previous.commit.slice(0, 12)}: ${text}\n`);
}

interface Place {
  readonly name: string;
  readonly from: Pod | Machine;
  readonly to: DualStack;
  readonly port: number;
}

const places = (): Place[] => [
  { name: 'pod to pod of the other node', from: client, to: far.addresses, port: DIRECT },
  { name: 'pod to Service', from: client, to: vipsOf(10), port: PORT },
  { name: 'pod to outside', from: client, to: outside.addresses, port: TARGET },
  { name: 'outside to NodePort', from: outside, to: lab.worker(0).node.addresses, port: NODE_PORT },
];

/** Connections that are used without pause, and new ones, and datagrams, each of which counts. */
async function startLoads(): Promise<Map<string, Load>> {
  const loads = new Map<string, Load>();
  for (const { name, from, to, port } of places())
    for (const family of FAMILIES)
      for (const udp of [false, true]) {
        const options = udp ? { every: 50, udp } : { every: 50, long: 4 };
        const load = await startLoad(from.namespace, to[family] ?? '', port, options);
        loads.set(`${name}, ${udp ? 'UDP' : 'TCP'} ${family}`, load);
      }
  return loads;
}

async function holdAll(): Promise<Map<string, Held>> {
  const held = new Map<string, Held>();
  for (const { name, from, to, port } of places())
    for (const family of FAMILIES)
      held.set(`${name}, ${family}`, await holdConnections(from.namespace, to[family] ?? '', port, HELD));
  return held;
}

/**
 * Makes those object files of the other commit that are the same as ours others to an agent, which then loads its own programs: behind
 * the end of an ELF file nobody looks. Returns which were others before.
 */
function tellApart(): string[] {
  const names = ['tcx', ...new Set(Object.values(CUBES))];
  const files = names.map((name) => {
    const [ours = '', theirs = ''] = [ROOT, previous.directory].map((root) =>
      join(root, `build/bpf/${name}.o`),
    );
    const differ = !readFileSync(ours).equals(readFileSync(theirs));
    if (!differ) appendFileSync(theirs, previous.commit);
    return { name, differ };
  });
  return files.filter(({ differ }) => differ).map(({ name }) => name);
}

/** The program of each cube: `ilb 3_2a…`. */
function programsOf({ counters, node }: Worker): string[] {
  return Object.keys(CUBES).flatMap((cube) =>
    counters.instances(`${SYSTEM}/kubernetes.${cube}.${node.name}`).map((one) => `${cube} ${one}`),
  );
}

/** A pod that comes with this agent reaches others and is reached; one that came with an earlier agent still does, and goes. */
class Comers {
  readonly #runtime: CniRuntime;
  #last: { container: Container; addresses: string[] } | undefined;

  constructor(worker: Worker) {
    this.#runtime = new CniRuntime(worker);
  }

  async next(): Promise<void> {
    const container = await this.#runtime.container();
    const addresses = addressesOf(await this.#runtime.add(container));
    const now = { container, addresses };
    for (const one of this.#last === undefined ? [now] : [now, this.#last]) {
      for (const address of one.addresses) expect(await ping(far.namespace, address)).toBe(2);
      const asked = FAMILIES.flatMap((family) => [
        { address: vipsOf(10)[family], port: PORT, protocol: 'tcp' as const, count: 2 },
        { address: outside.addresses[family], port: TARGET, protocol: 'udp' as const, count: 2 },
      ]);
      for (const answers of await survey(one.container.namespace, asked))
        expect(Object.keys(answers).filter((text) => !/^(near|far|outside) /.test(text))).toEqual([]);
    }
    await this.leave();
    this.#last = now;
  }

  /** The last one goes. */
  async leave(): Promise<void> {
    if (this.#last !== undefined) await this.#runtime.delete(this.#last.container);
    this.#last = undefined;
  }

  traces() {
    return this.#runtime.traces();
  }
}

test(`agents replaced by those of the commit before and back, ${UPGRADES} times: nothing is lost`, async () => {
  const comers = lab.workers.map((worker) => new Comers(worker));
  const before = await Promise.all(comers.map((each) => each.traces()));
  for (const each of comers) await each.next();
  const pins = lab.workers.map(({ counters }) => new PinnedObjects(counters.pins.nodeRoot));
  const held = await holdAll();
  const loads = await startLoads();
  // It ends with ours: what is left is looked at from there.
  const order = [...Array.from({ length: UPGRADES }, () => [ROOT, previous.directory]).flat(), ROOT];
  for (const [turn, directory] of order.entries()) {
    for (const worker of lab.workers) {
      const { agent, index } = worker;
      await pins[index]?.look();
      const programs = programsOf(worker);
      expect(programs).toHaveLength(Object.keys(CUBES).length);
      const began = performance.now();
      if (turn % 3 === 2) await agent.kill();
      else await agent.stop();
      agent.checkout = directory;
      await agent.start(180_000);
      const ready = performance.now();
      for (const deadline = Date.now() + 60_000; ; await sleep(100)) {
        const { stdout } = await agent.cli(['plan']);
        if (/nothing to do/i.test(stdout)) break;
        if (Date.now() > deadline) throw new Error(`an agent of ${directory} leaves to do:\n${stdout}`);
      }
      expect(programsOf(worker).filter((one) => programs.includes(one))).toEqual([]);
      await comers[index]?.next();
      log(
        `${directory === ROOT ? 'ours' : 'theirs'} on ${worker.node.name} in ${Math.round(ready - began)} ms`,
      );
    }
  }
  await lab.untilReady();
  const failures: Record<string, unknown> = {};
  let requests = 0;
  for (const [name, load] of loads) {
    const report = await load.end();
    requests += report.requests;
    if (report.failures.length > 0) failures[name] = report.failures;
    if (report.requests < order.length * 40) failures[`few: ${name}`] = report.requests;
  }
  for (const [name, one] of held) {
    const { alive, errors } = await one.check();
    if (alive !== HELD) failures[`held: ${name}`] = errors;
  }
  expect(failures).toEqual({});
  log(`${requests} requests, all answered`);
  for (const each of comers) await each.leave();
  expect(await Promise.all(comers.map((each) => each.traces()))).toEqual(before);
  for (const each of pins) expect(await each.leaked()).toEqual([]);
});
