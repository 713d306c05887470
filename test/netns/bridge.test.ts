// SPDX-License-Identifier: Apache-2.0
/**
 * samples/bridge.yaml with hosts on its interfaces: they talk as on two switches joined by a trunk, and see nothing of
 * the other VLAN; a thousand addresses move between ports; thirty-three ports take a broadcast.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { readStatuses } from '../../src/dataplane/sources/manifests/status-files.ts';
import { connect, createNamespace } from '../harness/netns.ts';
import { macBytes } from '../kernel/support/bytes.ts';
import { arp, echo, ethernet, ip } from '../kernel/support/packet.ts';
import { sendFrames, sniff } from './support/frames.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { conditionOf, FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const BULK = 9000;
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const SAMPLE = new URL('../../samples/bridge.yaml', import.meta.url).pathname;
const FLOOR1 = `${SYSTEM}/floor1`;
const FLOOR2 = `${SYSTEM}/floor2`;

let lab: OneNode;
const host: Record<string, Host> = {};

function at(name: string): Host {
  const found = host[name];
  if (found === undefined) throw new Error(`no host ${name}`);
  return found;
}

beforeAll(async () => {
  lab = await openOneNode('bridge test');
  const names = ['office1', 'printer', 'guest1', 'office2', 'guest2', 'building'];
  for (const [i, name] of names.entries()) {
    const mac = name === 'printer' ? { mac: '02:00:5e:00:10:02' } : {};
    host[name] = await lab.addHost(name, { number: 11 + i, ...mac });
  }
  lab.manifests.writeText('bridge.yaml', readFileSync(SAMPLE, 'utf8'));
  await lab.untilReady(9);
  for (const name of ['office1', 'office2', 'printer']) await startBulkServer(at(name).namespace, BULK);
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
      ['on one floor', 'office1', 'printer'],
      ['on two floors', 'office1', 'office2'],
      ['back', 'office2', 'printer'],
    ])('hosts of a VLAN talk: %s', async (_, from, to) => {
      const { namespace } = at(from);
      const address = at(to)[family];
      expect(await pings(namespace, address)).toBe(3);
      expect(await pings(namespace, address, { size: 4000 })).toBe(3);
      expect(await transfer(namespace, address, BULK, 2_000_000)).toMatchObject({ take: true, give: true });
      expect(await echoDatagram(namespace, address, BULK, 1200)).toMatchObject({ whole: true });
    });
  });
});

test('another VLAN is another network, and isolated ports are apart across the trunk too', async () => {
  expect(await pings(at('office1').namespace, at('guest1').ipv4)).toBe(0);
  expect(await pings(at('office1').namespace, at('guest2').ipv6)).toBe(0);
  // Only on one bridge: what comes by the trunk is from no isolated port.
  expect(await pings(at('guest1').namespace, at('guest2').ipv4)).toBe(3);
});

test('a broadcast arrives once at each port of its VLAN, tagged on the wire to the building, and nowhere else', async () => {
  const frame = (vlan?: number, which = '') =>
    ethernet(
      { src: '02:00:5e:00:99:01', dst: BROADCAST, ...(vlan === undefined ? {} : { vlan }) },
      Buffer.from(`a broadcast that nobody else sends${which}`),
    );
  const match = [Buffer.from('a broadcast that nobody else sends')];
  const names = ['printer', 'guest1', 'office2', 'guest2', 'building'];
  const sniffers = await Promise.all(
    names.map((name) => sniff(at(name).namespace, 'eth0', { match, count: 10, seconds: 30 })),
  );
  await sendFrames(at('office1').namespace, 'eth0', [frame()]);
  await sendFrames(at('guest2').namespace, 'eth0', [frame()]);
  await sendFrames(at('building').namespace, 'eth0', [frame(10), frame(30), frame()]);
  const drops = async () => (await lab.counters.cube(FLOOR2, 'Bridge')).VlanNotAllowed ?? 0;
  for (const deadline = Date.now() + 30_000; (await drops()) < 2; await sleep(50))
    if (Date.now() > deadline) throw new Error('the frames without a place were not dropped');
  // What comes last is behind everything else, at each of them.
  const last = Buffer.from(', the last one');
  await sendFrames(at('building').namespace, 'eth0', [frame(10, String(last)), frame(20, String(last))]);
  await sendFrames(at('office1').namespace, 'eth0', [frame(undefined, String(last))]);
  await Promise.all(sniffers.map((sniffer) => sniffer.until(last)));
  for (const sniffer of sniffers) await sniffer.stop();
  const seen = await Promise.all(
    sniffers.map(async (sniffer) =>
      (await sniffer.frames()).filter((bytes) => !bytes.includes(last)).map(String),
    ),
  );
  const [untagged, ten, twenty] = [frame(), frame(10), frame(20)].map(String);
  expect(Object.fromEntries(names.map((name, i) => [name, seen[i]]))).toEqual({
    printer: [untagged, untagged],
    guest1: [untagged],
    office2: [untagged, untagged],
    guest2: [],
    building: [ten, twenty],
  });
});

test('a host behind the tagged wire talks to one of an access port', async () => {
  const office = at('office1');
  const mac = '02:00:5e:00:99:02';
  await office.namespace.ip(`neigh replace 10.9.0.77 lladdr ${mac} dev eth0`);
  const answers = await sniff(at('building').namespace, 'eth0', {
    match: [Buffer.concat([macBytes(mac), macBytes(office.mac)])],
    seconds: 30,
  });
  const request = ip({ src: '10.9.0.77', dst: office.ipv4 }, echo({ id: 0x7777 }));
  await sendFrames(at('building').namespace, 'eth0', [
    ethernet({ src: mac, dst: office.mac, vlan: 10 }, request),
  ]);
  const [answer] = await answers.frames();
  // The tag with its VLAN, then IPv4.
  expect(answer?.subarray(12, 18).toString('hex')).toBe('8100000a0800');
});

describe('a thousand addresses', () => {
  const macs = Array.from(
    { length: 1000 },
    (_, i) =>
      `02:00:5f:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`,
  );
  const PROOF = Buffer.from('for a host that has moved');

  test.each([
    ['office2', FLOOR2],
    ['office1', FLOOR1],
    ['office2', FLOOR2],
  ])('move to %s, and each frame for them arrives there', async (place) => {
    // To one address: 1,000 broadcasts are what storm control is there for.
    const { namespace } = at(place);
    await sendFrames(
      namespace,
      'eth0',
      macs.map((src) => ethernet({ src, dst: at('printer').mac }, Buffer.from('here I am'))),
    );
    const before = [await lab.counters.events(FLOOR1, 'Bridge'), await lab.counters.events(FLOOR2, 'Bridge')];
    const sniffer = await sniff(namespace, 'eth0', { match: [PROOF], count: macs.length, seconds: 60 });
    await sendFrames(
      at('printer').namespace,
      'eth0',
      macs.map((dst) => ethernet({ src: at('printer').mac, dst }, PROOF)),
    );
    const arrived = (await sniffer.frames()).map((frame) => frame.subarray(0, 6).toString('hex'));
    expect(arrived.sort()).toEqual(macs.map((mac) => macBytes(mac).toString('hex')).sort());
    const after = [await lab.counters.events(FLOOR1, 'Bridge'), await lab.counters.events(FLOOR2, 'Bridge')];
    expect(after.map(({ flooded }) => flooded)).toEqual(before.map(({ flooded }) => flooded));
  });

  test('while frames for them are under way none is lost', async () => {
    const rounds = 5;
    const receivers = await Promise.all(
      ['office1', 'office2'].map((name) =>
        sniff(at(name).namespace, 'eth0', { match: [PROOF], count: macs.length * rounds, seconds: 40 }),
      ),
    );
    const here = macs.map((src) => ethernet({ src, dst: at('printer').mac }, Buffer.from('here I am')));
    const traffic = (async () => {
      for (let round = 0; round < rounds; round++)
        await sendFrames(
          at('printer').namespace,
          'eth0',
          macs.map((dst) => ethernet({ src: at('printer').mac, dst }, PROOF)),
        );
    })();
    const moves = (async () => {
      for (let round = 0; round < rounds; round++)
        await sendFrames(at(round % 2 === 0 ? 'office1' : 'office2').namespace, 'eth0', here);
    })();
    await Promise.all([traffic, moves]);
    const arrived = async () =>
      (await Promise.all(receivers.map((receiver) => receiver.count()))).reduce((sum, count) => sum + count);
    for (const deadline = Date.now() + 30_000; (await arrived()) < macs.length * rounds; await sleep(50))
      if (Date.now() > deadline) break;
    for (const receiver of receivers) await receiver.stop();
    expect(await arrived()).toBe(macs.length * rounds);
    expect((await lab.counters.cube(FLOOR1, 'Bridge')).StormControl ?? 0).toBe(0);
  });
});

test('a second wire between the bridges is refused, and nothing changes', async () => {
  const before = await lab.counters.ports(FLOOR1);
  lab.manifests.write('loop.yaml', {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'CubeLink',
    metadata: { name: 'second', namespace: SYSTEM },
    spec: {
      nodeName: 'node-a',
      endpoints: [
        { type: 'Cube', cube: { name: 'floor1', port: 'second' } },
        { type: 'Cube', cube: { name: 'floor2', port: 'second' } },
      ],
    },
  });
  const accepted = async () => {
    const statuses = await readStatuses(lab.agent.stateDir, 'node-a');
    const link = [...statuses.values()].find(({ metadata }) => metadata.name === 'second');
    return conditionOf(link?.status ?? {}, 'Accepted');
  };
  for (const deadline = Date.now() + 15_000; (await accepted())?.status !== 'False'; await sleep(50))
    if (Date.now() > deadline) throw new Error('the link is not refused');
  expect(await accepted()).toMatchObject({
    reason: 'LinkCycle',
    message: expect.stringContaining('a broadcast would go round for ever') as unknown,
  });
  expect(await pings(at('office1').namespace, at('office2').ipv4)).toBe(3);
  expect((await lab.counters.ports(FLOOR1)).length).toBe(before.length);
  lab.manifests.remove('loop.yaml');
  await lab.untilReady(9);
});

test('a broadcast from one of thirty-three ports reaches all others', async () => {
  const count = 33;
  const crowd = await createNamespace(lab.lab, 'crowd');
  await crowd.sysctl({ 'net.ipv6.conf.default.disable_ipv6': 1 });
  const links: object[] = [];
  for (let i = 0; i < count; i++) {
    const device = `crowd${i}`;
    await connect({ namespace: crowd, device: `eth${i}` }, { namespace: lab.node.namespace, device });
    links.push({
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'CubeLink',
      metadata: { name: device, namespace: SYSTEM },
      spec: {
        nodeName: 'node-a',
        endpoints: [
          { type: 'Cube', cube: { name: 'crowd', port: `p${i}` } },
          { type: 'Interface', interface: { name: device } },
        ],
      },
    });
  }
  const cube = {
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'crowd', namespace: SYSTEM },
    spec: { nodeName: 'node-a', type: 'Bridge', bridge: {} },
  };
  lab.manifests.write('crowd.yaml', cube, ...links);
  await lab.untilReady(9 + 1 + count);
  const marks = Buffer.from('one for all');
  const sniffers = await Promise.all(
    [1, 17, 32].map((i) => sniff(crowd, `eth${i}`, { match: [marks], seconds: 30 })),
  );
  const frame = ethernet(
    { src: '02:00:5e:00:99:03', dst: BROADCAST },
    arp({ operation: 1, senderMac: '02:00:5e:00:99:03', sender: '10.9.0.90', target: '10.9.0.91' }),
  );
  await sendFrames(crowd, 'eth0', [Buffer.concat([frame, marks])]);
  for (const sniffer of sniffers) expect(await sniffer.frames()).toHaveLength(1);
  const events = await lab.counters.events(`${SYSTEM}/crowd`, 'Bridge');
  expect(events).toMatchObject({ flooded: 1, copies: count - 2 });
  expect(events).not.toHaveProperty('copyFailures');
});
