// SPDX-License-Identifier: Apache-2.0
/**
 * A firewall in the chain of both nodes, between their pods and the router: real connections are let through, refused and
 * rejected, and rules are replaced under them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { startLoad, startServer } from '../harness/traffic.ts';
import { PinnedObjects } from './support/kernel-state.ts';
import { BULK, CLOSED, TARGET } from './support/services.ts';
import { connectTcp, echoDatagram, sendUdp, startBulkServer, transfer } from './support/sockets.ts';
import { Traffic } from './support/traffic.ts';
import { cubeTable, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';
import { Prober } from './support/wall.ts';

/** Ports of `far` that rules drop and reject. */
const DROPPED = 8081;
const REJECTED = 8082;
/** How often all rules, 5,000 of them, are replaced under load; `npm run soak` does it 100 times. */
const REPLACEMENTS = Number(process.env.CUBEPLANE_REPLACEMENTS ?? 10);
const RULES = Number(process.env.CUBEPLANE_RULES ?? 4900);
jest.setTimeout(300_000 + REPLACEMENTS * 60_000);

let lab: TwoNodes;
let near: Pod;
let far: Pod;

const rule = (name: string, over: object) => ({
  name,
  priority: 100,
  direction: 'Both',
  action: 'Allow',
  ...over,
});
const port = (protocol: string, number: number) => ({ protocol, port: number });
const ALLOWED = [
  rule('ping', {
    icmp: [
      { family: 'IPv4', type: 8 },
      { family: 'IPv6', type: 128 },
    ],
  }),
  rule('services', { ports: [TARGET, BULK].flatMap((number) => [port('TCP', number), port('UDP', number)]) }),
];
const REFUSED = [
  rule('dropped', {
    direction: 'Ingress',
    action: 'Drop',
    ports: [port('TCP', DROPPED), port('UDP', DROPPED)],
  }),
  rule('rejected', {
    direction: 'Ingress',
    action: 'Reject',
    log: true,
    ports: [port('TCP', REJECTED), port('UDP', REJECTED)],
  }),
];

// biome-ignore lint/suspicious/noExplicitAny: any field of the sample is changed
function withFirewall(chain: any): void {
  const { spec } = chain;
  spec.cubes.push({
    name: 'fw',
    type: 'Firewall',
    firewall: { defaultActions: { ingress: 'Drop', egress: 'Drop' }, maxRules: RULES + REPLACEMENTS + 16 },
    tables: [{ type: 'Rule' }],
  });
  spec.path.splice(2, 0, { type: 'Cube', cube: { name: 'fw', in: 'inside', out: 'outside' } });
}

/** Rules as one set of slices; all of them come into force at once. */
function writeRules(rules: readonly object[], revision: string): void {
  const count = Math.max(1, Math.ceil(rules.length / 500));
  const tables = Array.from({ length: count }, (_, index) =>
    cubeTable(`rules-${index}`, {
      type: 'Rule',
      slice: { owner: 'rules', index, count, revision },
      rules: rules.slice(index * 500, (index + 1) * 500),
    }),
  );
  lab.manifests.write('rules.yaml', ...tables);
}

const firewallOf = (index: number) => `${SYSTEM}/kubernetes.fw.${lab.worker(index).node.name}`;
const drops = (index: number) => lab.worker(index).counters.cube(firewallOf(index), 'Firewall');
const events = (index: number) => lab.worker(index).counters.events(firewallOf(index), 'Firewall');

async function until<Value>(read: () => Promise<Value>, holds: (value: Value) => boolean, what: string) {
  for (const deadline = Date.now() + 120_000; ; await sleep(100)) {
    const value = await read();
    if (holds(value)) return;
    if (Date.now() > deadline) throw new Error(`${what}: not within 2 minutes, but ${JSON.stringify(value)}`);
  }
}

/** Prefixes of rules in the kernel, in both directions: of those in force, and of those before. */
const prefixes = (index: number) => () => lab.worker(index).counters.rows(firewallOf(index), 'addresses');

beforeAll(async () => {
  lab = await openTwoNodes('firewall', { chain: withFirewall });
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  await startServer(far.namespace, 'far', TARGET);
  await startServer(far.namespace, 'dropped', DROPPED);
  await startServer(far.namespace, 'rejected', REJECTED);
  await startBulkServer(far.namespace, BULK);
  await startBulkServer(near.namespace, BULK);
  writeRules([...ALLOWED, ...REFUSED, rule('egress', { direction: 'Egress' })], 'start');
  const reaches = () => connectTcp(near.namespace, far.addresses.ipv4 ?? '', TARGET);
  await until(reaches, ({ error }) => error === null, 'the first rules');
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    const to = () => far.addresses[family] ?? '';

    test('what rules allow passes in both directions: TCP of large segments, UDP, ping', async () => {
      expect(await transfer(near.namespace, to(), BULK, 2_000_000)).toMatchObject({ take: true, give: true });
      const back = await transfer(far.namespace, near.addresses[family] ?? '', BULK, 300_000);
      expect(back).toMatchObject({ take: true, give: true });
      expect(await echoDatagram(near.namespace, to(), BULK, 900)).toMatchObject({ whole: true });
      const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '2', to()];
      expect((await near.namespace.exec(argv)).stdout).toMatch(/ 0% packet loss/);
    });

    test('fragments pass with their first one', async () => {
      expect(await echoDatagram(near.namespace, to(), BULK, 5000)).toMatchObject({ whole: true });
    });

    test('Reject is known at once: a RST, an ICMP error', async () => {
      expect((await connectTcp(near.namespace, to(), REJECTED)).error).toBe('ECONNREFUSED');
      const before = (await drops(1)).RejectedByRule ?? 0;
      const { error } = await sendUdp(near.namespace, to(), REJECTED);
      expect(['EACCES', 'EHOSTUNREACH', 'ECONNREFUSED']).toContain(error);
      expect((await drops(1)).RejectedByRule ?? 0).toBeGreaterThan(before);
    });

    test('Drop is silence, and counted; so is what no rule allows', async () => {
      const before = await drops(1);
      const attempts = await Promise.all(
        [DROPPED, CLOSED].map((number) => connectTcp(near.namespace, to(), number)),
      );
      for (const { error } of attempts) expect(error).toMatch(/TIMEDOUT|timed out|timeout/i);
      const after = await drops(1);
      for (const reason of ['DroppedByRule', 'DroppedByDefault'])
        expect(after[reason] ?? 0).toBeGreaterThan(before[reason] ?? 0);
    });
  });
});

test('what a rule logs stands in the log of the agent, by the name of the rule', async () => {
  await connectTcp(near.namespace, far.addresses.ipv4 ?? '', REJECTED);
  const output = () => lab.worker(1).agent.running.output();
  await until(
    output,
    (text) => /rejected.*\(rejected\)|\(rejected\).*rejected/.test(text),
    'a line of the log',
  );
});

test('all rules are replaced under load: nothing is lost, and what is refused is refused all the time', async () => {
  const objects = lab.workers.map(({ counters }) => new PinnedObjects(counters.pins.nodeRoot));
  const before = await Promise.all(objects.map((each) => each.look()));
  const traffic = await Traffic.start(near, [far], far.addresses, TARGET);
  const prober = await Prober.start(near, far.addresses, DROPPED, false);
  for (let i = 1; i <= REPLACEMENTS; i++) {
    const filler = Array.from({ length: RULES + i }, (_, n) =>
      rule(`f${i}-${n}`, { action: 'Drop', priority: 50, sources: [`10.${100 + (n >> 8)}.${n & 255}.0/24`] }),
    );
    writeRules([...filler, ...ALLOWED, rule('egress', { direction: 'Egress' })], `replaced ${i}`);
    const both = 2 * (RULES + i) + (i > 1 ? 2 * (RULES + i - 1) : 0);
    for (const index of [0, 1]) await until(prefixes(index), (rows) => rows === both, `replacement ${i}`);
  }
  const { tries, answered } = await prober.end();
  expect(answered).toEqual({});
  expect(tries).toBeGreaterThan(REPLACEMENTS);
  const { lost, requests, echoes } = await traffic.end();
  expect(lost).toEqual({});
  expect(requests).toBeGreaterThan(100);
  expect(echoes).toBeGreaterThan(100);
  expect((await events(1)).reclassified ?? 0).toBeGreaterThanOrEqual(REPLACEMENTS);
  for (const [index, each] of objects.entries()) {
    expect((await lab.worker(index).agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
    // Rules are rows: no map, program or link came with them.
    expect(await each.look()).toEqual(before[index]);
  }
});

test('a connection that new rules refuse ends, one that they allow goes on', async () => {
  const address = far.addresses.ipv4 ?? '';
  const load = await startLoad(near.namespace, address, TARGET, { long: 4, every: 50 });
  const before = (await events(1)).revoked ?? 0;
  const closed = rule('closed', {
    direction: 'Ingress',
    action: 'Reject',
    priority: 1,
    ports: [port('TCP', TARGET)],
  });
  writeRules([closed, ...ALLOWED, rule('egress', { direction: 'Egress' })], 'closed');
  const revoked = async () => (await events(1)).revoked ?? 0;
  await until(revoked, (count) => count >= before + 4, 'connections that end');
  expect((await load.end()).failures.length).toBeGreaterThan(0);
  expect((await connectTcp(near.namespace, address, TARGET)).error).toBe('ECONNREFUSED');
  expect(await echoDatagram(near.namespace, address, BULK, 100)).toMatchObject({ whole: true });
});
