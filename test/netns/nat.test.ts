// SPDX-License-Identifier: Apache-2.0
/** samples/nat.yaml with real sockets: pods behind outside addresses, ports that lead to a pod, and pods that use these. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Agent } from '../harness/cubeplane.ts';
import { openLab } from '../harness/lab.ts';
import type { Namespace } from '../harness/netns.ts';
import {
  createMachine,
  createNodes,
  createUnderlay,
  type Machine,
  type Pod,
  setUnderlayOffload,
} from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { Counters } from './support/counters.ts';
import { Manifests, nodeObject } from './support/manifests.ts';
import { BULK, CLOSED, PORT, TARGET } from './support/services.ts';
import {
  connectTcp,
  echoDatagram,
  holdConnections,
  sendUdp,
  startBulkServer,
  transfer,
} from './support/sockets.ts';
import { difference, FAMILIES, SYSTEM, TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

type Family = (typeof FAMILIES)[number];

const SAMPLE = new URL('../../samples/nat.yaml', import.meta.url).pathname;
/** Of the NAT, as the sample says. */
const OWN = { ipv4: '198.51.100.10', ipv6: '2001:db8::10' } as const;
/** The next hop, which is on the same wire, and an address behind it. */
const HOP = { ipv4: '198.51.100.1', ipv6: '2001:db8::1' } as const;
const BEHIND = { ipv4: '203.0.113.5', ipv6: '2001:db8:5::5' } as const;
const NAT = `${SYSTEM}/nat`;

let lab: TwoNodes;
let outside: Machine;
let client: Pod;
let server: Pod;

async function openNat(): Promise<TwoNodes> {
  const one = await openLab('nat');
  try {
    const underlay = await createUnderlay(one);
    const nodes = await createNodes(underlay, ['node-a']);
    const manifests = new Manifests(join(one.directory, 'manifests'));
    manifests.writeText('nat.yaml', readFileSync(SAMPLE, 'utf8'));
    manifests.write('nodes.yaml', ...nodes.map(nodeObject));
    const workers = nodes.map((node, index) => {
      const agent = new Agent(node, { manifests: manifests.directory });
      return { index, node, agent, counters: new Counters(agent.bpffs, node.name) };
    });
    for (const { agent } of workers) await agent.start();
    const opened = new TwoNodes(one, underlay, manifests, workers);
    await opened.untilReady();
    return opened;
  } catch (error) {
    await one.close();
    throw error;
  }
}

beforeAll(async () => {
  lab = await openNat();
  client = await lab.addPod(0, 'client', 10);
  server = await lab.addPod(0, 'server', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  await outside.namespace.ip(
    'link set lo up',
    `address add ${HOP.ipv4}/24 dev eth0`,
    `address add ${HOP.ipv6}/64 dev eth0 nodad`,
    `address add ${BEHIND.ipv4}/32 dev lo`,
    `address add ${BEHIND.ipv6}/128 dev lo`,
  );
  await startServer(outside.namespace, 'outside', TARGET);
  await startServer(server.namespace, 'server', TARGET);
  for (const namespace of [outside.namespace, server.namespace]) await startBulkServer(namespace, BULK);
});
afterAll(async () => {
  await lab?.close();
});

const address = (pod: Pod, family: Family): string => pod.addresses[family] ?? '';

async function ping(from: Namespace, to: string, ...args: string[]): Promise<string> {
  const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '5', ...args, to];
  return (await from.exec(argv, { anyStatus: true })).stdout;
}

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
    await setUnderlayOffload(outside, offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test.each([
      ['TCP', false],
      ['UDP', true],
    ])('a pod asks outside servers over %s, which see the outside address', async (_, udp) => {
      // a server behind the next hop would answer a datagram from the nearest of its addresses
      for (const to of udp ? [HOP[family]] : [HOP[family], BEHIND[family]]) {
        const report = await ask(client.namespace, to, TARGET, { count: 40, udp });
        expect(report).toMatchObject({ failures: [], by: { outside: 40 }, seenAs: OWN[family] });
      }
    });

    test('24 MB each way arrive unchanged, in large segments where the card cuts them', async () => {
      const ports = async () => (await lab.worker(0).counters.ports(NAT))[1];
      const before = await ports();
      const report = await transfer(client.namespace, BEHIND[family], BULK, 24_000_000);
      expect(report).toMatchObject({ take: true, give: true });
      const after = await ports();
      const mean =
        ((after?.rxBytes ?? 0) - (before?.rxBytes ?? 0)) /
        ((after?.rxPackets ?? 0) - (before?.rxPackets ?? 0));
      if (offload) expect(mean).toBeGreaterThan(1500);
      else expect(mean).toBeLessThan(1500);
    });

    test('datagrams in fragments and echo cross, both ways', async () => {
      expect(await echoDatagram(client.namespace, HOP[family], BULK, 4_000)).toMatchObject({
        whole: true,
      });
      expect(await echoDatagram(outside.namespace, OWN[family], BULK, 4_000)).toMatchObject({ whole: true });
      expect(await ping(client.namespace, BEHIND[family])).toMatch(/ 0% packet loss/);
      expect(await ping(client.namespace, BEHIND[family], '-s', '3000')).toMatch(/ 0% packet loss/);
    });

    test('a closed port outside is refused: the RST and the ICMP error find the pod', async () => {
      for (const attempt of [connectTcp, sendUdp])
        expect(await attempt(client.namespace, BEHIND[family], CLOSED)).toMatchObject({
          error: 'ECONNREFUSED',
        });
    });

    test('a forwarded port reaches its pod, which sees the client', async () => {
      for (const udp of [false, true]) {
        const report = await ask(outside.namespace, OWN[family], PORT, { count: 40, udp });
        expect(report).toMatchObject({ failures: [], by: { server: 40 }, seenAs: HOP[family] });
      }
      expect(await transfer(outside.namespace, OWN[family], BULK, 8_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      // nobody listens on the last port of the range: the error of the pod is translated back
      for (const attempt of [connectTcp, sendUdp])
        expect(await attempt(outside.namespace, OWN[family], 9009)).toMatchObject({ error: 'ECONNREFUSED' });
    });

    test('a pod reaches another one, and itself, by the outside address', async () => {
      for (const pod of [client, server]) {
        for (const udp of [false, true]) {
          const report = await ask(pod.namespace, OWN[family], PORT, { count: 20, udp });
          expect(report).toMatchObject({ failures: [], by: { server: 20 }, seenAs: OWN[family] });
        }
        expect(await transfer(pod.namespace, OWN[family], BULK, 4_000_000)).toMatchObject({
          take: true,
          give: true,
        });
      }
    });

    test('pods speak to each other, and the node to its neighbour, as themselves', async () => {
      const report = await ask(client.namespace, address(server, family), TARGET, { count: 20 });
      expect(report).toMatchObject({ failures: [], seenAs: address(client, family) });
      const { node } = lab.worker(0);
      const own = await ask(node.namespace, outside.addresses[family], TARGET, { count: 20 });
      expect(own).toMatchObject({ failures: [], seenAs: node.addresses[family] });
    });

    test('other ports of the outside address are closed to everybody, and counted', async () => {
      const { counters } = lab.worker(0);
      const before = await counters.cube(NAT, 'Nat');
      expect(await sendUdp(outside.namespace, OWN[family], 81)).toMatchObject({ error: 'timed out' });
      const after = await counters.cube(NAT, 'Nat');
      expect(difference(before, after)).toEqual({ NoMapping: 1 });
    });
  });
});

test('nothing was refused for want of ports or sessions', async () => {
  const { PortsExhausted, SessionTableFull, ReverseConflict, NotTranslatable } = await lab
    .worker(0)
    .counters.cube(NAT, 'Nat');
  expect({ PortsExhausted, SessionTableFull, ReverseConflict, NotTranslatable }).toEqual({});
});

test('sessions outlive a change of the rules and the agent', async () => {
  const { agent } = lab.worker(0);
  const held = await holdConnections(client.namespace, BEHIND.ipv4, TARGET, 20);
  const text = readFileSync(SAMPLE, 'utf8');
  lab.manifests.writeText(
    'nat.yaml',
    text.replace('{protocol: TCP, port: 80, target', '{protocol: TCP, port: 8888, target'),
  );
  for (const deadline = Date.now() + 30_000; ; ) {
    const { error } = await connectTcp(outside.namespace, OWN.ipv4, 8888);
    if (error === null) break;
    if (Date.now() > deadline) throw new Error(`the new rule is not in force: ${error}`);
  }
  await agent.kill();
  expect(await held.check()).toEqual({ alive: 20, errors: {} });
  await agent.start();
  await lab.untilReady();
  expect((await ask(client.namespace, BEHIND.ipv4, TARGET, { count: 20 })).failures).toEqual([]);
});
