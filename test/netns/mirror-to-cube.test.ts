// SPDX-License-Identifier: Apache-2.0
/** Copies that a mirror gives to a cube: a forwarder sorts them, pings to one who watches and the rest to another one. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { sniff } from './support/frames.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const PORT = 8080;

let lab: OneNode;
let client: Host;
let server: Host;
let probes: { pings: Host; rest: Host };

const cube = (name: string, type: string, spec: object) => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'Cube',
  metadata: { name, namespace: SYSTEM },
  spec: { nodeName: 'node-a', type, ...spec },
});
const link = (name: string, ...ends: string[]) => ({
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'CubeLink',
  metadata: { name, namespace: SYSTEM },
  spec: {
    nodeName: 'node-a',
    endpoints: ends.map((end) => {
      const [cubeName, port] = end.split('/');
      return port === undefined
        ? { type: 'Interface', interface: { name: cubeName } }
        : { type: 'Cube', cube: { name: cubeName, port } };
    }),
  },
});

beforeAll(async () => {
  lab = await openOneNode('mirror to cube test');
  client = await lab.addHost('client', { number: 11 });
  server = await lab.addHost('server', { number: 12 });
  probes = {
    pings: await lab.addHost('pings', { number: 13 }),
    rest: await lab.addHost('rest', { number: 14 }),
  };
  await startBulkServer(server.namespace, PORT);
  const toPings = { type: 'Output', output: { port: 'pings' } };
  const documents = [
    cube('tap', 'Mirror', { mirror: { rules: [{ port: 'copies' }] } }),
    cube('sorter', 'Forwarder', {
      forwarder: {
        rules: [
          { name: 'ping', protocols: ['ICMP'], action: toPings },
          { name: 'ping6', protocols: ['ICMPv6'], action: toPings },
        ],
        defaultAction: { type: 'Output', output: { port: 'rest' } },
      },
    }),
    link('client', 'client', 'tap/outside'),
    link('server', 'tap/inside', 'server'),
    link('copies', 'tap/copies', 'sorter/copies'),
    link('pings', 'sorter/pings', 'pings'),
    link('rest', 'sorter/rest', 'rest'),
  ];
  lab.manifests.writeText('tap.yaml', documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  await lab.untilReady(7);
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  test.each(FAMILIES)(
    '%s: client and server notice nothing, and the cube gets each packet',
    async (family) => {
      const before = await lab.counters.events(`${SYSTEM}/tap`, 'Mirror');
      const received = async () => (await lab.counters.ports(`${SYSTEM}/sorter`))[0]?.rxPackets ?? 0;
      const sorted = await received();
      expect(await transfer(client.namespace, server[family], PORT, 3_000_000)).toMatchObject({
        take: true,
        give: true,
      });
      expect(await echoDatagram(client.namespace, server[family], PORT, 1200)).toMatchObject({ whole: true });
      expect(await pings(client.namespace, server[family], { size: 3000 })).toBe(3);
      const after = await lab.counters.events(`${SYSTEM}/tap`, 'Mirror');
      expect(after.copyFailures).toBe(before.copyFailures);
      const copies = (after.copies ?? 0) - (before.copies ?? 0);
      expect(copies).toBeGreaterThan(100);
      expect((await received()) - sorted).toBeGreaterThanOrEqual(copies);
    },
  );

  test.each(FAMILIES)(
    '%s: a ping is with who watches pings, whole, and not with the other one',
    async (family) => {
      const pattern = Buffer.from('a ping to a cube');
      const [atPings, atRest] = await Promise.all([
        sniff(probes.pings.namespace, 'eth0', { match: [pattern], count: 4, seconds: 30 }),
        sniff(probes.rest.namespace, 'eth0', { match: [pattern], seconds: 2 }),
      ]);
      const ping = ['ping', '-n', '-c', '2', '-i', '0.05', '-W', '2', '-p', pattern.toString('hex')];
      expect((await client.namespace.exec([...ping, server[family]])).stdout).toContain('2 received');
      expect(await atPings.frames()).toHaveLength(4);
      expect(await atRest.frames()).toEqual([]);
    },
  );
});

test('the device of the copies goes with the mirror that needs it', async () => {
  const devices = async () =>
    (await lab.node.namespace.ipJson('link show'))
      .map(({ ifname }) => String(ifname))
      .filter((name) => /^cubecopy/.test(name));
  expect(await devices()).not.toEqual([]);
  lab.manifests.remove('tap.yaml');
  for (const deadline = Date.now() + 30_000; (await devices()).length > 0; )
    if (Date.now() > deadline) throw new Error('the device is still there');
});
