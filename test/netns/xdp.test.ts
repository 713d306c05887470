// SPDX-License-Identifier: Apache-2.0
/**
 * A mitigator at XDP in front of a node's uplink (a veth pair: native mode), and one in front of loopback (generic mode):
 * listed senders end there, everything else goes through the chain in TC behind it; over restarts, besides the
 * program of somebody else, and gone without a trace with `down`.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { DryRun } from '../../src/dataplane/inspection.ts';
import type { Namespace } from '../harness/netns.ts';
import { createMachine, type Machine, type Pod } from '../harness/topology.ts';
import { until } from '../harness/until.ts';
import type { Drops } from './support/counters.ts';
import { BULK } from './support/services.ts';
import { startBulkServer, transfer } from './support/sockets.ts';
import {
  conditionOf,
  cubeTable,
  FAMILIES,
  openTwoNodes,
  SYSTEM,
  type TwoNodes,
} from './support/two-nodes.ts';

jest.setTimeout(120_000);

const THEIRS = fileURLToPath(new URL('../../build/bpf/xdp_theirs.o', import.meta.url));
const GUARD = 'kubernetes.guard.node-a';
const LOCAL = 'local-guard';

let lab: TwoNodes;
let outside: Machine;
let enemy: Machine;
let pod: Pod;

// biome-ignore lint/suspicious/noExplicitAny: any field of the sample is changed
function withGuard(chain: any): void {
  const { spec } = chain;
  delete spec.path;
  const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
  spec.cubes.push({
    name: 'guard',
    type: 'DDoSMitigator',
    hook: 'XDP',
    ddosMitigator: {},
    tables: [{ type: 'Prefix' }],
  });
  spec.links = [
    { name: 'pods', endpoints: [{ type: 'Pods' }, at('ilb', 'pods')] },
    { name: 'ilb', endpoints: [at('ilb', 'server'), at('router', 'pods')] },
    { name: 'overlay', endpoints: [at('router', 'overlay'), { type: 'Overlay' }] },
    { name: 'inside', endpoints: [at('guard', 'inside'), at('router', 'uplink')] },
    {
      name: 'uplink',
      endpoints: [{ type: 'Interface', interface: { name: 'eth0' } }, at('guard', 'outside')],
    },
  ];
  const near = (destination: string, address: string) => ({
    destination,
    type: 'NextHop',
    nextHop: { address, port: 'uplink' },
  });
  spec.cubes[1].router.routes = [50, 60].flatMap((host) => [
    near(`198.18.0.${host}/32`, `198.18.0.${host}`),
    near(`fd00:18::${host}/128`, `fd00:18::${host}`),
  ]);
}

const node = () => lab.worker(0).node;

/** Writes the list; the table that names it comes with it the first time. */
function deny(...prefixes: string[]): void {
  lab.manifests.writeText('enemies.prefixes', `# who is not let in\n${prefixes.join('\n')}\n`);
}

async function isAnswered(from: Namespace, ...argv: string[]): Promise<boolean> {
  const ping = ['ping', '-n', '-c', '2', '-i', '0.05', '-W', '1', ...argv];
  return (await from.exec(ping, { anyStatus: true })).stdout.includes(' 0% packet loss');
}

async function statusOf(name: string): Promise<Record<string, unknown> | undefined> {
  return (await lab.statuses(0)).get(`Cube/${SYSTEM}/${name}`)?.status as Record<string, unknown> | undefined;
}

/** What the kernel says of XDP on an interface. */
async function xdpOf(device: string): Promise<{ mode: number; name: string; id: number } | undefined> {
  const { stdout } = await node().namespace.exec(['ip', '-j', 'link', 'show', 'dev', device]);
  const [{ xdp }] = JSON.parse(stdout) as [{ xdp?: { mode: number; prog: { name: string; id: number } } }];
  return xdp && { mode: xdp.mode, name: xdp.prog.name, id: xdp.prog.id };
}

const drops = (name = GUARD): Promise<Drops> =>
  lab.worker(0).counters.cube(`${SYSTEM}/${name}`, 'DDoSMitigator');

beforeAll(async () => {
  lab = await openTwoNodes('xdp', { nodes: 1, chain: withGuard });
  pod = await lab.addPod(0, 'server', 11);
  outside = await createMachine(lab.underlay, 'outside', 50);
  enemy = await createMachine(lab.underlay, 'enemy', 60);
  const { ipv4, ipv6 } = node().addresses;
  for (const { namespace } of [outside, enemy]) {
    await namespace.ip(`route add 10.244.1.0/24 via ${ipv4}`, `route add fd00:244:0:1::/64 via ${ipv6}`);
  }
  for (const namespace of [pod.namespace, outside.namespace]) await startBulkServer(namespace, BULK);
  lab.manifests.write(
    'enemies.yaml',
    cubeTable('enemies', { type: 'Prefix', prefixFile: { name: 'enemies.prefixes' } }),
  );
  deny('192.0.2.99');
  lab.manifests.write(
    'local.yaml',
    {
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'Cube',
      metadata: { name: LOCAL, namespace: SYSTEM },
      spec: {
        nodeName: 'node-a',
        type: 'DDoSMitigator',
        hook: 'XDP',
        ddosMitigator: { denySources: ['127.0.0.7/32'] },
      },
    },
    ...[
      ['local-outside', 'outside', { type: 'Interface', interface: { name: 'lo' } }],
      ['local-inside', 'inside', { type: 'Stack' }],
    ].map(([name, port, end]) => ({
      apiVersion: 'cubeplane.io/v1alpha1',
      kind: 'CubeLink',
      metadata: { name, namespace: SYSTEM },
      spec: { nodeName: 'node-a', endpoints: [end, { type: 'Cube', cube: { name: LOCAL, port } }] },
    })),
  );
  await until('both are ready', async () => {
    const all = [await statusOf(GUARD), await statusOf(LOCAL)];
    return all.every((status) => status && conditionOf(status, 'Ready')?.status === 'True');
  });
});
afterAll(async () => {
  await lab?.close();
});

test('the mode is native on the uplink and generic on loopback, and the status says so', async () => {
  expect(await xdpOf('eth0')).toMatchObject({ mode: 1, name: 'xdp_entry' });
  expect(await xdpOf('lo')).toMatchObject({ mode: 2, name: 'xdp_entry' });
  expect(await statusOf(GUARD)).toMatchObject({ program: { mode: 'Native' } });
  expect(await statusOf(LOCAL)).toMatchObject({ program: { mode: 'Generic' } });
});

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  test.each(FAMILIES)(
    '%s: who is not listed reaches pod and node through it, and is reached',
    async (family) => {
      const to = pod.addresses[family] ?? '';
      expect(await isAnswered(outside.namespace, to)).toBe(true);
      expect(await isAnswered(outside.namespace, node().addresses[family])).toBe(true);
      expect(await isAnswered(node().namespace, outside.addresses[family])).toBe(true);
      for (const [from, address] of [
        [outside.namespace, to],
        [pod.namespace, outside.addresses[family]],
      ] as const)
        expect(await transfer(from, address, BULK, 300_000)).toMatchObject({ take: true, give: true });
    },
  );
});

test('who is listed reaches neither pod nor node, until the list says otherwise', async () => {
  const targets = FAMILIES.flatMap((family) => [pod.addresses[family] ?? '', node().addresses[family]]);
  const reached = async () => {
    const all = await Promise.all(targets.map((to) => isAnswered(enemy.namespace, to)));
    return all.filter((is) => is).length;
  };
  expect(await reached()).toBe(4);
  deny(enemy.addresses.ipv4, `${enemy.addresses.ipv6}/128`);
  await until('it is refused', async () => (await reached()) === 0);
  const before = (await drops()).SourceDenied ?? 0;
  expect(await reached()).toBe(0);
  // two echo requests to each of four addresses, or what has to come before them
  expect(((await drops()).SourceDenied ?? 0) - before).toBeGreaterThanOrEqual(4);
  for (const family of FAMILIES) {
    expect(await isAnswered(outside.namespace, pod.addresses[family] ?? '')).toBe(true);
  }
  deny('192.0.2.99');
  await until('it is let in again', async () => (await reached()) === 4);
});

test('in front of the host alone it guards the host', async () => {
  expect(await isAnswered(node().namespace, '127.0.0.1')).toBe(true);
  const before = (await drops(LOCAL)).SourceDenied ?? 0;
  expect(await isAnswered(node().namespace, '-I', '127.0.0.7', '127.0.0.1')).toBe(false);
  expect(((await drops(LOCAL)).SourceDenied ?? 0) - before).toBe(2);
});

describe('a dry run at an interface', () => {
  const dry = async (from: string, packet: string): Promise<DryRun> => {
    const args = ['trace', '--dry-run', '--from', from, '--packet', packet, '-o', 'json'];
    return JSON.parse((await lab.worker(0).agent.cli(args)).stdout) as DryRun;
  };
  const cubes = ({ hops }: DryRun) => hops.map(({ cube }) => cube.replace(`${SYSTEM}/`, ''));

  test.each(FAMILIES)(
    '%s: tells of the cubes at XDP and then of those in TC, and counts nothing',
    async (family) => {
      const to = pod.addresses[family] ?? '';
      deny(enemy.addresses[family]);
      await until('it is refused', async () => !(await isAnswered(enemy.namespace, to)));
      const dryRuns = async () => [
        await dry('eth0', `icmp ${enemy.addresses[family]} > ${to}`),
        await dry('eth0', `icmp ${outside.addresses[family]} > ${to}`),
        await dry('eth0', `icmp ${outside.addresses[family]} > ${node().addresses[family]}`),
      ];
      // the refused host may still look for its neighbours meanwhile, which counts; a dry run would count each time
      await until('dry runs count nothing', async () => {
        const before = JSON.stringify(await drops());
        await dryRuns();
        return JSON.stringify(await drops()) === before;
      });
      const [refused, passes, host] = (await dryRuns()) as [DryRun, DryRun, DryRun];
      expect(refused).toMatchObject({
        verdict: 'Dropped',
        by: `${SYSTEM}/${GUARD}`,
        drop: { reason: 'SourceDenied' },
      });
      expect(cubes(refused)).toEqual([GUARD]);

      expect(passes).toMatchObject({
        verdict: 'Delivered',
        interface: 'eth0',
        to: expect.stringContaining('Pod default/server') as unknown,
      });
      expect(cubes(passes)).toEqual([GUARD, 'kubernetes.router.node-a', 'kubernetes.ilb.node-a']);
      expect(passes.hops[0]?.outputs).toMatchObject([{ port: 'inside', to: 'what is behind XDP' }]);

      expect(host).toMatchObject({
        verdict: 'Host',
        to: expect.stringContaining("the host's own address") as unknown,
      });
      expect(cubes(host)).toEqual([GUARD]);
    },
  );

  test('in front of the host alone', async () => {
    const refused = await dry('lo', 'udp 127.0.0.7:1 > 127.0.0.1:2');
    expect(refused).toMatchObject({ verdict: 'Dropped', by: `${SYSTEM}/${LOCAL}` });
    const passes = await dry('lo', 'udp 127.0.0.1:1 > 127.0.0.1:2');
    expect(passes).toMatchObject({ verdict: 'Host' });
    expect(cubes(passes)).toEqual([LOCAL]);
  });
});

test('it works on without an agent, and the next one takes it over as it is', async () => {
  deny(enemy.addresses.ipv4);
  const target = pod.addresses.ipv4 ?? '';
  await until('it is refused', async () => !(await isAnswered(enemy.namespace, target)));
  const { agent } = lab.worker(0);
  const before = await xdpOf('eth0');
  await agent.kill();
  expect(await isAnswered(enemy.namespace, target)).toBe(false);
  expect(await isAnswered(outside.namespace, target)).toBe(true);
  await agent.start();
  expect(await xdpOf('eth0')).toEqual(before);
  expect((await agent.cli(['plan', '--node', 'node-a'])).stdout).not.toMatch(/attach|detach|load|flip/);
  expect(await isAnswered(enemy.namespace, target)).toBe(false);
  expect(await statusOf(GUARD)).toMatchObject({ program: { mode: 'Native' } });
});

test('down takes it off; what somebody else has there stays, is named, and makes room when it goes', async () => {
  const { agent } = lab.worker(0);
  await agent.stop();
  await agent.down();
  expect(await xdpOf('eth0')).toBeUndefined();
  expect(await xdpOf('lo')).toBeUndefined();

  // not by ip(8), which would leave folders of its own in the BPF file system
  const pin = `${agent.bpffs}/theirs`;
  await node().namespace.exec(['bpftool', 'prog', 'load', THEIRS, pin, 'type', 'xdp']);
  await node().namespace.exec(['bpftool', 'net', 'attach', 'xdp', 'pinned', pin, 'dev', 'eth0']);
  const theirs = await xdpOf('eth0');
  expect(theirs?.name).toBe('theirs');
  await agent.start();
  await agent.plug(pod);
  await until('it is named', async () => {
    const status = await statusOf(GUARD);
    return status !== undefined && conditionOf(status, 'ResolvedRefs')?.reason === 'ForeignXDPProgram';
  });
  const status = (await statusOf(GUARD)) ?? {};
  expect(conditionOf(status, 'ResolvedRefs')?.message).toContain(
    `interface eth0 has the XDP program theirs (id ${theirs?.id})`,
  );
  expect(conditionOf(status, 'Ready')?.status).toBe('False');
  expect(await xdpOf('eth0')).toEqual(theirs);
  const target = pod.addresses.ipv4 ?? '';
  await until('the chain in TC goes on', () => isAnswered(outside.namespace, target));

  await node().namespace.exec(['bpftool', 'net', 'detach', 'xdp', 'dev', 'eth0']);
  await until('the room is taken', async () => (await xdpOf('eth0'))?.name === 'xdp_entry');
  await until('it is ready', async () => {
    const now = await statusOf(GUARD);
    return now !== undefined && conditionOf(now, 'Ready')?.status === 'True';
  });
  await until('it is refused again', async () => !(await isAnswered(enemy.namespace, target)));
});
