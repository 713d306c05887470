// SPDX-License-Identifier: Apache-2.0
/** What stays when an agent ends, what `down` leaves, and what an agent says that cannot do its work. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { reportPath } from '../../src/dataplane/sources/manifests/report.ts';
import { readStatuses } from '../../src/dataplane/sources/manifests/status-files.ts';
import { createNamespace } from '../harness/netns.ts';
import type { Pod } from '../harness/topology.ts';
import { ask, startLoad, startServer } from '../harness/traffic.ts';
import { bpfObjects, pinned } from './support/kernel-state.ts';
import { vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import {
  type ConditionText,
  conditionOf,
  FAMILIES,
  openTwoNodes,
  type TwoNodes,
} from './support/two-nodes.ts';

jest.setTimeout(120_000);

const CLI = new URL('../../src/cli/main.ts', import.meta.url).pathname;

let lab: TwoNodes;
let client: Pod;
let backend: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('lifetime test', {
    nodes: 1,
    chain(chain) {
      chain.spec.cubes[0].loadBalancer.sessions = { maxFrontends: 16 };
    },
  });
  client = await lab.addPod(0, 'client', 10);
  backend = await lab.addPod(0, 'near', 11);
  await startServer(backend.namespace, backend.name, TARGET);
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [backend] });
  await lab.untilFrontends(0, 4);
});
afterAll(async () => {
  await lab?.close();
});

/** Waits for a condition that is not true and has this reason, in any status below a state directory. */
async function untilSaid(stateDir: string, reason: string, timeoutMs = 60_000): Promise<ConditionText> {
  const { node } = lab.worker(0);
  let seen: string[] = [];
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(100)) {
    seen = [];
    for (const { kind, metadata, status } of (await readStatuses(stateDir, node.name)).values()) {
      for (const type of ['Programmed', 'ResolvedRefs', 'Accepted']) {
        const found = conditionOf(status, type);
        if (found?.status !== 'False') continue;
        if (found.reason === reason) return found;
        seen.push(`${kind} ${metadata.name} ${found.reason}: ${found.message}`);
      }
    }
  }
  throw new Error(`nobody says ${reason}, but: ${seen.join('; ')}`);
}

/** Starts an agent on a node without one, of the same name, by way of `wrapper`. Returns its state directory. */
async function startWrapped(name: string, wrapper: readonly string[], bpffs: string): Promise<string> {
  const { node: twin } = lab.worker(0);
  const node = { name: twin.name, namespace: await createNamespace(lab.lab, name) };
  await node.namespace.ip('link add eth0 type veth peer name far0', 'link set eth0 up');
  const stateDir = `${lab.lab.directory}/state-${name}`;
  await node.namespace.start(`agent-${name}`, [
    ...wrapper,
    ...[process.execPath, CLI, 'up', '--node', node.name, '--manifests', lab.manifests.directory],
    ...['--state-dir', stateDir, '--bpffs', bpffs],
  ]);
  return stateDir;
}

describe('an agent that cannot do its work says what to do', () => {
  test('without the rights', async () => {
    const { agent } = lab.worker(0);
    const wrapper = ['setpriv', '--bounding-set', '-bpf,-net_admin,-perfmon,-sys_admin', '--'];
    const stateDir = await startWrapped('without-rights', wrapper, agent.bpffs);
    const { message } = await untilSaid(stateDir, 'NotPermitted');
    expect(message).toContain('CAP_BPF');
    expect(message).toContain('CAP_NET_ADMIN');
    expect(existsSync(reportPath(stateDir, lab.worker(0).node.name))).toBe(true);
  });

  test('where the BPF file system is not mounted', async () => {
    const hidden = `${lab.lab.directory}/no-bpffs`;
    const stateDir = await startWrapped('without-bpffs', [], hidden);
    const { message } = await untilSaid(stateDir, 'BpffsNotMounted');
    expect(message).toContain('mount -t bpf');
    expect(message).toContain(hidden);
  });

  test('when a map is full, and serves what fits', async () => {
    const { agent } = lab.worker(0);
    const load = await startLoad(client.namespace, vipsOf(10).ipv4, PORT, { every: 10 });
    for (let i = 0; i < 8; i++) {
      lab.writeService({ name: `x${i}`, number: 30 + i, ports: named, backends: [backend] });
    }
    const said = await untilSaid(agent.stateDir, 'TableInvalid').catch(() =>
      untilSaid(agent.stateDir, 'MapFull', 2_000),
    );
    expect(said.message).toMatch(/full|fit|room/);
    expect(said.message).toContain('sessions.maxFrontends');
    for (let i = 0; i < 8; i++) lab.manifests.remove(`service-x${i}.yaml`);
    await lab.untilFrontends(0, 4);
    await lab.untilReady();
    expect((await load.end()).failures).toEqual([]);
  });
});

test('a graceful end of the agent leaves traffic, down leaves nothing', async () => {
  const { agent, node, counters } = lab.worker(0);
  const load = await startLoad(client.namespace, vipsOf(10).ipv6, PORT, { every: 10, long: 2 });
  await agent.stop();
  for (const family of FAMILIES) {
    const report = await ask(client.namespace, vipsOf(10)[family], PORT);
    expect(report).toMatchObject({ failures: [], requests: 20 });
  }
  expect((await load.end()).failures).toEqual([]);

  expect(pinned(counters.pins.nodeRoot).length).toBeGreaterThan(20);
  const linksBefore = await bpfObjects('link');
  await agent.down();
  expect(existsSync(counters.pins.nodeRoot)).toBe(false);
  const left = new Set(await bpfObjects('link'));
  expect(linksBefore.filter((id) => !left.has(id)).length).toBeGreaterThanOrEqual(3);
  const devices = (await node.namespace.ipJson('link show')).map(({ ifname }) => ifname).sort();
  expect(devices).toEqual(['eth0', 'lo', 'veth1', 'veth2']);
  const { failures, requests } = await ask(client.namespace, vipsOf(10).ipv4, PORT, { count: 3 });
  expect(requests).toBe(0);
  expect(failures).toHaveLength(3);
  // And all of it comes back.
  await agent.start();
  for (const pod of [client, backend]) await agent.plug(pod);
  expect((await ask(client.namespace, vipsOf(10).ipv4, PORT)).failures).toEqual([]);
});

test('down does nothing while an agent is still ending', async () => {
  const { agent, counters } = lab.worker(0);
  await agent.stop();
  await agent.down();
  const running = await agent.launch();
  // In the middle of its first round, which it ends before it goes; held there, as on a busy node.
  await running.waitForOutput(/read \d+ objects/);
  running.kill('SIGTERM');
  await running.waitForOutput(/the agent ends/);
  await sleep(200);
  running.kill('SIGSTOP');
  await expect(agent.down()).rejects.toThrow(/is running\n.*end it first/);
  running.kill('SIGCONT');
  expect(await running.exited()).toBe(0);
  await agent.down();
  expect(existsSync(counters.pins.nodeRoot)).toBe(false);
});
