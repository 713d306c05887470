// SPDX-License-Identifier: Apache-2.0
/**
 * config/provider/kubernetes.yaml: processes of a node that are bound to the node's own address and speak to pods, those of their node
 * and of another one, by the tunnel and without it. What pods open to that very address is masqueraded meanwhile, as ever.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Namespace } from '../harness/netns.ts';
import type { Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { until } from '../harness/until.ts';
import { toProvider } from './support/manifests.ts';
import { BULK } from './support/services.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { cubeTable, difference, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';
import { eventuallyWays, expectWays, type Way } from './support/ways.ts';

jest.setTimeout(180_000);

const TARGET = 8080;
const CLOSED = 9;
const HOST = 22_000;
const NODE_PORT = 30_080;
const THROUGH_A = { ipv4: '10.244.1.254', ipv6: 'fd00:244:0:1:ffff:ffff:ffff:ffff' } as const;

let lab: TwoNodes;
let near: Pod;
let far: Pod;

const node = (index: number) => lab.worker(index).node;
const podOf = (index: number): Pod => (index === 0 ? near : far);

/** The chain with the tunnel or without it. */
// biome-ignore lint/suspicious/noExplicitAny: a field of the chain is changed
function providerWith(chain: any, directRouting: string): void {
  toProvider(chain);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const overlay = chain.spec.links.find(({ name }: any) => name === 'overlay');
  overlay.endpoints[1].overlay.directRouting = directRouting;
}

/** Each node bound to its own address, to pods of both; and pods to that address of the other node. */
const ways = (): Way[] =>
  [0, 1].flatMap((index): Way[] => {
    const { namespace: from, addresses, name } = node(index);
    const other = node(1 - index);
    const bound = { from, bound: addresses };
    return [
      ...[index, 1 - index].flatMap((where): Way[] => {
        const to = podOf(where).addresses;
        const by = podOf(where).name;
        return [
          { ...bound, name: `${name} to ${by}`, to, port: TARGET, by: [by], sees: addresses },
          { ...bound, name: `${name} to a closed port of ${by}`, to, port: CLOSED, by: 'ECONNREFUSED' },
        ];
      }),
      {
        name: `${podOf(index).name} to ${other.name}`,
        from: podOf(index).namespace,
        to: other.addresses,
        port: HOST,
        by: [other.name],
        sees: addresses,
      },
    ];
  });

const nodePort = (): Way => ({
  name: 'pod to NodePort of another node',
  from: far.namespace,
  to: node(0).addresses,
  port: NODE_PORT,
  by: ['near'],
  sees: THROUGH_A,
});

beforeAll(async () => {
  lab = await openTwoNodes('bound to node', { chain: (chain) => providerWith(chain, 'Never') });
  near = await lab.addPod(0, 'near', 11);
  far = await lab.addPod(1, 'far', 11);
  for (const pod of [near, far]) {
    await startServer(pod.namespace, pod.name, TARGET);
    await startBulkServer(pod.namespace, BULK);
  }
  for (const { node } of lab.workers)
    for (const address of Object.values(node.addresses))
      await startServer(node.namespace, node.name, HOST, address);
  lab.writeService({
    name: 'near',
    number: 20,
    ports: (['TCP', 'UDP'] as const).map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: 80,
      targetPort: TARGET,
      nodePort: NODE_PORT,
    })),
    backends: [near],
    spec: { type: 'NodePort' },
  });
  await eventuallyWays([nodePort()]);
});
afterAll(async () => {
  await lab?.close();
});

async function ping(from: Namespace, to: string, ...args: string[]): Promise<string> {
  const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '5', ...args, to];
  return (await from.exec(argv, { anyStatus: true })).stdout;
}

/** Packets that the node has sent by the tunnel. */
async function tunnelled(index: number): Promise<number> {
  const { stdout } = await node(index).namespace.exec(['cat', '/proc/net/dev']);
  const line = stdout.split('\n').find((text) => text.trim().startsWith('cubevxlan:')) ?? '';
  return Number(line.split(':')[1]?.trim().split(/\s+/)[9]);
}

const natDrops = (index: number) =>
  lab.worker(index).counters.cube(`${SYSTEM}/kubernetes.disc-nat.${node(index).name}`, 'Nat');

const routes = async (): Promise<string> =>
  (await node(0).namespace.exec(['ip', 'route', 'show'])).stdout +
  (await node(0).namespace.exec(['ip', '-6', 'route', 'show'])).stdout;

test('traces and tables tell of it', async () => {
  const { agent } = lab.worker(1);
  const [from, to] = [node(0).addresses.ipv4, far.addresses.ipv4];
  const tell = async (start: string, packet: string) =>
    (await agent.cli(['trace', '--dry-run', '--from', start, '--packet', packet])).stdout;
  const question = () => tell('overlay', `udp ${from}:4000 > ${to}:${TARGET}`);
  const answer = () => tell('default/far', `udp ${to}:${TARGET} > ${from}:4000`);
  expect(await question()).toContain('ReturnNoted');
  expect(await answer()).toMatch(/route 0\.0\.0\.0\/0/);
  expect(await echoDatagram(node(0).namespace, to ?? '', BULK, 10, 5, { ipv4: from ?? '' })).toMatchObject({
    whole: true,
  });
  const { stdout } = await agent.cli(['tables', 'kubernetes.router.node-b', 'returns', '-o', 'json']);
  const rows: { sport: number; dport: number }[] = JSON.parse(stdout).rows;
  const [port] = rows.filter(({ sport }) => sport === BULK).map(({ dport }) => dport);
  const told = await tell('default/far', `udp ${to}:${BULK} > ${from}:${port}`);
  expect(told).toMatch(/Return\b/);
  expect(told).toContain(`route ${from}/32 by tunnel to ${from}`);
});

describe.each(['Never', 'SameSubnet'])('direct routing %s', (directRouting) => {
  beforeAll(async () => {
    const chain = {
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'ServiceChain',
      metadata: { name: 'kubernetes', namespace: SYSTEM },
    };
    providerWith(chain, directRouting);
    lab.manifests.write('chain.yaml', chain);
    const isDirect = directRouting === 'SameSubnet';
    await until('routes', async () => (await routes()).includes('10.244.2.0/24 via') === isDirect);
    await eventuallyWays([nodePort()]);
  });

  describe.each([true, false])('checksum offload %s', (offload) => {
    beforeAll(async () => {
      await lab.setOffload(offload);
    });

    test('a bound process of a node reaches pods, which see its address, and pods reach nodes as before', async () => {
      const before = await Promise.all([0, 1].map(natDrops));
      await expectWays([...ways(), nodePort()]);
      const after = await Promise.all([0, 1].map(natDrops));
      expect(after.map((drops, i) => difference(before[i] ?? {}, drops))).toEqual([{}, {}]);
    });

    describe.each(FAMILIES)('%s', (family) => {
      test('bytes, fragments and echo', async () => {
        const { namespace, addresses } = node(0);
        const bound = { [family]: addresses[family] };
        const to = far.addresses[family] ?? '';
        const before = await Promise.all([0, 1].map(tunnelled));
        expect(await transfer(namespace, to, BULK, 8_000_000, bound)).toMatchObject({
          take: true,
          give: true,
        });
        expect(await echoDatagram(namespace, to, BULK, 4_000, 5, bound)).toMatchObject({ whole: true });
        expect(await ping(namespace, to, '-I', addresses[family])).toMatch(/ 0% packet loss/);
        expect(await ping(namespace, to, '-I', addresses[family], '-s', '3000')).toMatch(/ 0% packet loss/);
        const after = await Promise.all([0, 1].map(tunnelled));
        const isTunnelled = after.map((count, i) => count - (before[i] ?? 0) > 100);
        expect(isTunnelled).toEqual([directRouting === 'Never', directRouting === 'Never']);
      });

      test('the last router of the way answers to it too', async () => {
        const { namespace, addresses } = node(0);
        const gateway = family === 'ipv4' ? '10.244.2.1' : 'fd00:244:0:2::1';
        const bound = ['-I', addresses[family]];
        expect(await ping(namespace, gateway, ...bound)).toMatch(/ 0% packet loss/);
        const hops = directRouting === 'Never' ? '2' : '1';
        const expired = await ping(namespace, far.addresses[family] ?? '', ...bound, '-t', hops);
        expect(expired).toMatch(/[Tt]ime (to live )?exceeded/);
      });
    });
  });
});

test('a policy holds up a bound process of another node, and not one of the pod’s own node', async () => {
  const { addresses } = near;
  lab.manifests.write(
    'policy.yaml',
    cubeTable('policies', {
      type: 'Policy',
      policies: [{ namespace: 'default', name: 'default-deny', types: ['Ingress'] }],
    }),
    cubeTable('identities', {
      type: 'Identity',
      identities: [{ id: 1, namespace: 'default', addresses: Object.values(addresses) }],
    }),
  );
  const from = (index: number) => ({ from: node(index).namespace, bound: node(index).addresses });
  const to = { to: addresses, port: TARGET };
  await eventuallyWays([
    { ...from(1), ...to, name: 'of another node', by: 'ETIMEDOUT' },
    { ...from(0), ...to, name: 'of its node', by: ['near'], sees: node(0).addresses },
  ]);
  lab.manifests.remove('policy.yaml');
});
