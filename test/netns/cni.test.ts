// SPDX-License-Identifier: Apache-2.0
/** Pods get their network from the plugin, called as a container runtime does it. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import {
  type Answer,
  addressesOf,
  CniRuntime,
  type Container,
  cniFlags,
  NOTHING,
  ping,
} from './support/cni.ts';
import { openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

const GATEWAY_MAC = '02:c0:be:00:00:01';

let lab: TwoNodes;
let cni: CniRuntime;
let remote: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('cni test', { flagsOf: (node) => (node.name === 'node-a' ? cniFlags(node) : []) });
  remote = await lab.addPod(1, 'remote', 10);
  cni = new CniRuntime(lab.worker(0));
});
afterAll(async () => {
  await lab?.close();
});

test('the agent has installed the plugin and, the chain being programmed, the configuration', () => {
  expect(statSync(cni.plugin).mode & 0o777).toBe(0o755);
  const conflist = JSON.parse(readFileSync(join(cni.confDir, '05-cubeplane.conflist'), 'utf8'));
  expect(conflist).toMatchObject({
    cniVersion: '1.0.0',
    name: 'cubeplane',
    plugins: [{ type: 'cubeplane-cni', socket: expect.stringContaining('cni.sock') }],
  });
});

describe('ADD', () => {
  let one: Container;
  let result: Answer['json'];

  test('gives a container addresses, routes and a way to pods of its node and of others', async () => {
    one = await cni.container();
    const two = await cni.container();
    result = await cni.add(one, {
      env: { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u' },
    });
    const other = await cni.add(two);
    const [device] = (await cni.traces()).devices;
    expect(result).toEqual({
      cniVersion: '1.1.0',
      interfaces: [
        { name: expect.stringMatching(/^cp[0-9a-f]{13}$/), mac: GATEWAY_MAC, mtu: 1500 },
        { name: 'eth0', mac: expect.stringMatching(/^02:/), sandbox: one.namespace.path, mtu: 1500 },
      ],
      ips: [
        { interface: 1, address: '10.244.1.2/32', gateway: '10.244.1.1' },
        { interface: 1, address: 'fd00:244:0:1::2/128', gateway: 'fd00:244:0:1::1' },
      ],
      routes: [
        { dst: '0.0.0.0/0', gw: '10.244.1.1', mtu: 1430 },
        { dst: '::/0', gw: 'fd00:244:0:1::1', mtu: 1430 },
      ],
      dns: {},
    });
    expect(device).toBeDefined();
    for (const to of [...addressesOf(other), ...Object.values(remote.addresses)])
      expect([to, await ping(one.namespace, to)]).toEqual([to, 2]);
    // A full packet passes the tunnel unbroken, one more byte does not.
    const fits = ['ping', '-n', '-c', '1', '-W', '2', '-M', 'do', '-s', String(1430 - 28)];
    expect((await one.namespace.exec([...fits, remote.addresses.ipv4 ?? ''])).status).toBe(0);
    const { stdout } = await lab
      .worker(0)
      .agent.cli([
        'trace',
        '--dry-run',
        '--from',
        'default/web-0',
        '--packet',
        'udp 10.244.1.2:9 > 10.244.1.3:9',
      ]);
    expect(stdout).toContain('10.244.1.3');
  });

  test('of the same container and interface again is refused, as the specification wants', async () => {
    const { status, json } = await cni.call('ADD', one);
    expect({ status, json }).toEqual({
      status: 1,
      json: {
        cniVersion: '1.1.0',
        code: 100,
        msg: `CNI_CONTAINERID ${one.id} has the interface eth0 of network cubeplane already`,
        details: expect.stringContaining('DEL'),
      },
    });
    expect(await ping(one.namespace, remote.addresses.ipv4 ?? '')).toBe(2);
  });

  test('of a second interface of the same container says that one is what it takes', async () => {
    const second = await cni
      .add(one, {
        ifname: 'net1',
        env: { CNI_ARGS: 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0' },
        conf: { ranges: [{ subnet: '10.244.1.0/24' }] },
      })
      .catch((error: Error) => error.message);
    // Both would want the default route: the second is refused by the kernel, and nothing of it is left.
    expect(second).toContain('a container takes one interface of this network');
    expect((await one.namespace.ipJson('link show')).map(({ ifname }) => ifname)).not.toContain('net1');
    expect(await ping(one.namespace, remote.addresses.ipv4 ?? '')).toBe(2);
  });

  test.each(['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])('answers in version %s', async (cniVersion) => {
    const container = await cni.container();
    const answer = await cni.add(container, { conf: { cniVersion } });
    expect(answer.cniVersion).toBe(cniVersion);
    expect(answer.ips.map(({ version }: { version?: string }) => version)).toEqual(
      cniVersion < '1' ? ['4', '6'] : [undefined, undefined],
    );
    expect('mtu' in answer.interfaces[1]).toBe(cniVersion === '1.1.0');
    if (cniVersion >= '0.4')
      expect(await cni.call('CHECK', container, { conf: { cniVersion, prevResult: answer } })).toMatchObject({
        status: 0,
        stdout: '\n',
      });
    await cni.delete(container, { conf: { cniVersion } });
  });

  test('twenty at once get different addresses, and all of them work', async () => {
    const containers = await Promise.all(Array.from({ length: 20 }, () => cni.container()));
    const results = await Promise.all(containers.map((container) => cni.add(container)));
    const all = results.flatMap(addressesOf);
    expect(new Set(all).size).toBe(40);
    for (const result of results)
      for (const to of addressesOf(result)) expect([to, await ping(one.namespace, to, 1)]).toEqual([to, 1]);
    await Promise.all(containers.map((container) => cni.delete(container)));
  });
});

describe('DEL', () => {
  test('twice, without a namespace, with one that is gone, of nobody: nothing is left, and nobody complains', async () => {
    const before = await cni.traces();
    const container = await cni.container();
    await cni.add(container);
    await cni.delete(container);
    await cni.delete(container);
    await cni.settled();
    expect((await container.namespace.ipJson('link show')).map(({ ifname }) => ifname)).toEqual(['lo']);
    await cni.add(container);
    await cni.delete(container, { env: { CNI_NETNS: '' } });
    await cni.add(container);
    await cni.delete(container, { env: { CNI_NETNS: undefined } });
    await cni.add(container);
    await cni.delete(container, { env: { CNI_NETNS: '/run/netns/none' } });
    await cni.delete({ ...container, id: 'nobody' });
    expect(await cni.traces()).toEqual(before);
  });

  test('a released address is not given to the next one', async () => {
    const container = await cni.container();
    const first = addressesOf(await cni.add(container));
    await cni.delete(container);
    expect(addressesOf(await cni.add(container))).not.toEqual(first);
    await cni.delete(container);
  });

  test('a range that is full is named, and a single free address rests first', async () => {
    // .113 is the gateway of the smaller range, .118 its fictitious pod: four are left.
    const conf = { ranges: [{ subnet: '10.244.1.112/29' }] };
    const containers = await Promise.all(Array.from({ length: 5 }, () => cni.container()));
    const [last, ...others] = containers as [Container, ...Container[]];
    const given: string[] = [];
    for (const container of others) given.push(...addressesOf(await cni.add(container, { conf })));
    expect(given.sort()).toEqual(['10.244.1.114', '10.244.1.115', '10.244.1.116', '10.244.1.117']);
    expect((await cni.call('ADD', last, { conf })).json).toMatchObject({
      code: 101,
      msg: 'range 10.244.1.112/29: no address is free',
    });
    for (const container of others) await cni.delete(container, { conf });
    expect((await cni.call('ADD', last, { conf })).json).toMatchObject({
      code: 11,
      msg: expect.stringContaining('range 10.244.1.112/29'),
    });
  });
});

test('how long ADD and DEL take is told', async () => {
  const [adds, deletes]: [number[], number[]] = [[], []];
  for (let i = 0; i < 15; i++) {
    const container = await cni.container();
    adds.push((await cni.call('ADD', container)).ms);
    deletes.push((await cni.call('DEL', container)).ms);
  }
  const median = (times: number[]) => times.sort((a, b) => a - b)[7]?.toFixed(0);
  process.stderr.write(`cni: ADD ${median(adds)} ms, DEL ${median(deletes)} ms (medians of 15)\n`);
});

describe('STATUS and GC', () => {
  test('STATUS says nothing while all is well', async () => {
    expect(await cni.call('STATUS')).toMatchObject({ status: 0, stdout: '\n' });
  });

  test('GC keeps what the runtime names and takes the rest, strays included', async () => {
    const [kept, gone] = [await cni.container(), await cni.container()];
    const { ips } = await cni.add(kept);
    await cni.add(gone);
    await lab.worker(0).node.namespace.ip('link add cp0123456789abc type veth peer name stray0');
    expect(await cni.gc([{ containerID: kept.id, ifname: 'eth0' }])).toMatchObject({
      status: 0,
      stdout: '\n',
    });
    expect(await ping(kept.namespace, remote.addresses.ipv4 ?? '')).toBe(2);
    expect(await cni.traces()).toMatchObject({
      leases: 1,
      pods: 1,
      rows: ips.length,
      devices: [expect.anything()],
    });
    expect(await cni.gc([])).toMatchObject({ status: 0 });
    expect(await cni.traces()).toEqual(NOTHING);
  });
});

test('down takes configuration, plugin and devices away', async () => {
  const { agent } = lab.worker(0);
  const container = await cni.container();
  await cni.add(container);
  await agent.stop();
  expect(existsSync(join(cni.confDir, '05-cubeplane.conflist'))).toBe(true);
  await agent.down();
  expect(existsSync(join(cni.confDir, '05-cubeplane.conflist'))).toBe(false);
  expect(existsSync(cni.plugin)).toBe(false);
  expect((await container.namespace.ipJson('link show')).map(({ ifname }) => ifname)).toEqual(['lo']);
});
