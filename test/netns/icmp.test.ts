// SPDX-License-Identifier: Apache-2.0
/** Echo, time exceeded, unreachable, path MTU: what ping and a TCP stack see. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pod } from '../harness/topology.ts';
import { podNetwork } from './support/manifests.ts';
import { BULK, openTrafficLab, type TrafficLab, VIPS } from './support/services.ts';
import { connectTcp, transfer } from './support/sockets.ts';
import { difference, FAMILIES } from './support/two-nodes.ts';

jest.setTimeout(120_000);

let t: TrafficLab;
/** A pod that was given the MTU of the uplink: too large for the overlay. */
let large: Pod;

beforeAll(async () => {
  t = await openTrafficLab('ICMP test');
  large = await t.lab.addPod(0, 'large', 20, { mtu: 1500 });
});
afterAll(async () => {
  await t?.lab.close();
});

const gateway = { ipv4: '10.244.1.1', ipv6: 'fd00:244:0:1::1' } as const;
const otherGateway = { ipv4: '10.244.2.1', ipv6: 'fd00:244:0:2::1' } as const;
const unknown = { ipv4: '10.244.1.99', ipv6: 'fd00:244:0:1::99' } as const;
const nowhere = { ipv4: '203.0.113.5', ipv6: '2001:db8::5' } as const;

const address = (pod: Pod, family: 'ipv4' | 'ipv6'): string => pod.addresses[family] ?? '';

/** What ping says, whatever its status. */
async function ping(pod: Pod, destination: string, ...args: string[]): Promise<string> {
  const argv = ['ping', '-n', '-i', '0.05', '-W', '2', ...args, destination];
  return (await pod.namespace.exec(argv, { anyStatus: true })).stdout;
}

/** Makes the large pod forget what it learnt of path MTUs. */
async function forgetMtu(): Promise<void> {
  for (const family of ['-4', '-6']) await large.namespace.exec(['ip', family, 'route', 'flush', 'cache']);
}

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await t.lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test('echo is answered by pods of both nodes and by the gateways', async () => {
      const all = [address(t.near, family), address(t.far, family), gateway[family], otherGateway[family]];
      for (const destination of all) {
        expect(await ping(t.client, destination, '-c', '3')).toMatch(/ 0% packet loss/);
        expect(await ping(t.client, destination, '-c', '2', '-s', '1300')).toMatch(/ 0% packet loss/);
      }
    });

    test('echo in fragments', async () => {
      for (const pod of [t.near, t.far]) {
        // Over IPv6 the first packets may learn the path MTU.
        expect(await ping(t.client, address(pod, family), '-c', '8', '-s', '4000')).toMatch(
          / [4-8] received/,
        );
      }
    });

    test('a hop limit that runs out is told by the gateway', async () => {
      const text = await ping(t.client, address(t.far, family), '-c', '1', '-t', '1');
      expect(text).toMatch(/Time to live exceeded|Time exceeded: Hop limit/);
      expect(text).toContain(`From ${gateway[family]}`);
      const second = await ping(t.client, address(t.far, family), '-c', '1', '-t', '2');
      expect(second).toContain(`From ${otherGateway[family]}`);
    });

    test('an address that nobody has and a destination without a route are refused at once', async () => {
      const before = await t.lab.drops(0);
      const noRoute = await ping(t.client, nowhere[family], '-c', '1');
      expect(noRoute).toMatch(/Destination Net Unreachable|Destination unreachable: No route/);
      expect(noRoute).toContain(`From ${gateway[family]}`);
      expect(await connectTcp(t.client.namespace, nowhere[family], 80)).toMatchObject({
        error: 'ENETUNREACH',
      });
      await ping(t.client, unknown[family], '-c', '1', '-W', '0.3');
      const after = await t.lab.drops(0);
      expect(difference(before.router, after.router).NoRoute).toBeGreaterThanOrEqual(2);
      expect(difference(before.ilb, after.ilb)).toEqual({ UnknownPod: 1 });
    });

    test('a packet larger than the overlay is told its MTU, and TCP goes on with it', async () => {
      const far = address(t.far, family);
      // The node has peers over IPv6, so the overlay's MTU is that of the larger header.
      const mtu = 1430;
      const headers = family === 'ipv4' ? 28 : 48;
      await forgetMtu();
      const text = await ping(large, far, '-c', '1', '-M', 'do', '-s', String(1500 - headers));
      expect(text).toMatch(
        new RegExp(`Frag needed and DF set \\(mtu = ${mtu}\\)|Packet too big: mtu=${mtu}`),
      );
      expect(text).toContain(`From ${gateway[family]}`);
      await forgetMtu();
      expect(await transfer(large.namespace, far, BULK, 4_000_000)).toMatchObject({ take: true, give: true });
      await forgetMtu();
      const through = await transfer(large.namespace, VIPS.far[family], BULK, 4_000_000);
      expect(through).toMatchObject({ take: true, give: true });
    });
  });
});

test('a pod whose interface is made anew is followed', async () => {
  const worker = t.lab.worker(0);
  const { hostDevice, namespace } = large;
  const { addresses, gateways } = podNetwork(0, 20);
  await worker.node.namespace.ip(`link delete ${hostDevice}`);
  await worker.node.namespace.ip(
    `link add ${hostDevice} type veth peer eth0 netns ${namespace.kernelName}`,
    `link set ${hostDevice} up`,
  );
  await namespace.ip(
    `link set eth0 address ${large.mac} up`,
    `address add ${addresses.ipv4} dev eth0`,
    `address add ${addresses.ipv6} dev eth0 nodad`,
    `route add default via ${gateways.ipv4} dev eth0 onlink`,
    `route add default via ${gateways.ipv6} dev eth0 onlink`,
  );
  for (const family of FAMILIES) {
    for (const deadline = Date.now() + 30_000; ; ) {
      const text = await ping(large, address(t.far, family), '-c', '1', '-W', '1');
      if (/ 0% packet loss/.test(text)) break;
      if (Date.now() > deadline) throw new Error(`not reachable again: ${text}`);
    }
  }
});
