// SPDX-License-Identifier: Apache-2.0
/** Nobody speaks for somebody else: neither a pod, nor a machine that reaches the VXLAN port. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createMachine, type Machine, type Pod, VXLAN_PORT } from '../harness/topology.ts';
import { GATEWAY_MAC } from '../kernel/support/bytes.ts';
import {
  arp,
  echo,
  ethernet,
  ip,
  type Layer3,
  linkLayerOption,
  solicitation,
  udp,
} from '../kernel/support/packet.ts';
import { sendFrames, sniff } from './support/frames.ts';
import { sendDatagrams } from './support/sockets.ts';
import { difference, FAMILIES, openTwoNodes, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

/** Inner source that nodes use: the device ignores frames from its own MAC as its echo. */
const TUNNEL_MAC = '02:c0:be:00:00:fe';

let lab: TwoNodes;
let client: Pod;
let victim: Pod;
let remote: Pod;
/** A machine on the underlay that is no node. */
let stranger: Machine;

beforeAll(async () => {
  lab = await openTwoNodes('spoofing test');
  client = await lab.addPod(0, 'client', 10);
  victim = await lab.addPod(0, 'victim', 11);
  remote = await lab.addPod(1, 'remote', 10);
  stranger = await createMachine(lab.underlay, 'stranger', 60);
});
afterAll(async () => {
  await lab?.close();
});

let marks = 0;
/** Bytes that occur in no other packet. */
function mark(): Buffer {
  return Buffer.from(`cubeplane mark ${String(++marks).padStart(6, '0')} of pid ${process.pid}`);
}

const addressOf = (pod: Pod, family: 'ipv4' | 'ipv6'): string => pod.addresses[family] ?? '';

/**
 * Sends packets of a kind and returns how many reach the victim, and what the entry program of node-a counted. Waits
 * until each of them has done one or the other, so that it says the same on a machine that has no time for it.
 */
async function attempt(
  send: (payload: Buffer) => Promise<number>,
): Promise<{ received: number; drops: Record<string, number> }> {
  const payload = mark();
  const sniffer = await sniff(victim.namespace, 'eth0', { match: [payload], count: 3, seconds: 15 });
  const before = (await lab.drops(0)).entry;
  const sent = await send(payload);
  for (;;) {
    const { LinkLocalControl: _, ...drops } = difference(before, (await lab.drops(0)).entry);
    const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
    if (dropped < sent && !sniffer.ended) {
      await sleep(20);
      continue;
    }
    await sniffer.stop();
    return { received: (await sniffer.frames()).length, drops };
  }
}

const fromClient =
  (source: string, mac = client.mac) =>
  async (payload: Buffer): Promise<number> => {
    const family = source.includes(':') ? 'ipv6' : 'ipv4';
    const packet = ip(
      { src: source, dst: addressOf(victim, family) },
      udp({ sport: 1000, dport: 2000, payload }),
    );
    const frame = ethernet({ src: mac }, packet);
    return await sendFrames(client.namespace, 'eth0', [frame, frame, frame]);
  };

describe('a pod', () => {
  test.each(FAMILIES)('sends from its own address and MAC: %s', async (family) => {
    expect(await attempt(fromClient(addressOf(client, family)))).toEqual({ received: 3, drops: {} });
  });

  test.each([
    ['a neighbour', '10.244.1.12'],
    ['the gateway', '10.244.1.1'],
    ['a pod of another node', '10.244.2.10'],
    ['a stranger', '203.0.113.7'],
    ['the neighbour', 'fd00:244:0:1::c'],
    ['the gateway', 'fd00:244:0:1::1'],
    ['a pod of another node', 'fd00:244:0:2::a'],
    ['a stranger', '2001:db8::7'],
    ['a link-local address', 'fe80::7'],
  ])('cannot send as %s: %s', async (_, source) => {
    expect(await attempt(fromClient(source))).toEqual({ received: 0, drops: { SpoofedSource: 3 } });
  });

  test.each(FAMILIES)('cannot send from another MAC: %s', async (family) => {
    expect(await attempt(fromClient(addressOf(client, family), victim.mac))).toEqual({
      received: 0,
      drops: { SpoofedSource: 3 },
    });
  });

  test('cannot claim an address by ARP', async () => {
    const claim = async () => {
      const frame = (operation: number): Buffer =>
        ethernet(
          { src: client.mac, dst: 'ff:ff:ff:ff:ff:ff' },
          arp({
            operation,
            senderMac: client.mac,
            sender: addressOf(victim, 'ipv4'),
            target: '10.244.1.1',
          }),
        );
      return await sendFrames(client.namespace, 'eth0', [frame(1), frame(2)]);
    };
    expect(await attempt(claim)).toEqual({ received: 0, drops: { SpoofedSource: 2 } });
  });

  test('cannot claim an address by neighbour discovery', async () => {
    const claim = async () => {
      const packet = ip(
        { src: addressOf(victim, 'ipv6'), dst: 'ff02::1:ff00:1', ttl: 255 },
        solicitation('fd00:244:0:1::1', linkLayerOption(1, client.mac)),
      );
      const frame = ethernet({ src: client.mac, dst: '33:33:ff:00:00:01' }, packet);
      return await sendFrames(client.namespace, 'eth0', [frame, frame]);
    };
    expect(await attempt(claim)).toEqual({ received: 0, drops: { SpoofedSource: 2 } });
  });
});

describe('a packet over the overlay', () => {
  const vxlan = (packet: Layer3, vni = 1): Buffer => {
    const header = Buffer.alloc(8);
    header[0] = 0x08; // VNI valid (RFC 7348 5)
    header.writeUIntBE(vni, 4, 3);
    return Buffer.concat([header, ethernet({ src: TUNNEL_MAC, dst: GATEWAY_MAC }, packet)]);
  };

  /** Three packets to the victim, from `machine`, whose inner source is `source`. */
  const over =
    (machine: Pick<Machine, 'namespace'>, outer: 'ipv4' | 'ipv6', source: string, vni?: number) =>
    async (payload: Buffer): Promise<number> => {
      const family = source.includes(':') ? 'ipv6' : 'ipv4';
      const packet = ip(
        { src: source, dst: addressOf(victim, family) },
        udp({ sport: 1000, dport: 2000, payload }),
      );
      const datagram = vxlan(packet, vni);
      const target = lab.worker(0).node.addresses[outer];
      const datagrams = [datagram, datagram, datagram];
      return (await sendDatagrams(machine.namespace, target, VXLAN_PORT, datagrams)).sent;
    };
  const nodeB = () => lab.worker(1).node;

  test.each(FAMILIES)('from the node that has its source is delivered: %s', async (family) => {
    expect(await attempt(over(nodeB(), family, addressOf(remote, family)))).toEqual({
      received: 3,
      drops: {},
    });
  });

  test.each(FAMILIES)('from the node itself is delivered: %s', async (family) => {
    expect(await attempt(over(nodeB(), family, nodeB().addresses[family]))).toEqual({
      received: 3,
      drops: {},
    });
  });

  test.each([
    ['a pod of the receiving node', 'ipv4', '10.244.1.10'],
    ['its gateway', 'ipv4', '10.244.1.1'],
    ['a stranger', 'ipv4', '203.0.113.7'],
    ['another node', 'ipv4', '198.18.0.11'],
    ['a pod of the receiving node', 'ipv6', 'fd00:244:0:1::a'],
    ['its gateway', 'ipv6', 'fd00:244:0:1::1'],
    ['a stranger', 'ipv6', '2001:db8::7'],
    ['a link-local address', 'ipv6', 'fe80::7'],
  ] as const)('cannot come from %s: %s %s', async (_, family, source) => {
    expect(await attempt(over(nodeB(), family, source))).toEqual({
      received: 0,
      drops: { SpoofedOverlaySource: 3 },
    });
  });

  test.each(FAMILIES)('cannot come from a machine that is no node: %s', async (family) => {
    expect(await attempt(over(stranger, family, addressOf(remote, family)))).toEqual({
      received: 0,
      drops: { SpoofedOverlaySource: 3 },
    });
  });

  test('cannot come by the other address family of the node than its routes say', async () => {
    expect(await attempt(over(nodeB(), 'ipv6', addressOf(remote, 'ipv4')))).toEqual({
      received: 0,
      drops: { SpoofedOverlaySource: 3 },
    });
  });

  test.each(FAMILIES)('cannot come with another VNI: %s', async (family) => {
    expect(await attempt(over(nodeB(), family, addressOf(remote, family), 2))).toEqual({
      received: 0,
      drops: { SpoofedOverlaySource: 3 },
    });
  });

  test('of another kind than IP is not let in', async () => {
    const claim = async () => {
      const packet = arp({
        operation: 2,
        senderMac: GATEWAY_MAC,
        sender: addressOf(remote, 'ipv4'),
        target: addressOf(victim, 'ipv4'),
      });
      const target = lab.worker(0).node.addresses.ipv4;
      return (await sendDatagrams(nodeB().namespace, target, VXLAN_PORT, [vxlan(packet)])).sent;
    };
    expect(await attempt(claim)).toEqual({ received: 0, drops: { SpoofedOverlaySource: 1 } });
  });
});

test('what a pod may send reaches the other node', async () => {
  const payload = mark();
  const sniffer = await sniff(remote.namespace, 'eth0', { match: [payload], count: 2, seconds: 15 });
  const frames = FAMILIES.map((family) => {
    const v6 = family === 'ipv6';
    const content = echo({ payload, ...(v6 ? { v6: true } : {}) });
    return ethernet(
      { src: client.mac },
      ip({ src: addressOf(client, family), dst: addressOf(remote, family) }, content),
    );
  });
  await sendFrames(client.namespace, 'eth0', frames);
  expect(await sniffer.frames()).toHaveLength(2);
});
