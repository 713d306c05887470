// SPDX-License-Identifier: Apache-2.0
/** cnitool, as the CNI project builds it, with the configuration and the plugin that the agent has put there. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type CniTools, ensureCniTools } from '../harness/cni/tools.ts';
import { cniPlaces } from '../harness/cni.ts';
import type { Result } from '../harness/process.ts';
import { addressesOf, CniRuntime, type Container, cniFlags, NOTHING, ping } from './support/cni.ts';
import { openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

// The first run builds it, which may take minutes on a busy machine.
jest.setTimeout(600_000);

let lab: TwoNodes;
let cni: CniRuntime;
let tools: CniTools;

beforeAll(async () => {
  tools = await ensureCniTools();
  lab = await openTwoNodes('cnitool test', { nodes: 1, flagsOf: cniFlags });
  cni = new CniRuntime(lab.worker(0));
});
afterAll(async () => {
  await lab?.close();
});

async function cnitool(verb: string, { namespace }: Container, args = ''): Promise<Result> {
  const { node } = lab.worker(0);
  const { confDir, binDir } = cniPlaces(node);
  return await node.namespace.exec([tools.cnitool, verb, 'cubeplane', namespace.path], {
    env: { NETCONFPATH: confDir, CNI_PATH: binDir, ...(args === '' ? {} : { CNI_ARGS: args }) },
    anyStatus: true,
  });
}

test('STATUS, ADD, CHECK and DEL do what they say, and a second ADD is refused', async () => {
  const [one, two] = [await cni.container(), await cni.container()];
  expect(await cnitool('status', one)).toMatchObject({ status: 0, stdout: '' });
  const added = await cnitool('add', one, 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web');
  expect({ status: added.status, stderr: added.stderr }).toEqual({ status: 0, stderr: '' });
  const result = JSON.parse(added.stdout);
  // libcni chose the newest version of those that the list offers.
  expect(result).toMatchObject({ cniVersion: '1.1.0', ips: [{}, {}] });
  expect(JSON.parse((await cnitool('add', two)).stdout).ips).toHaveLength(2);
  for (const to of addressesOf(result)) expect(await ping(two.namespace, to)).toBe(2);
  expect(await cnitool('check', one)).toMatchObject({ status: 0 });
  expect(await cnitool('add', one)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('has the interface eth0 of network cubeplane already'),
  });
  await one.namespace.ip('address flush dev eth0');
  expect(await cnitool('check', one)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(addressesOf(result)[0] ?? ''),
  });
  for (const container of [one, two, one])
    expect(await cnitool('del', container)).toMatchObject({ status: 0 });
  expect(await cni.traces()).toEqual(NOTHING);
});

test('GC takes everything, also what DEL never comes for', async () => {
  const containers = [await cni.container(), await cni.container(), await cni.container()];
  for (const container of containers) expect(await cnitool('add', container)).toMatchObject({ status: 0 });
  expect(await cni.traces()).toMatchObject({ leases: 3, rows: 6 });
  expect(await cnitool('gc', containers[0] as Container)).toMatchObject({ status: 0 });
  expect(await cni.traces()).toEqual(NOTHING);
});

test('while the agent is away each command says so in time, and takes nothing away', async () => {
  const { agent } = lab.worker(0);
  const [one, late] = [await cni.container(), await cni.container()];
  expect(await cnitool('add', one)).toMatchObject({ status: 0 });
  await agent.stop();
  for (const [verb, of] of [
    ['status', one],
    ['add', late],
    ['check', one],
    ['del', one],
  ] as const) {
    const { status, stderr } = await cnitool(verb, of);
    expect([verb, status]).toEqual([verb, 1]);
    expect(stderr).toContain('agent');
  }
  expect(existsSync(`${cniPlaces(lab.worker(0).node).confDir}/05-cubeplane.conflist`)).toBe(true);
  await agent.start();
  expect(await cnitool('check', one)).toMatchObject({ status: 0 });
  for (const container of [one, late]) expect(await cnitool('del', container)).toMatchObject({ status: 0 });
  expect(await cni.traces()).toEqual(NOTHING);
});
