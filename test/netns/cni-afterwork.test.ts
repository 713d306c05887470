// SPDX-License-Identifier: Apache-2.0
/** What ADD and DEL leave to the agent for later: until it is done, and where the agent is killed before. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { observe } from '../../src/dataplane/kernel/observe.ts';
import { ROOT } from '../harness/checkout.ts';
import type { Namespace } from '../harness/netns.ts';
import { until } from '../harness/until.ts';
import { GATEWAY_MAC } from '../kernel/support/bytes.ts';
import { echo, ethernet, ip } from '../kernel/support/packet.ts';
import {
  type Answer,
  addressesOf,
  CniRuntime,
  type Container,
  cniFlags,
  NOTHING,
  ping,
} from './support/cni.ts';
import { sendFrames } from './support/frames.ts';
import { difference, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(180_000);

/** A program that does nothing. */
const EMPTY = join(ROOT, 'build/bpf/calibrate.o');

let lab: TwoNodes;
let cni: CniRuntime;
let node: Namespace;

beforeAll(async () => {
  lab = await openTwoNodes('cni afterwork test', { nodes: 1, flagsOf: cniFlags });
  cni = new CniRuntime(lab.worker(0));
  node = lab.worker(0).node.namespace;
});
afterEach(async () => {
  // One that fails leaves nothing to the others.
  await cni.gc([]);
});
afterAll(async () => {
  await lab?.close();
});

const nodeEnd = (result: Answer['json']): string => result.interfaces[0].name;

/** How the entry program sits at the node's end of a pod. */
async function attached(device: string): Promise<'filter' | 'link' | 'both' | 'not'> {
  const [link] = await node.ipJson(`link show ${device}`);
  const { links } = await observe(lab.worker(0).counters.pins);
  const isLinked = [...links.values()].some(({ ifindex }) => ifindex === link?.ifindex);
  const { stdout } = await node.exec(['tc', 'filter', 'show', 'dev', device, 'ingress']);
  const isFiltered = stdout.includes('cubeplane');
  if (isLinked) return isFiltered ? 'both' : 'link';
  return isFiltered ? 'filter' : 'not';
}

interface Found {
  readonly findings: readonly {
    readonly reason: string;
    readonly object: string;
    readonly message: string;
  }[];
}

/** Programs of somebody else, as `cubeplane migrate check` sees them. */
async function foreignPrograms(): Promise<string[]> {
  const { stdout } = await lab
    .worker(0)
    .agent.cli(['migrate', 'check', '--offline', '-o', 'json'], { anyStatus: true });
  const { findings } = JSON.parse(stdout) as Found;
  return findings
    .filter(({ reason }) => reason === 'ForeignProgram')
    .map(({ object, message }) => `${object}: ${message}`);
}

const namesIn = async ({ namespace }: Container): Promise<string[]> =>
  (await namespace.ipJson('link show')).map(({ ifname }) => String(ifname)).sort();

test('the filter of a new pod is no program of somebody else; one of somebody else is', async () => {
  const device = nodeEnd(await cni.add(await cni.container()));
  const found = foreignPrograms();
  expect(await attached(device)).toBe('filter');
  expect(await found).toEqual([]);
  // with an object file tc makes folders in the BPF file system, and leaves them: in one of its own
  const own = 'mount -t bpf bpf /sys/fs/bpf && exec tc "$@"';
  const tc = async (...args: string[]) =>
    await node.exec(['unshare', '--mount', 'sh', '-c', own, 'tc', ...args]);
  await tc('qdisc', 'add', 'dev', 'eth0', 'clsact');
  try {
    for (const direction of ['ingress', 'egress'])
      await tc(
        ...['filter', 'add', 'dev', 'eth0', direction, 'bpf', 'da', 'object-file', EMPTY, 'section', 'tc'],
      );
    expect(await foreignPrograms()).toEqual(
      ['ingress', 'egress'].map((direction) => expect.stringContaining(`:[tc] at tc ${direction} sees`)),
    );
  } finally {
    await tc('qdisc', 'delete', 'dev', 'eth0', 'clsact');
  }
});

test('a new pod is under the chain at once, by a filter, and by a link later; nothing is lost in between', async () => {
  const [one, two] = [await cni.container(), await cni.container()];
  const first = await cni.add(one);
  const second = await cni.add(two);
  expect(await attached(nodeEnd(second))).toBe('filter');
  const [to = ''] = addressesOf(second);
  // It sends as another one already.
  const { entry: before } = await lab.drops(0);
  const packet = ip({ src: '10.244.1.99', dst: to }, echo({ id: 1, sequence: 1 }));
  const src = first.interfaces[1].mac;
  await sendFrames(one.namespace, 'eth0', [ethernet({ src, dst: GATEWAY_MAC }, packet)]);
  await until('a spoofed packet is counted', async () => {
    const { SpoofedSource = 0 } = difference(before, (await lab.drops(0)).entry);
    return SpoofedSource === 1;
  });
  const pings = one.namespace.exec(['ping', '-n', '-q', '-i', '0.01', '-c', '400', '-W', '2', to]);
  await until('both have a link', async () => {
    const ways = await Promise.all([first, second].map((result) => attached(nodeEnd(result))));
    return ways.every((way) => way === 'link');
  });
  expect((await pings).stdout).toContain('400 received');
  const { stdout } = await node.exec(['tc', 'qdisc', 'show', 'dev', nodeEnd(first)]);
  expect(stdout).not.toContain('clsact');
  for (const [container, result] of [
    [one, first],
    [two, second],
  ] as const)
    expect(await cni.call('CHECK', container, { conf: { prevResult: result } })).toMatchObject({ status: 0 });
  for (const container of [one, two]) await cni.delete(container);
  expect(await cni.traces()).toEqual(NOTHING);
});

/** Packets that came in at an interface of the node; undefined: it is gone. */
async function receivedAt(device: string): Promise<number | undefined> {
  const links = await node.ipJson('-s link show');
  const link = links.find(({ ifname }) => ifname === device) as { stats64?: { rx: { packets: number } } };
  return link?.stats64?.rx.packets;
}

test.each([
  ['new', false],
  ['old enough to have its link', true],
])('after DEL of a pod that is %s nothing of it works, and all of it goes', async (_, isSettled) => {
  const [one, two] = [await cni.container(), await cni.container()];
  const [to = ''] = addressesOf(await cni.add(two));
  const result = await cni.add(one);
  const device = nodeEnd(result);
  if (isSettled) await until('it has its link', async () => (await attached(device)) === 'link');
  // Calls keep the agent from deleting it meanwhile.
  let isOver = false;
  const calls = ['nobody', 'noone', 'none'].map(async (id) => {
    while (!isOver) await cni.call('DEL', { ...two, id });
  });
  try {
    await cni.delete(one);
    expect(await namesIn(one)).not.toContain('eth0');
    const left = (await node.ipJson('link show')).find(({ ifname }) => ifname === device);
    if (left !== undefined) {
      expect(left.flags).not.toContain('UP');
      // Also for whoever in the container puts it into use again.
      const received = await receivedAt(device);
      const name = `cx${device.slice(2)}`;
      await one.namespace.exec(['ip', 'link', 'set', name, 'up'], { anyStatus: true });
      const packet = ip({ src: addressesOf(result)[0] ?? '', dst: to }, echo({ id: 1, sequence: 1 }));
      const frame = ethernet({ src: result.interfaces[1].mac, dst: GATEWAY_MAC }, packet);
      await sendFrames(one.namespace, name, [frame]).catch(() => {}); // it may be gone since
      expect([received, undefined]).toContain(await receivedAt(device));
    }
    expect((await cni.call('CHECK', one, { conf: { prevResult: result } })).json).toMatchObject({ code: 3 });
  } finally {
    isOver = true;
    await Promise.all(calls);
  }
  await cni.delete(two);
  expect(await cni.traces()).toEqual(NOTHING);
  expect(await namesIn(one)).toEqual(['lo']);
  await until('no pin of it is left', async () => {
    return !(await observe(lab.worker(0).counters.pins)).links.has(device);
  });
});

test('the same container again at once, and another one in its namespace', async () => {
  const container = await cni.container();
  const [to = ''] = addressesOf(await cni.add(await cni.container()));
  for (let i = 0; i < 6; i++) {
    const again = i % 2 === 0 ? container : { ...container, id: `${container.id}-${i}` };
    const result = await cni.add(again);
    expect(await ping(container.namespace, to, 1)).toBe(1);
    expect(await cni.call('CHECK', again, { conf: { prevResult: result } })).toMatchObject({ status: 0 });
    await cni.delete(again);
  }
  await cni.gc([]);
  expect(await cni.traces()).toEqual(NOTHING);
  expect(await namesIn(container)).toEqual(['lo']);
});

test('a pod’s end that was moved elsewhere goes with DEL', async () => {
  const [one, other] = [await cni.container(), await cni.container()];
  await cni.add(one);
  await one.namespace.exec(['ip', 'link', 'set', 'eth0', 'netns', other.namespace.path]);
  await cni.delete(one);
  expect(await namesIn(other)).toEqual(['lo']);
  expect(await cni.traces()).toEqual(NOTHING);
});

test('twenty DELs at once', async () => {
  const containers = await Promise.all(Array.from({ length: 20 }, () => cni.container()));
  await Promise.all(containers.map((container) => cni.add(container)));
  await Promise.all(containers.map((container) => cni.delete(container)));
  for (const container of containers) expect(await namesIn(container)).not.toContain('eth0');
  expect(await cni.traces()).toEqual(NOTHING);
});

test('an agent that is killed right after ADDs and DELs: the next one gives links, and leaves nothing', async () => {
  const { agent } = lab.worker(0);
  const [stays, goes] = [await cni.container(), await cni.container()];
  const result = await cni.add(stays);
  await cni.add(goes);
  await cni.delete(goes);
  await agent.kill();
  // Pods do not notice.
  expect(await attached(nodeEnd(result))).toBe('filter');
  await agent.start();
  expect(await cni.traces()).toMatchObject({ leases: 1, pods: 1, devices: [nodeEnd(result)] });
  expect(await attached(nodeEnd(result))).toBe('link');
  expect(await namesIn(goes)).toEqual(['lo']);
  expect(await cni.call('CHECK', stays, { conf: { prevResult: result } })).toMatchObject({ status: 0 });
  await cni.delete(stays);
  await agent.stop();
  // One that ends does the rest itself.
  expect(await namesIn(stays)).toEqual(['lo']);
  await agent.start();
  expect(await cni.traces()).toEqual(NOTHING);
});

test('down leaves nothing of new pods, nor of those that have gone', async () => {
  const { agent } = lab.worker(0);
  const [stays, goes] = [await cni.container(), await cni.container()];
  const before = (await node.ipJson('link show')).map(({ ifname }) => String(ifname));
  await cni.add(stays);
  await cni.add(goes);
  await cni.delete(goes);
  await agent.kill();
  await agent.down();
  const after = (await node.ipJson('link show')).map(({ ifname }) => String(ifname));
  expect(after.filter((name) => !before.includes(name))).toEqual([]);
  for (const container of [stays, goes]) expect(await namesIn(container)).toEqual(['lo']);
  await agent.start();
});
