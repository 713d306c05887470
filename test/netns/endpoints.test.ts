// SPDX-License-Identifier: Apache-2.0
/**
 * A router between pods, the overlay, the node's own stack and an interface that the node shares with it: pods reach a
 * network behind a next hop and the node, the node reaches pods of both nodes, and nobody loses the node itself.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Machine, type Pod } from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { vipsOf } from './support/manifests.ts';
import { BULK, named, PORT, TARGET } from './support/services.ts';
import { startBulkServer, transfer } from './support/sockets.ts';
import { conditionOf, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

type Family = (typeof FAMILIES)[number];

/** Addresses behind the machine `outside`, on no network of the underlay. */
const BEHIND = { ipv4: '203.0.113.5', ipv6: '2001:db8:5::5' } as const;
const OUTSIDE = { ipv4: '198.18.0.50', ipv6: 'fd00:18::50' } as const;
const LATE = 'late0';

let lab: TwoNodes;
let outside: Machine;
let near: Pod;
let far: Pod;

// biome-ignore lint/suspicious/noExplicitAny: any field of the sample is changed
function withEndpoints(chain: any): void {
  const { spec } = chain;
  delete spec.path;
  const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
  const router = (port: string) => at('router', port);
  spec.links = [
    { name: 'pods', endpoints: [{ type: 'Pods' }, at('ilb', 'pods')] },
    { name: 'ilb', endpoints: [at('ilb', 'server'), router('pods')] },
    { name: 'overlay', endpoints: [router('overlay'), { type: 'Overlay' }] },
    { name: 'host', endpoints: [router('host'), { type: 'Stack' }] },
    { name: 'uplink', endpoints: [router('uplink'), { type: 'Interface', interface: { name: 'eth0' } }] },
  ];
  const via = (destination: string, address: string) => ({
    destination,
    type: 'NextHop',
    nextHop: { address, port: 'uplink' },
  });
  spec.cubes[1].router.routes = [
    via(`${OUTSIDE.ipv4}/32`, OUTSIDE.ipv4),
    via(`${OUTSIDE.ipv6}/128`, OUTSIDE.ipv6),
    via('203.0.113.0/24', OUTSIDE.ipv4),
    via('2001:db8:5::/64', OUTSIDE.ipv6),
    { destination: '0.0.0.0/0', type: 'Port', port: 'host' },
    { destination: '::/0', type: 'Port', port: 'host' },
  ];
}

const address = (pod: Pod, family: Family): string => pod.addresses[family] ?? '';

async function ping(from: Namespace, to: string): Promise<string> {
  const argv = ['ping', '-n', '-c', '2', '-i', '0.05', '-W', '2', to];
  return (await from.exec(argv, { anyStatus: true })).stdout;
}

async function answers(from: Namespace, to: string): Promise<void> {
  expect(await ping(from, to)).toMatch(/ 0% packet loss/);
}

const isAnswered = async (from: Namespace, to: string) => (await ping(from, to)).includes(' 0% packet loss');

beforeAll(async () => {
  lab = await openTwoNodes('endpoints', { chain: withEndpoints });
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  const { ipv4, ipv6 } = lab.worker(0).node.addresses;
  await outside.namespace.ip(
    'link set lo up',
    `address add ${BEHIND.ipv4}/32 dev lo`,
    `address add ${BEHIND.ipv6}/128 dev lo`,
    `route add 10.244.1.0/24 via ${ipv4}`,
    `route add fd00:244:0:1::/64 via ${ipv6}`,
  );
  for (const namespace of [near.namespace, far.namespace, outside.namespace, lab.worker(0).node.namespace])
    await startBulkServer(namespace, BULK);
  await startServer(far.namespace, 'far', TARGET);
  lab.writeService({ name: 'web', number: 10, ports: named, backends: [far] });
  await lab.untilFrontends(0, 4);
});
afterAll(async () => {
  await lab?.close();
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    const moves = async (from: Namespace, to: string) =>
      expect(await transfer(from, to, BULK, 300_000)).toMatchObject({ take: true, give: true });

    test('a pod reaches a neighbour on the interface and what is behind it, and they reach the pod', async () => {
      for (const to of [outside.addresses[family], BEHIND[family]]) {
        await answers(near.namespace, to);
        await moves(near.namespace, to);
      }
      await answers(outside.namespace, address(near, family));
      await moves(outside.namespace, address(near, family));
    });

    test('the node stays reachable on the interface, and the overlay through it', async () => {
      await answers(outside.namespace, lab.worker(0).node.addresses[family]);
      await moves(outside.namespace, lab.worker(0).node.addresses[family]);
      await answers(lab.worker(0).node.namespace, outside.addresses[family]);
      await moves(near.namespace, address(far, family));
      // Forgotten neighbours are found again: their solicitations and answers are the host's.
      await outside.namespace.exec(['ip', 'neigh', 'flush', 'dev', 'eth0']);
      await lab.worker(0).node.namespace.exec(['ip', 'neigh', 'flush', 'dev', 'eth0']);
      await answers(outside.namespace, lab.worker(0).node.addresses[family]);
      await answers(near.namespace, BEHIND[family]);
    });

    test('a process of the node reaches pods of both nodes', async () => {
      const { namespace } = lab.worker(0).node;
      for (const pod of [near, far]) {
        await answers(namespace, address(pod, family));
        await moves(namespace, address(pod, family));
      }
    });

    test("a pod reaches processes of its node, at the node's address and at the gateway's", async () => {
      const gateway = family === 'ipv4' ? '10.244.1.1' : 'fd00:244:0:1::1';
      for (const to of [lab.worker(0).node.addresses[family], gateway]) {
        await answers(near.namespace, to);
        await moves(near.namespace, to);
      }
      // From another node, by the overlay.
      await moves(far.namespace, gateway);
    });

    test('services of pods are not touched by it', async () => {
      const { failures, requests } = await ask(near.namespace, vipsOf(10)[family], PORT);
      expect({ failures, isDone: requests > 0 }).toEqual({ failures: [], isDone: true });
    });
  });
});

test('a plan of a settled node wants nothing of cube0; a route that somebody deleted comes back', async () => {
  const { agent, node } = lab.worker(0);
  const planned = async () =>
    (await agent.cli(['plan', '--node', node.name, '--state-dir', agent.stateDir])).stdout;
  const settled = await planned();
  expect(settled).not.toContain('cube0');
  await node.namespace.ip('route delete 10.244.2.0/24 dev cube0');
  await until('the route is back', async () =>
    (await node.namespace.exec(['ip', 'route', 'show', 'dev', 'cube0'])).stdout.includes('10.244.2.0/24'),
  );
});

test('an agent that starts again takes over addresses and routes, and traffic goes on without it', async () => {
  const { agent, node } = lab.worker(0);
  const look = async () => (await node.namespace.exec(['ip', 'address', 'show', 'dev', 'cube0'])).stdout;
  const before = await look();
  await agent.kill();
  await answers(node.namespace, address(far, 'ipv4'));
  await agent.start();
  await lab.untilReady();
  expect(await look()).toBe(before);
  await answers(node.namespace, address(far, 'ipv6'));
});

test('an interface that is missing is named with its remedy, programmed when it comes, followed when it is made anew', async () => {
  const { node, agent } = lab.worker(0);
  const key = (text: string) => async () =>
    [...(await lab.statuses(0)).values()].some(
      ({ kind, metadata, status }) =>
        kind === 'CubeLink' && metadata.name === 'late' && JSON.stringify(status).includes(text),
    );
  lab.manifests.write(
    'late.yaml',
    {
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'Cube',
      metadata: { name: 'late', namespace: SYSTEM },
      spec: {
        nodeName: node.name,
        type: 'Router',
        ports: [{ name: 'in', addresses: ['192.168.77.1/24', 'fd00:77::1/64'] }],
        router: {},
      },
    },
    {
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'CubeLink',
      metadata: { name: 'late', namespace: SYSTEM },
      spec: {
        nodeName: node.name,
        endpoints: [
          { type: 'Cube', cube: { name: 'late', port: 'in' } },
          { type: 'Interface', interface: { name: LATE } },
        ],
      },
    },
  );
  await until('InterfaceNotFound', key('InterfaceNotFound'));
  const missing = [...(await lab.statuses(0)).values()].find(
    ({ kind, metadata }) => kind === 'CubeLink' && metadata.name === 'late',
  );
  expect(conditionOf(missing?.status ?? {}, 'ResolvedRefs')).toMatchObject({
    status: 'False',
    reason: 'InterfaceNotFound',
    message: expect.stringContaining(`has no interface ${LATE}; create it or correct the name`) as unknown,
  });
  for (const round of [1, 2]) {
    // The router has its own address there, which the host has not: it answers ARP, ND and echo itself.
    await node.namespace.ip(
      `link add ${LATE} type veth peer late1 netns ${outside.namespace.kernelName}`,
      `link set ${LATE} up`,
    );
    await outside.namespace.ip(
      'link set late1 up',
      'address add 192.168.77.9/24 dev late1',
      'address add fd00:77::9/64 dev late1 nodad',
    );
    await until(`round ${round}: the link is up`, key('"state":"Up"'));
    // The host's own link-local address is checked for duplicates first, for a second or two.
    for (const to of ['192.168.77.1', 'fd00:77::1'])
      await until(`round ${round}: echo of ${to}`, async () => await isAnswered(outside.namespace, to));
    const neighbours = (await outside.namespace.exec(['ip', 'neigh', 'show', 'dev', 'late1'])).stdout;
    expect(neighbours).toContain(await node.namespace.macOf(LATE));
    await node.namespace.ip(`link delete ${LATE}`);
    await until(`round ${round}: missed again`, key('InterfaceNotFound'));
  }
  lab.manifests.remove('late.yaml');
  await agent.stop();
});

test('down leaves neither devices nor routes', async () => {
  const { agent, node } = lab.worker(0);
  await agent.down();
  expect((await node.namespace.exec(['ip', '-o', 'link'])).stdout).not.toMatch(/cube0|cubevxlan/);
  expect((await node.namespace.exec(['ip', 'route'])).stdout).not.toContain('10.244.');
  expect((await node.namespace.exec(['ip', '-6', 'route'])).stdout).not.toContain('fd00:244');
});
