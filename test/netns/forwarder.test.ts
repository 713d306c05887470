// SPDX-License-Identifier: Apache-2.0
/** samples/forwarder.yaml: two servers with the same addresses, and the rules say which of them a client talks to. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { ask, startServer } from '../harness/traffic.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { connectTcp, echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const SAMPLE = new URL('../../samples/forwarder.yaml', import.meta.url).pathname;
const POLICY = `${SYSTEM}/policy`;
/** Ports of the cube, in the order of their names. */
const [FAST, SLOW] = [1, 2];

let lab: OneNode;
let client: Host;
let server: Host;

beforeAll(async () => {
  lab = await openOneNode('forwarder test');
  client = await lab.addHost('client', { number: 11 });
  for (const name of ['fast', 'slow']) {
    server = await lab.addHost(name, { number: 20, mac: '02:00:5e:00:20:20' });
    // The client's answer to ARP takes the slow way, whoever asked.
    for (const address of [client.ipv4, client.ipv6])
      await server.namespace.ip(`neigh replace ${address} lladdr ${client.mac} dev eth0`);
    for (const port of [8080, 9090]) await startServer(server.namespace, name, port);
    for (const port of [8081, 9091, 23]) await startBulkServer(server.namespace, port);
  }
  lab.manifests.writeText('forwarder.yaml', readFileSync(SAMPLE, 'utf8'));
  await lab.untilReady(4);
});
afterAll(async () => {
  await lab?.close();
});

const sent = async (port: number) => (await lab.counters.ports(POLICY))[port]?.txPackets ?? 0;

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test.each([
      ['fast', 8080, 8081],
      ['slow', 9090, 9091],
    ])('a rule, or the default, leads to %s', async (name, small, bulk) => {
      for (const udp of [false, true]) {
        const { failures, by } = await ask(client.namespace, server[family], small, { udp });
        expect({ failures, backends: Object.keys(by) }).toEqual({ failures: [], backends: [name] });
      }
      const report = await transfer(client.namespace, server[family], bulk, 3_000_000);
      expect(report).toMatchObject({ take: true, give: true });
      const datagram = await echoDatagram(client.namespace, server[family], bulk, 4000);
      // The later fragments have the ports of the first one.
      expect(datagram).toMatchObject({ whole: true });
    });

    test('echo takes the slow way, with the code point of voice the fast one', async () => {
      const before = [await sent(FAST), await sent(SLOW)];
      expect(await pings(client.namespace, server[family])).toBe(3);
      expect((await sent(SLOW)) - (before[1] ?? 0)).toBeGreaterThanOrEqual(3);
      expect(await sent(FAST)).toBe(before[0]);
      const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '2', '-Q', '0xb8', server[family]];
      expect((await client.namespace.exec(argv)).stdout).toContain('3 received');
      expect((await sent(FAST)) - (before[0] ?? 0)).toBe(3);
    });

    test('telnet ends here, counted', async () => {
      const before = (await lab.counters.cube(POLICY, 'Forwarder')).DroppedByRule ?? 0;
      expect((await connectTcp(client.namespace, server[family], 23)).error).not.toBeNull();
      expect((await lab.counters.cube(POLICY, 'Forwarder')).DroppedByRule).toBeGreaterThan(before);
    });
  });
});
