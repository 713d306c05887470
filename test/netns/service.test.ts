// SPDX-License-Identifier: Apache-2.0
/** Real sockets through the chain: pods of one node and of two, over VXLAN, with checksums left to the card and not. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { ask } from '../harness/traffic.ts';
import { BULK, CLOSED, openTrafficLab, PORT, TARGET, type TrafficLab, VIPS } from './support/services.ts';
import { connectTcp, echoDatagram, sendUdp, shareSourcePort, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

let t: TrafficLab;

beforeAll(async () => {
  t = await openTrafficLab('service test');
});
afterAll(async () => {
  await t?.lab.close();
});

const address = (pod: Pod, family: 'ipv4' | 'ipv6'): string => pod.addresses[family] ?? '';

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await t.lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test.each([
      ['TCP', false],
      ['UDP', true],
    ])('%s to a Service reaches backends of both nodes, which see the client', async (_, udp) => {
      const report = await ask(t.client.namespace, VIPS.web[family], PORT, { count: 60, udp });
      expect(report.failures).toEqual([]);
      expect(report.requests).toBe(60);
      expect(Object.keys(report.by).sort()).toEqual(['far', 'near']);
      expect(report.seenAs).toBe(address(t.client, family));
    });

    test.each(['near', 'far'] as const)('pod to pod without a Service: %s', async (name) => {
      for (const udp of [false, true]) {
        // A datagram from the port of a flow through the Service in the last half minute would be taken for one of that.
        await t.client.namespace.sysctl({
          'net.ipv4.ip_local_port_range': udp ? '61000 65000' : '32768 60999',
        });
        const report = await ask(t.client.namespace, address(t[name], family), TARGET, { count: 20, udp });
        expect(report).toMatchObject({ failures: [], by: { [name]: 20 }, seenAs: address(t.client, family) });
      }
      await t.client.namespace.sysctl({ 'net.ipv4.ip_local_port_range': '32768 60999' });
    });

    test.each([
      ['near', 24_000_000],
      ['far', 24_000_000],
    ] as const)('24 MB each way through a Service arrive unchanged: %s', async (name, bytes) => {
      const ilb = `${SYSTEM}/kubernetes.ilb.node-a`;
      const { counters } = t.lab.worker(0);
      const sum = async () =>
        (await counters.ports(ilb)).reduce(
          (all, port) => ({ packets: all.packets + port.rxPackets, bytes: all.bytes + port.rxBytes }),
          { packets: 0, bytes: 0 },
        );
      const before = await sum();
      const report = await transfer(t.client.namespace, VIPS[name][family], BULK, bytes);
      expect(report).toMatchObject({ take: true, give: true });
      const after = await sum();
      const mean = (after.bytes - before.bytes) / (after.packets - before.packets);
      // Acknowledgements included: packets cross the chain in one piece where segmentation is left to the card. What the
      // overlay device receives is put together again in any case.
      if (offload) expect(mean).toBeGreaterThan(1500);
      else if (name === 'near') expect(mean).toBeLessThan(1500);
    });

    test.each(['near', 'far'] as const)(
      'datagrams of 4,000 bytes, in fragments, both ways: %s',
      async (name) => {
        const through = await echoDatagram(t.client.namespace, VIPS[name][family], BULK, 4_000);
        expect(through).toMatchObject({ whole: true });
        const direct = await echoDatagram(t.client.namespace, address(t[name], family), BULK, 4_000);
        expect(direct).toMatchObject({ whole: true });
      },
    );

    test.each(['near', 'far'] as const)('a closed port of a backend is refused at once: %s', async (name) => {
      // The port unreachable of the backend quotes the translated packet: it has to be translated back.
      for (const attempt of [connectTcp, sendUdp]) {
        const { error, seconds } = await attempt(t.client.namespace, VIPS[name][family], CLOSED);
        expect(error).toBe('ECONNREFUSED');
        expect(seconds).toBeLessThan(1);
      }
    });

    test('a Service without endpoints is refused at once', async () => {
      for (const attempt of [connectTcp, sendUdp]) {
        const { error, seconds } = await attempt(t.client.namespace, VIPS.none[family], PORT);
        expect(error).toBe('ECONNREFUSED');
        expect(seconds).toBeLessThan(1);
      }
    });

    test('a backend reaches itself through its Service', async () => {
      for (const udp of [false, true]) {
        const report = await ask(t.near.namespace, VIPS.self[family], PORT, { count: 20, udp });
        expect(report).toMatchObject({ failures: [], by: { near: 20 } });
      }
    });

    test('one source port to two Services that share a backend', async () => {
      const source = 23_000 + (offload ? 1 : 0) + (family === 'ipv4' ? 2 : 0);
      const report = await shareSourcePort(
        t.client.namespace,
        'tcp',
        source,
        { address: VIPS.first[family], port: PORT },
        { address: VIPS.second[family], port: PORT },
        20,
      );
      expect(report).toEqual({ answers: [['far'], ['far']], rounds: 20, ports: [source, source] });
    });

    test.each([
      ['tcp', 'near', 0],
      ['tcp', 'far', 4],
      ['udp', 'near', 0],
      ['udp', 'far', 4],
    ] as const)(
      'one source port to a pod and to its Service, in either order: %s, %s',
      async (protocol, name, more) => {
        const source = 23_100 + (offload ? 1 : 0) + (family === 'ipv4' ? 2 : 0) + more;
        const pod = { address: address(t[name], family), port: TARGET };
        const service = { address: VIPS[name][family], port: PORT };
        const orders = [
          [pod, service],
          [service, pod],
        ] as const;
        for (const [order, [first, second]] of orders.entries()) {
          const port = source + 10 * order;
          const report = await shareSourcePort(t.client.namespace, protocol, port, first, second, 20);
          expect(report).toEqual({ answers: [[name], [name]], rounds: 20, ports: [port, port] });
        }
      },
    );

    test('ClientIP affinity keeps one backend', async () => {
      const report = await ask(t.client.namespace, VIPS.sticky[family], PORT, { count: 40 });
      expect(report.failures).toEqual([]);
      expect(Object.values(report.by)).toEqual([40]);
    });
  });
});
