// SPDX-License-Identifier: Apache-2.0
/**
 * A bridge whose frames go on to several cubes at once: two more bridges and a router. What it floods reaches each of them
 * as a copy, and what these do with it is carried out.
 *
 *            ┌─ left ── l1
 *   h1 ─ hub ┼─ right ── r1
 *            └─ gateway ── pods
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { DryRun } from '../../src/dataplane/inspection.ts';
import { createPod, type Pod } from '../harness/topology.ts';
import { ethernet, ip, udp } from '../kernel/support/packet.ts';
import { sendFrames, sniff } from './support/frames.ts';
import { podNetwork } from './support/manifests.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(180_000);

const BULK = 9000;
const GATEWAY = { ipv4: '10.9.0.1', ipv6: 'fd09::1' } as const;
const GATEWAY_MAC = '02:c0:be:00:00:01';
const HUB = `${SYSTEM}/hub`;

const hex = (frame: Buffer): string => frame.toString('hex');
const object = (kind: string, name: string, spec: object) => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind,
  metadata: { name, namespace: SYSTEM },
  spec: { nodeName: 'node-a', ...spec },
});
const end = (text: string) => {
  const [cube, port] = text.split('.');
  if (cube === 'pods') return { type: 'Pods' };
  return port === undefined
    ? { type: 'Interface', interface: { name: cube } }
    : { type: 'Cube', cube: { name: cube, port } };
};
const link = (a: string, b: string) =>
  object('CubeLink', b.replaceAll('.', '-'), { endpoints: [end(a), end(b)] });

/** Nothing is learned behind these, so that all that goes there is flooded: segments of TCP too. */
const deaf = (name: string) => ({ name, learning: false });

const hub = (...ports: object[]) => object('Cube', 'hub', { type: 'Bridge', bridge: { ports } });
const FIRST = [
  object('Cube', 'left', { type: 'Bridge', bridge: {} }),
  link('hub.left', 'left.up'),
  link('hub.h1', 'h1'),
  link('left.l1', 'l1'),
];
const OTHERS = [
  object('Cube', 'right', { type: 'Bridge', bridge: {} }),
  object('Cube', 'gateway', {
    type: 'Router',
    ports: [
      { name: 'lan', addresses: [`${GATEWAY.ipv4}/24`, `${GATEWAY.ipv6}/64`] },
      { name: 'pods', addresses: ['10.244.1.1/24', 'fd00:244:0:1::1/64'] },
    ],
    router: {},
  }),
  link('hub.right', 'right.up'),
  link('hub.gateway', 'gateway.lan'),
  link('right.r1', 'r1'),
  link('gateway.pods', 'pods'),
];

const COUNT = 1 + FIRST.length + OTHERS.length;

let lab: OneNode;
let pod: Pod;
const host: Record<string, Host> = {};

function at(name: string): Host {
  const found = host[name];
  if (found === undefined) throw new Error(`no host ${name}`);
  return found;
}

beforeAll(async () => {
  lab = await openOneNode('copies to cubes');
  for (const [i, name] of ['h1', 'l1', 'r1'].entries())
    host[name] = await lab.addHost(name, { number: 11 + i });
  lab.manifests.write('hub.yaml', hub(deaf('gateway'), deaf('right')), ...FIRST);
  lab.manifests.write('others.yaml', ...OTHERS);
  await lab.untilReady(COUNT);
  pod = await createPod(lab.node, { name: 'behind', ...podNetwork(0, 10) });
  await lab.agent.plug(pod);
  for (const { namespace } of lab.hosts) await startBulkServer(namespace, BULK);
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test.each([
      ['h1', 'r1'],
      ['l1', 'r1'],
      ['r1', 'l1'],
      ['r1', 'h1'],
    ])('%s talks to %s', async (from, to) => {
      const { namespace } = at(from);
      const address = at(to)[family];
      expect(await pings(namespace, address)).toBe(3);
      expect(await pings(namespace, address, { size: 4000 })).toBe(3);
      expect(await transfer(namespace, address, BULK, 2_000_000)).toMatchObject({ take: true, give: true });
      expect(await echoDatagram(namespace, address, BULK, 1200)).toMatchObject({ whole: true });
    });

    test.each(['h1', 'l1', 'r1'])('the router answers %s', async (from) => {
      await at(from).namespace.ip('neigh flush dev eth0');
      expect(await pings(at(from).namespace, GATEWAY[family])).toBe(3);
    });

    test('a copy that the router sends on to a pod arrives there; what it wrote into it nobody else sees', async () => {
      const marks = Buffer.from(`for a pod, ${family}, ${offload}`);
      const places = [pod.namespace, at('h1').namespace];
      const sniffers = await Promise.all(
        places.map((place) => sniff(place, 'eth0', { match: [marks], seconds: 60 })),
      );
      const content = udp({ sport: 1, dport: 2, payload: marks });
      const packet = ip({ src: at('l1')[family], dst: pod.addresses[family] ?? '' }, content);
      const frame = ethernet({ src: at('l1').mac, dst: GATEWAY_MAC }, packet);
      await sendFrames(at('l1').namespace, 'eth0', [frame]);
      const [routed, other] = await Promise.all(sniffers.map(async (one) => (await one.frames()).map(hex)));
      expect(other).toEqual([hex(frame)]);
      expect(routed).toHaveLength(1);
      expect(routed).not.toEqual([hex(frame)]);
    });
  });
});

test.each([
  ['h1', ['l1', 'r1']],
  ['l1', ['h1', 'r1']],
])('a broadcast from %s arrives once at each of the others', async (from, others) => {
  const frame = (text: string) =>
    ethernet({ src: at(from).mac, dst: 'ff:ff:ff:ff:ff:ff' }, Buffer.from(`once and for all, ${text}`));
  const sniffers = await Promise.all(
    others.map((name) =>
      sniff(at(name).namespace, 'eth0', { match: [Buffer.from('once and')], count: 2, seconds: 60 }),
    ),
  );
  const frames = [frame('first'), frame('last')];
  await sendFrames(at(from).namespace, 'eth0', frames);
  for (const sniffer of sniffers) expect((await sniffer.frames()).map(String)).toEqual(frames.map(String));
});

test('no copy failed', async () => {
  const events = await lab.counters.events(HUB, 'Bridge');
  expect(events.copies).toBeGreaterThan(0);
  expect(events).not.toHaveProperty('copyFailures');
});

test('a dry run follows each copy, and sends none', async () => {
  const before = await lab.counters.events(HUB, 'Bridge');
  const packet = `icmp ${at('h1').ipv4} > ${at('r1').ipv4}`;
  const args = ['trace', '--dry-run', '--from', 'h1', '--packet', packet, '-o', 'json'];
  const { stdout } = await lab.agent.cli(args);
  const story = JSON.parse(stdout) as DryRun;
  const cubes = story.hops.map(({ cube }) => cube.replace(`${SYSTEM}/`, ''));
  expect(cubes[0]).toBe('hub');
  // The router sends its copy on to the hub, whose copies of it come to the others once more.
  expect(cubes.slice(1).sort()).toEqual(['gateway', 'hub', 'left', 'left', 'right', 'right']);
  expect(story.hops[0]?.outputs).toHaveLength(3);
  // The frame itself goes last, to the first bridge.
  expect(story).toMatchObject({ verdict: 'Sent', to: 'l1' });
  expect(await lab.counters.events(HUB, 'Bridge')).toEqual(before);
});

test('copies go on without an agent', async () => {
  await lab.agent.kill();
  for (const family of FAMILIES) {
    await at('l1').namespace.ip('neigh flush dev eth0');
    expect(await pings(at('l1').namespace, at('r1')[family])).toBe(3);
    expect(await pings(at('l1').namespace, GATEWAY[family])).toBe(3);
  }
  await lab.agent.start();
  await lab.untilReady(COUNT);
});

test('the device of the copies goes with the last cube that needs it', async () => {
  const devices = async () =>
    (await lab.node.namespace.ipJson('link show')).map(({ ifname }) => String(ifname));
  expect(await devices()).toContain('cubecopy0');
  lab.manifests.write('hub.yaml', hub(), ...FIRST);
  lab.manifests.remove('others.yaml');
  for (const deadline = Date.now() + 60_000; (await devices()).includes('cubecopy0'); await sleep(100))
    if (Date.now() > deadline) throw new Error('the device is still there');
  await lab.untilReady(1 + FIRST.length);
  expect(await pings(at('h1').namespace, at('l1').ipv4)).toBe(3);
});
