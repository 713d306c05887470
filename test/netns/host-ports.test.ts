// SPDX-License-Identifier: Apache-2.0
/** Ports of a node that lead to a pod (the CNI capability portMappings), on the provider's chain with real sockets. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Machine, type Pod, setUnderlayOffload } from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { addressesOf, CniRuntime, type Container, cniFlags } from './support/cni.ts';
import { toProvider } from './support/manifests.ts';
import { TARGET } from './support/services.ts';
import { FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

const EVERYWHERE = 8088;
const AT_ONE = 8089;

let lab: TwoNodes;
let cni: CniRuntime;
let outside: Machine;
let beside: Pod;
let served: Container;
let addresses: string[];

const node = () => lab.worker(0).node;
const mappings = (hostPort: number, more: object = {}) =>
  ['tcp', 'udp'].map((protocol) => ({ hostPort, containerPort: TARGET, protocol, ...more }));
const withPorts = (...portMappings: object[]) => ({ conf: { runtimeConfig: { portMappings } } });
const ports = () =>
  withPorts(...mappings(EVERYWHERE), ...mappings(AT_ONE, { hostIP: node().addresses.ipv4 }));

/** Who answers at an address and port, TCP and UDP, and whom it sees; failures are answers, too. */
async function at(from: Namespace, address: string, port: number): Promise<string[]> {
  const answers: string[] = [];
  for (const udp of [false, true]) {
    const { by, seenAs, failures } = await ask(from, address, port, { count: 5, udp });
    answers.push(failures.length > 0 ? 'failed' : `${Object.keys(by).join()} ${seenAs}`);
  }
  return answers;
}

beforeAll(async () => {
  lab = await openTwoNodes('host ports', {
    nodes: 1,
    flagsOf: cniFlags,
    chain: toProvider,
  });
  outside = await createMachine(lab.underlay, 'outside', 50);
  beside = await lab.addPod(0, 'beside', 200);
  cni = new CniRuntime(lab.worker(0));
  served = await cni.container('served');
  addresses = addressesOf(await cni.add(served, ports()));
  await startServer(served.namespace, 'served', TARGET);
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await setUnderlayOffload(node(), offload);
    await setUnderlayOffload(outside, offload);
  });

  test.each(FAMILIES)('%s: clients outside are seen with their own address', async (family) => {
    const seen = `served ${outside.addresses[family]}`;
    expect(await at(outside.namespace, node().addresses[family], EVERYWHERE)).toEqual([seen, seen]);
  });

  test.each(FAMILIES)('%s: so are pods of the node', async (family) => {
    const seen = `served ${beside.addresses[family]}`;
    expect(await at(beside.namespace, node().addresses[family], EVERYWHERE)).toEqual([seen, seen]);
  });
});

test.each(FAMILIES)('%s: processes of the node reach it, also at loopback', async (family) => {
  const loopback = family === 'ipv4' ? '127.0.0.1' : '::1';
  for (const address of [node().addresses[family], loopback])
    for (const answer of await at(node().namespace, address, EVERYWHERE)) expect(answer).toMatch(/^served /);
});

test('a mapping of one address is no mapping of another one', async () => {
  const { ipv4, ipv6 } = node().addresses;
  const seen = `served ${outside.addresses.ipv4}`;
  expect(await at(outside.namespace, ipv4, AT_ONE)).toEqual([seen, seen]);
  expect(await at(outside.namespace, ipv6, AT_ONE)).toEqual(['failed', 'failed']);
});

test('a port that leads to another pod is refused', async () => {
  const other = await cni.container('other');
  const { status, json } = await cni.call('ADD', other, withPorts(...mappings(EVERYWHERE).slice(0, 1)));
  expect([status, json.code, json.msg]).toEqual([
    1,
    11,
    expect.stringContaining(`port ${EVERYWHERE}/TCP of the node leads to pod`),
  ]);
  expect((await cni.traces()).devices.length).toBe(1);
});

test('CHECK asks for them', async () => {
  const prevResult = (await cni.call('CHECK', served, { conf: { prevResult: {} } })).json.code;
  expect(prevResult).toBe(102);
  const found = await cni.call('CHECK', served, {
    conf: { prevResult: {}, runtimeConfig: { portMappings: mappings(7777) } },
  });
  expect(found.json.msg).toContain('port 7777/TCP of the node does not lead to the pod');
});

test('they outlive the agent, and it finds them in its records', async () => {
  const { agent } = lab.worker(0);
  const seen = `served ${outside.addresses.ipv6}`;
  await agent.kill();
  expect(await at(outside.namespace, node().addresses.ipv6, EVERYWHERE)).toEqual([seen, seen]);
  await agent.start();
  expect(await at(outside.namespace, node().addresses.ipv6, EVERYWHERE)).toEqual([seen, seen]);
  expect((await agent.cli(['plan'])).stdout).toMatch(/nothing to do/i);
});

test('DEL ends them, and the next pod may have them', async () => {
  expect(addresses.length).toBe(2);
  await cni.delete(served, ports());
  for (const family of FAMILIES)
    expect(await at(outside.namespace, node().addresses[family], EVERYWHERE)).toEqual(['failed', 'failed']);
  const next = await cni.container('next');
  await cni.add(next, ports());
  await startServer(next.namespace, 'next', TARGET);
  for (const family of FAMILIES) {
    const seen = `next ${outside.addresses[family]}`;
    expect(await at(outside.namespace, node().addresses[family], EVERYWHERE)).toEqual([seen, seen]);
  }
});
