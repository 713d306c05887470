// SPDX-License-Identifier: Apache-2.0
/** What programs hand over reaches the image of their cube and the agent's log: real packets, a real agent. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { until as eventually } from '../harness/until.ts';
import type { AgentClient, Settled } from './support/agent-client.ts';
import { AgentLab, pings, plugRequest } from './support/agent-lab.ts';
import { cubeNode, hubChain, table } from './support/agent-objects.ts';

const [LOG, PUNT] = [667, 668];

let lab: AgentLab;
let agent: AgentClient;
let pods: [Pod, Pod];

/** Lines of the agent's log that its images wrote. */
function turned(): { [field: string]: unknown }[] {
  const lines = agent.stderr.split('\n').filter((line) => line.startsWith('turned '));
  return lines.map((line) => JSON.parse(line.slice('turned '.length)));
}

const until = <T>(what: () => T | undefined): Promise<T> =>
  eventually('what was to come about', what, 30_000, () => agent.stderr);

async function start(): Promise<void> {
  agent = await lab.start();
  await agent.ask('set', { objects: [...hubChain(5), cubeNode()] });
  await agent.ask('synced');
  await agent.ask<Settled>('settled');
}

beforeAll(async () => {
  lab = await AgentLab.open('slow path');
  await start();
  pods = [await lab.pod('one', 2), await lab.pod('two', 3)];
  for (const pod of pods) await agent.ask('plug', { request: plugRequest(pod) });
}, 60_000);

afterAll(async () => {
  await lab?.close();
}, 60_000);

test('a logged packet goes on, and the log names cube, port, rule and addresses', async () => {
  await agent.set([table('rows', { 0: LOG })]);
  expect(await pings(...pods)).toBe(6);
  // a pod's stack says a word of its own, too: a solicitation for its link-local address may be first
  const ofFront = await until(() =>
    turned().find(
      ({ cube, port, proto }) => cube === 'cubeplane-system/front' && port === 'a' && proto === 1,
    ),
  );
  expect(ofFront).toMatchObject({
    kind: 'Log',
    code: 1,
    rule: 'r77',
    label: 5,
    src: pods[0].addresses.ipv4,
    dst: pods[1].addresses.ipv4,
    proto: 1,
    length: 98,
  });
  await until(() => turned().find(({ cube, proto }) => cube === 'cubeplane-system/hub' && proto === 58));
}, 60_000);

test('a punted packet ends, and the agent has it', async () => {
  await agent.set([table('rows', { 0: PUNT }, 2)]);
  expect(await pings(...pods)).toBe(0);
  await until(() =>
    turned().find(({ kind, code, rule }) => kind === 'Packet' && code === 2 && rule === 'r78'),
  );
  await agent.set([table('rows', { 0: 1 }, 3)]);
  expect(await pings(...pods)).toBe(6);
}, 60_000);

test('a packet that the agent sends into the cube again, with metadata, goes on from there', async () => {
  await agent.set([table('rows', { 0: 671 }, 4)]);
  expect(await pings(...pods)).toBe(6);
  // TCP and UDP of a pod whose device would make the checksums
  await startServer(pods[1].namespace, 'two');
  for (const address of [pods[1].addresses.ipv4, pods[1].addresses.ipv6]) {
    for (const udp of [false, true]) {
      const { requests, failures } = await ask(pods[0].namespace, address as string, 8080, { count: 5, udp });
      expect([address, udp, requests, failures]).toEqual([address, udp, 5, []]);
    }
  }
}, 60_000);

test('a packet that the agent sends out of the port of a cube arrives', async () => {
  await agent.set([table('rows', { 0: 672 }, 5)]);
  expect(await pings(...pods)).toBe(6);
  expect((await agent.ask<Settled>('settled')).health.slowPath.handled).toBeGreaterThanOrEqual(24);
  await agent.set([table('rows', { 0: 1 }, 6)]);
  expect(await agent.ask('plan')).toEqual([]);
}, 60_000);

test('an agent that starts again goes on where records are fresh', async () => {
  await agent.kill();
  await start();
  await agent.set([table('rows', { 0: LOG }, 7)]);
  expect(await pings(...pods)).toBe(6);
  await until(() => turned().find(({ rule }) => rule === 'r77'));
  expect((await agent.ask<Settled>('settled')).health.slowPath.handled).toBeGreaterThan(0);
}, 60_000);
