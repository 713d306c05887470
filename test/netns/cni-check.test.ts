// SPDX-License-Identifier: Apache-2.0
/** CHECK looks at everything that ADD has made, one thing broken at a time. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { deleteNamespace } from '../harness/netns.ts';
import { run } from '../harness/process.ts';
import { type Answer, CniRuntime, type Container, cniFlags, NOTHING } from './support/cni.ts';
import { openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

let lab: TwoNodes;
let cni: CniRuntime;

beforeAll(async () => {
  lab = await openTwoNodes('cni check test', { nodes: 1, flagsOf: cniFlags });
  cni = new CniRuntime(lab.worker(0));
});
afterEach(async () => {
  // One that fails leaves nothing to the others.
  await cni.gc([]);
});
afterAll(async () => {
  await lab?.close();
});

interface Broken {
  readonly container: Container;
  readonly result: Answer['json'];
  /** The node's end. */
  readonly device: string;
}

const inside =
  (...lines: string[]) =>
  async ({ container }: Broken) =>
    await container.namespace.ip(...lines);

const inside6 =
  (line: string) =>
  async ({ container }: Broken) =>
    await container.namespace.exec(['ip', '-6', ...line.split(' ')]);

const outside =
  (line: string) =>
  async ({ device }: Broken) =>
    await lab.worker(0).node.namespace.ip(line.replace('DEVICE', device));

/** Removes all rows of a map that all programs share, as nobody should. */
const emptied = (map: string) => async () => {
  const path = lab.worker(0).counters.pins.sharedMap(map);
  const { stdout } = await run(['bpftool', '-j', 'map', 'dump', 'pinned', path]);
  for (const { key } of JSON.parse(stdout) as { key: string[] }[])
    await run([
      'bpftool',
      'map',
      'delete',
      'pinned',
      path,
      'key',
      'hex',
      ...key.map((byte) => byte.slice(2)),
    ]);
};

test.each<[string, (broken: Broken) => Promise<unknown>, RegExp]>([
  [
    'the interface is renamed',
    inside('link set eth0 down', 'link set eth0 name eth9'),
    /has no such interface/,
  ],
  ['the interface is down', inside('link set eth0 down'), /it is down/],
  ['its MAC is another', inside('link set eth0 address 02:00:00:00:00:09'), /its MAC is 02:00:00:00:00:09/],
  ['its MTU is another', inside('link set eth0 mtu 1400'), /its MTU is 1400, not 1500/],
  [
    'the IPv4 address is gone',
    inside('address flush dev eth0 scope global'),
    /its address 10\.244\.1\.\d+\/32 is gone/,
  ],
  [
    'the IPv6 address is gone',
    inside6('address flush dev eth0 scope global'),
    /its address fd00:\S+\/128 is gone/,
  ],
  [
    'the IPv4 default route is gone',
    inside('route delete default'),
    /default route via 10\.244\.1\.1 is gone/,
  ],
  [
    'the IPv6 default route is gone',
    inside6('route delete default'),
    /default route via fd00:244:0:1::1 is gone/,
  ],
  [
    'the MTU of a route is another',
    inside('route replace default via 10.244.1.1 dev eth0 mtu 1300'),
    /MTU of the route via 10\.244\.1\.1 is 1300, not 1450/,
  ],
  [
    'the route to the gateway is gone',
    inside('route delete 10.244.1.1 dev eth0'),
    /route to the gateway 10\.244\.1\.1/,
  ],
  ['a neighbour is gone', inside('neighbour delete 10.244.1.1 dev eth0'), /neighbour 10\.244\.1\.1 is gone/],
  [
    'a neighbour is another',
    inside('neighbour replace fd00:244:0:1::1 lladdr 02:00:00:00:00:09 dev eth0 nud permanent'),
    /neighbour fd00:244:0:1::1 is 02:00:00:00:00:09/,
  ],
  ['the other end is down', outside('link set DEVICE down'), /other end cp\w+ is down/],
  [
    'the MAC of the other end is another',
    outside('link set DEVICE address 02:00:00:00:00:09'),
    /MAC of its other end/,
  ],
  ['the MTU of the other end is another', outside('link set DEVICE mtu 1400'), /MTU of its other end/],
  ['the pair is gone', outside('link delete DEVICE'), /has no such interface.*is gone/],
  [
    'the pod is unplugged',
    async ({ container }) => await lab.worker(0).agent.cli(['unplug', `cni/${container.id}`]),
    /is not plugged/,
  ],
  [
    'the rows of the pod are gone from the kernel',
    emptied('pods'),
    /the kernel is not as it should be: write pod/,
  ],
  [
    'the row of the interface is gone from the kernel',
    emptied('attachments'),
    /not as it should be: write attachment/,
  ],
  [
    'the filter with the program is off a new interface',
    async ({ device }) =>
      await lab.worker(0).node.namespace.exec(['tc', 'qdisc', 'delete', 'dev', device, 'clsact']),
    /not as it should be: attach the entry program to interface \S+ \(\d+\) by a filter/,
  ],
  [
    'the program is off the interface',
    async ({ device }) => {
      const pin = join(lab.worker(0).counters.pins.root, 'links', device);
      while (!existsSync(pin)) await sleep(50); // no call comes meanwhile
      rmSync(pin);
    },
    /not as it should be: attach the entry program/,
  ],
])('CHECK fails when %s, and DEL cleans up', async (_, destroy, message) => {
  const container = await cni.container();
  const result = await cni.add(container);
  const options = { conf: { prevResult: result } };
  expect(await cni.call('CHECK', container, options)).toMatchObject({ status: 0, stdout: '\n' });
  await destroy({ container, result, device: result.interfaces[0].name });
  const { status, json } = await cni.call('CHECK', container, options);
  expect({ status, code: json?.code }).toEqual({ status: 1, code: 102 });
  expect(json.msg).toMatch(message);
  await cni.delete(container);
  if (json.msg.includes('the kernel is not')) {
    // What somebody broke in the kernel itself is made anew by an agent that starts.
    await lab.worker(0).agent.kill();
    await lab.worker(0).agent.start();
  }
  expect(await cni.traces()).toEqual(NOTHING);
});

test('CHECK fails without a result, with that of another, without namespace, and for a stranger', async () => {
  const container = await cni.container();
  const result = await cni.add(container);
  const check = async (conf: object, of = container) => (await cni.call('CHECK', of, { conf })).json;
  expect(await check({})).toMatchObject({ code: 7, msg: expect.stringContaining('prevResult') });
  const ips = [{ ...result.ips[0], address: '10.244.1.99/32' }, result.ips[1]];
  expect(await check({ prevResult: { ...result, ips } })).toMatchObject({
    code: 102,
    msg: expect.stringContaining('prevResult.ips lacks 10.244.1.'),
  });
  expect(await check({ prevResult: { ...result, interfaces: [] } })).toMatchObject({ code: 102 });
  expect(await check({ prevResult: result }, { ...container, id: 'stranger' })).toMatchObject({ code: 3 });
  await deleteNamespace(container.namespace);
  expect(await check({ prevResult: result })).toMatchObject({
    code: 4,
    msg: expect.stringContaining('CNI_NETNS'),
  });
  await cni.delete(container);
  expect(await cni.traces()).toEqual(NOTHING);
});
