// SPDX-License-Identifier: Apache-2.0
/** `npm run cluster -- --light`: two clusters side by side, one that is killed while it starts, and nothing left of any. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, jest, test } from '@jest/globals';
import { cgroupRoot } from '../harness/cgroup.ts';
import { detachedLabs, labDirectory, labNamespaces, labPins } from '../harness/lab.ts';

jest.setTimeout(300_000);

const MAIN = join(import.meta.dirname, '../../scripts/cluster/main.ts');
/** Of this run alone: other clusters of the machine are none of its business. */
const NAMES = ['one', 'two', 'killed'].map((name) => `${name}-${process.pid}`) as [string, string, string];
const [ONE, TWO, KILLED] = NAMES;
/** How long the first build of Kubernetes may take, on a machine that never did it. */
const FIRST_BUILD_MS = 30 * 60_000;

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  name: string,
  ...args: string[]
): { child: ChildProcess; outcome: Promise<Outcome>; said(): string } {
  const child = spawn(process.execPath, [MAIN, '--light', '--name', name, ...args]);
  const text = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (chunk: Buffer) => {
      text[stream] += chunk.toString();
    });
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  child.once('close', (status) => resolve({ status, ...text }));
  return { child, outcome: promise, said: () => text.stdout + text.stderr };
}

const cluster = (name: string, ...args: string[]): Promise<Outcome> => start(name, ...args).outcome;
const labOf = (name: string): Promise<string[]> => detachedLabs(`npm run cluster ${name}`);

/** What is left of a lab: of one that is down nothing. */
async function left(id: string): Promise<object> {
  const cgroup = join(await cgroupRoot(), `cpl-${id}`);
  return {
    namespaces: labNamespaces(id),
    pins: existsSync(labPins(id)),
    files: existsSync(labDirectory(id)),
    cgroup: existsSync(cgroup) ? readdirSync(cgroup) : false,
  };
}
const NOTHING = { namespaces: [], pins: false, files: false, cgroup: false };

afterAll(async () => {
  for (const name of NAMES) await cluster(name, 'down');
}, 120_000);

test(
  'two run side by side, each by its name, and do not meet',
  async () => {
    // the first one may have to build Kubernetes
    const first = await cluster(ONE, 'up', '--nodes', '1');
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining('the cluster is up')]);
    const second = await cluster(TWO, 'up', '--nodes', '1');
    expect(second.status).toBe(0);
    const paths = await Promise.all([ONE, TWO].map((name) => cluster(name, 'kubeconfig')));
    expect(new Set(paths.map(({ stdout }) => stdout)).size).toBe(2);
    expect((await cluster(ONE, 'kubectl', 'create', 'namespace', 'here')).status).toBe(0);
    const namespaces = await cluster(TWO, 'kubectl', 'get', 'namespaces', '-o', 'name');
    expect(namespaces.stdout).toContain('namespace/default');
    expect(namespaces.stdout).not.toContain('namespace/here');
    // both have the same addresses
    for (const name of [ONE, TWO]) {
      const shown = await cluster(name, 'node', 'node-1', 'ip', '-oneline', 'address', 'show', 'eth0');
      expect([shown.status, shown.stdout]).toEqual([0, expect.stringContaining('198.18.0.11/24')]);
    }
    const again = await cluster(ONE, 'up');
    expect([again.status, again.stderr]).toEqual([0, `${ONE} is up already\n`]);
  },
  FIRST_BUILD_MS,
);

test('of one that is killed while it starts "down" leaves nothing, and the others go on', async () => {
  const { child, outcome, said } = start(KILLED, 'up', '--nodes', '1');
  for (const deadline = Date.now() + 60_000; !said().includes('its agent runs'); await sleep(20))
    if (Date.now() > deadline) throw new Error(`it does not start: ${said()}`);
  child.kill('SIGKILL');
  expect((await outcome).status).toBeNull();
  const [id = ''] = await labOf(KILLED);
  expect(labNamespaces(id)).not.toEqual([]);
  expect((await cluster(KILLED, 'status')).status).toBe(1);
  expect((await cluster(KILLED, 'down')).status).toBe(0);
  expect(await left(id)).toEqual(NOTHING);
  for (const name of [ONE, TWO])
    expect((await cluster(name, 'status')).stdout).toContain('state       ready');
});

test('"down" ends one, and leaves nothing of it', async () => {
  const ids = (await Promise.all([ONE, TWO].map(labOf))).flat();
  expect(ids).toHaveLength(2);
  expect((await cluster(ONE, 'down')).status).toBe(0);
  expect((await cluster(ONE, 'status')).status).toBe(1);
  expect((await cluster(TWO, 'status')).status).toBe(0);
  expect((await cluster(TWO, 'down')).status).toBe(0);
  for (const id of ids) expect(await left(id)).toEqual(NOTHING);
});
