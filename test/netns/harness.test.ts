// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { cgroupProcesses } from '../harness/cgroup.ts';
import { isAlive, type Lab, labNamespaces, openLab, removeLab } from '../harness/lab.ts';
import { type Running, start } from '../harness/process.ts';
import {
  createNodes,
  createPod,
  createUnderlay,
  type Node,
  setPodOffload,
  setUnderlayOffload,
} from '../harness/topology.ts';
import { ask, startServer } from '../harness/traffic.ts';

/** What a lab of another process made. */
interface Victim {
  readonly id: string;
  readonly pid: number;
  readonly cgroup: string;
}

// The harness itself: what every other test of this folder stands on.
jest.setTimeout(120_000);

describe('two nodes on an underlay', () => {
  let lab: Lab;
  let nodes: Node[];
  const node = (index: number): Node => {
    const found = nodes[index];
    if (found === undefined) throw new Error(`no node ${index}`);
    return found;
  };

  beforeAll(async () => {
    lab = await openLab('harness test');
    nodes = await createNodes(await createUnderlay(lab), ['node-a', 'node-b'], { overlayDevice: 'vxlan0' });
  });
  afterAll(async () => {
    await lab.close();
  });

  test.each(['ipv4', 'ipv6'] as const)('reach each other over %s', async (family) => {
    await node(0).namespace.exec(['ping', '-c', '2', '-i', '0.05', '-W', '2', node(1).addresses[family]]);
  });

  test('a server started again under its name answers as soon as it says so', async () => {
    const first = await startServer(node(0).namespace, 'again');
    await first.stop();
    const second = await startServer(node(0).namespace, 'again');
    expect((await second.output()).match(/ready/g)).toHaveLength(1);
    const { requests, failures } = await ask(node(0).namespace, '127.0.0.1', 8080, { count: 1 });
    expect({ requests, failures }).toEqual({ requests: 1, failures: [] });
    await second.stop();
  });

  test('carry full-size packets and refuse larger ones', async () => {
    const ping = (bytes: number) => [
      ...['ping', '-c', '1', '-W', '2', '-M', 'do', '-s', String(bytes), node(1).addresses.ipv4],
    ];
    await node(0).namespace.exec(ping(1500 - 28));
    const tooLarge = await node(0).namespace.exec(ping(1500 - 27), { anyStatus: true });
    expect(tooLarge.status).not.toBe(0);
  });

  test('have a collect-metadata VXLAN device with the agreed MAC', async () => {
    const [link] = await node(0).namespace.ipJson('link show vxlan0');
    expect(link).toMatchObject({ address: '02:c0:be:00:00:01', linkinfo: { info_kind: 'vxlan' } });
    expect((link as { linkinfo: { info_data: object } }).linkinfo.info_data).toMatchObject({
      external: true,
      port: 4789,
    });
  });

  test('offload is switched at both ends', async () => {
    const { namespace, underlay } = node(0);
    for (const on of [false, true]) {
      await setUnderlayOffload(node(0), on);
      expect(await namespace.checksumOffload('eth0')).toBe(on);
      expect(await underlay.namespace.checksumOffload('port11')).toBe(on);
    }
  });

  test('a pod reaches its node, offload on and off', async () => {
    const pod = await createPod(node(0), {
      name: 'client',
      addresses: { ipv4: '10.244.1.2/24', ipv6: 'fd00:244:0:1::2/64' },
      gateways: { ipv4: '10.244.1.1', ipv6: 'fd00:244:0:1::1' },
    });
    await node(0).namespace.ip(
      `address add 10.244.1.1/24 dev ${pod.hostDevice}`,
      `address add fd00:244:0:1::1/64 dev ${pod.hostDevice} nodad`,
    );
    for (const on of [false, true]) {
      await setPodOffload(pod, on);
      expect(await pod.namespace.checksumOffload('eth0')).toBe(on);
      expect(await node(0).namespace.checksumOffload(pod.hostDevice)).toBe(on);
      await pod.namespace.exec(['ping', '-c', '1', '-W', '2', node(0).addresses.ipv4]);
      await pod.namespace.exec(['ping', '-c', '1', '-W', '2', node(0).addresses.ipv6]);
    }
    expect(pod).toMatchObject({ hostDevice: 'veth1', addresses: { ipv4: '10.244.1.2' } });
    const [link] = await pod.namespace.ipJson('link show eth0');
    expect(link?.mtu).toBe(1450);
  });

  test('a program runs in the namespace and the cgroup of its node, from its first instruction', async () => {
    const { namespace } = node(1);
    const program = await namespace.start('sleeper', [
      'sh',
      '-c',
      'ip -o -4 address show eth0; exec sleep 60',
    ]);
    await program.waitForOutput(/198\.18\.0\.12/);
    expect(await cgroupProcesses(namespace.cgroup)).toContain(program.pid);
    expect(await program.stop()).toBe(143);
  });

  test('two labs stand side by side', async () => {
    const other = await openLab('harness test, a second lab');
    try {
      const [twin] = await createNodes(await createUnderlay(other), ['node-a']);
      expect(twin?.addresses).toEqual(node(0).addresses);
      await twin?.namespace.exec(['ping', '-c', '1', '-W', '2', node(0).addresses.ipv4]);
    } finally {
      await other.close();
    }
  });
});

describe('the end of a lab', () => {
  test('leaves no process, namespace, cgroup or file', async () => {
    const lab = await openLab('harness test, clean-up');
    const [node] = await createNodes(await createUnderlay(lab), ['node-a']);
    const program = await node?.namespace.start('stubborn', [
      'sh',
      '-c',
      'trap "" TERM; echo deaf; sleep 60',
    ]);
    await program?.waitForOutput(/deaf/);
    expect(labNamespaces(lab.id)).toHaveLength(2);
    await lab.close();
    expect(labNamespaces(lab.id)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
    expect(existsSync(lab.cgroup)).toBe(false);
    expect(await isAlive(program?.pid ?? 0)).toBe(false);
  });

  test('may be brought about by several at once', async () => {
    const lab = await openLab('harness test, ended thrice');
    const [node] = await createNodes(await createUnderlay(lab), ['node-a', 'node-b']);
    await node?.namespace.start('sleeper', ['sleep', '60']);
    await Promise.all([removeLab(lab.id), lab.close(), removeLab(lab.id)]);
    expect(labNamespaces(lab.id)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
    expect(existsSync(lab.cgroup)).toBe(false);
  });

  /** A program that makes a lab and says so, run in a lab of the test's own. */
  async function withVictim(body: (victim: Running, left: Victim) => Promise<void>): Promise<void> {
    const harness = new URL('../harness/', import.meta.url).pathname;
    const program = `
      import { openLab } from '${harness}lab.ts';
      import { createNodes, createUnderlay } from '${harness}topology.ts';
      const lab = await openLab('a run that is ended');
      const [node] = await createNodes(await createUnderlay(lab), ['node-a']);
      const sleeper = await node.namespace.start('sleeper', ['sleep', '60']);
      console.log(JSON.stringify({ id: lab.id, pid: sleeper.pid, cgroup: lab.cgroup }));
      process.on('SIGUSR2', () => { throw new Error('a mistake in the program'); });
      setInterval(() => {}, 1000);`;
    const lab = await openLab('harness test, ends');
    try {
      const victim = await start(['node', '--input-type=module-typescript', '--eval', program], {
        logPath: join(lab.directory, 'victim.log'),
        // What jest sets would make it leave uncaught errors to jest.
        env: { JEST_WORKER_ID: undefined, NODE_OPTIONS: undefined },
      });
      const [text] = await victim.waitForOutput(/\{.*\}/);
      const left = JSON.parse(text) as Victim;
      expect(labNamespaces(left.id)).toHaveLength(2);
      await body(victim, left);
      expect(labNamespaces(left.id)).toEqual([]);
      expect(existsSync(left.cgroup)).toBe(false);
      expect(await isAlive(left.pid)).toBe(false);
    } finally {
      await lab.close();
    }
  }

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGUSR2', 1], // which makes the program throw
  ] as const)('comes with %s too, and the status says so', async (signal, status) => {
    await withVictim(async (victim) => {
      victim.kill(signal);
      expect(await victim.exited()).toBe(status);
    });
  });

  test('is made up for by the next lab, after a SIGKILL', async () => {
    await withVictim(async (victim, left) => {
      victim.kill('SIGKILL');
      expect(await victim.exited()).toBe(137);
      expect(labNamespaces(left.id)).toHaveLength(2);
      const next = await openLab('harness test, after the crash', { log: () => {} });
      await next.close();
    });
  });
});
