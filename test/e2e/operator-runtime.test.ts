// SPDX-License-Identifier: Apache-2.0
/** src/k8s against a real API server that is killed, stopped and cut off. */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { findServerProcess, type ServerProcess } from '../harness/kube/server-process.ts';
import { type Lab, openLab } from '../harness/lab.ts';
import { createMachine, createUnderlay, type Machine } from '../harness/topology.ts';
import { until } from '../harness/until.ts';
import type { WatcherState } from './operator-watcher.ts';

const HOST = 40;
const IDLE_MS = 1500;
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

let lab: Lab;
let cluster: Cluster;
let machine: Machine;
let socket: string;
let apiServer: ApiServer;

/** The cluster's kube-apiserver, which can be started again. */
class ApiServer {
  #process: ServerProcess;
  #restarts = 0;

  constructor(process: ServerProcess) {
    this.#process = process;
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.#process.pid, name);
  }

  async restart(): Promise<void> {
    const { namespace } = cluster.machine;
    const { argv } = this.#process;
    const name = `kube-apiserver-${++this.#restarts}`;
    const { pid } = await namespace.start(name, argv, { cwd: namespace.directory });
    this.#process = { pid, argv };
    await until(
      'the API server is ready',
      async () => (await cluster.api.raw('GET', '/readyz')) === 'ok',
      30_000,
    );
  }
}

async function watcher(): Promise<WatcherState> {
  const text = await new Promise<string>((resolve, reject) => {
    const call = request({ socketPath: socket, timeout: 5000 }, async (answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      resolve(Buffer.concat(chunks).toString());
    });
    call.once('error', reject).end();
  });
  return JSON.parse(text) as WatcherState;
}

async function create(name: string): Promise<void> {
  await cluster.api.create(CONFIG_MAPS, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, labels: { test: 'watcher' } },
  });
}

async function serverKeys(): Promise<string[]> {
  const items = await cluster.api.list(`${CONFIG_MAPS}?labelSelector=test%3Dwatcher`);
  return items.map((item) => `default/${item.metadata.name}`).sort();
}

async function untilEqual(what: string, timeoutMs = 60_000): Promise<void> {
  const wanted = JSON.stringify(await serverKeys());
  await until(what, async () => JSON.stringify((await watcher()).keys) === wanted, timeoutMs);
}

beforeAll(async () => {
  lab = await openLab('e2e operator runtime');
  const underlay = await createUnderlay(lab);
  cluster = await startCluster(underlay);
  machine = await createMachine(underlay, 'watcher', HOST);
  apiServer = new ApiServer(await findServerProcess(cluster));
  for (let i = 0; i < 35; i++) await create(`start-${i}`);
  socket = join(machine.namespace.directory, 'watcher.sock');
  const program = join(import.meta.dirname, 'operator-watcher.ts');
  const argv = [process.execPath, program, cluster.kubeconfig, socket, String(IDLE_MS)];
  const running = await machine.namespace.start('watcher', argv);
  await running.waitUntil('listening', () => existsSync(socket));
  await untilEqual('the first list');
}, 600_000);

afterAll(async () => {
  await lab?.close();
}, 120_000);

describe('a reflector', () => {
  it('reads the first list in pages and then follows changes', async () => {
    await create('followed');
    await cluster.api.delete(`${CONFIG_MAPS}/start-0`);
    await untilEqual('both changes');
    const { health, deleted } = await watcher();
    expect(health).toMatchObject({ state: 'Watching', synced: true, lists: 1 });
    expect(deleted).toEqual(['default/start-0']);
  });

  it('cuts a connection that is silent because the API server hangs, and goes on when it answers', async () => {
    const before = (await watcher()).health.silent;
    apiServer.signal('SIGSTOP');
    try {
      await until('the silence is seen', async () => (await watcher()).health.silent > before);
      expect((await watcher()).keys).toHaveLength(35);
    } finally {
      apiServer.signal('SIGCONT');
    }
    await cluster.api.delete(`${CONFIG_MAPS}/start-1`);
    await untilEqual('the deletion after it went on');
    expect((await watcher()).deleted).toContain('default/start-1');
  }, 120_000);

  it('survives a killed API server', async () => {
    apiServer.signal('SIGKILL');
    await sleep(500);
    await apiServer.restart();
    await create('after-kill');
    await cluster.api.delete(`${CONFIG_MAPS}/start-2`);
    await untilEqual('changes after the restart');
  }, 120_000);

  it('loses no deletion while its network is cut and the API server forgets its history', async () => {
    const lists = (await watcher()).health.lists;
    await machine.namespace.ip('link set eth0 down');
    for (let i = 3; i < 30; i++) await cluster.api.delete(`${CONFIG_MAPS}/start-${i}`);
    await create('made-while-away');
    // A new API server knows no version before its start, so the watch cannot go on where it was.
    apiServer.signal('SIGKILL');
    await sleep(200);
    await apiServer.restart();
    await create('made-after-the-restart');
    await machine.namespace.ip('link set eth0 up', 'address add fd00:18::40/64 dev eth0 nodad');
    await untilEqual('everything that happened meanwhile', 40_000);
    const { deleted, health } = await watcher();
    for (let i = 3; i < 30; i++) expect(deleted).toContain(`default/start-${i}`);
    expect(health.lists).toBeGreaterThan(lists);
  }, 120_000);
});
