// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run cluster`: two real nodes whose network is config/default from the image; what pods reach in both families, cluster DNS,
 * and the life of a cluster under load: a rolling update, a Deployment scaled, agents upgraded and taken back, a node drained and
 * booted. Nothing is left afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { hierarchies } from '../harness/hierarchies.ts';
import { detachedLabs, isAlive, labDirectory, labDisk, labNamespaces, labPins } from '../harness/lab.ts';
import { run } from '../harness/process.ts';
import { imageName } from '../harness/real/images.ts';
import { Admin } from './real/admin.ts';
import { drainAndReboot } from './real/drain.ts';
import { scaleThereAndBack, untilBackendsGone } from './real/scaling.ts';
import { replaceAgents, stopAtFirstNode } from './real/upgrade.ts';

/** Pods of the Deployment that is scaled; `npm run soak` asks for more. */
const PODS = Number(process.env.CUBEPLANE_CLUSTER_PODS ?? 12);
jest.setTimeout(300_000 + PODS * 5_000);

const MAIN = join(import.meta.dirname, '../../scripts/cluster/main.ts');
/** Of this run alone: other clusters of the machine are none of its business. */
const NAME = `real-${process.pid}`;
const KILLED = `killed-${process.pid}`;
/** How long the first build of Kubernetes and of the images may take, on a machine that never did it. */
const FIRST_BUILD_MS = 45 * 60_000;

const argvOf = (name: string, args: readonly string[]) => [process.execPath, MAIN, '--name', name, ...args];
const cluster = async (...args: string[]) =>
  await run(argvOf(NAME, args), { anyStatus: true, timeoutMs: FIRST_BUILD_MS });

async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const options = input === undefined ? {} : { input };
  return (await run(argvOf(NAME, ['kubectl', ...args]), { timeoutMs: 180_000, ...options })).stdout;
}

const execIn = async (pod: string, ...argv: string[]) => await kubectl(['exec', pod, '--', ...argv]);
const labOf = (name: string) => detachedLabs(`npm run real cluster ${name}`);

/** What is left of a lab: of one that is down nothing. */
async function left(id: string): Promise<object> {
  const cgroups = (await hierarchies()).map(({ path }) => join(path, `cpl-${id}`));
  const mounts = await run(['sh', '-c', `grep -c cpl-${id} /proc/mounts || true`]);
  return {
    namespaces: labNamespaces(id),
    places: [labPins(id), labDirectory(id), labDisk(id), ...cgroups].filter((path) => existsSync(path)),
    mounts: mounts.stdout.trim(),
    processes: await lastingProcessesOf(id),
  };
}
const NOTHING = { namespaces: [], places: [], mounts: '0', processes: [] };

/** Ids of processes in any cgroup of the lab; not of those that have ended and only await their parent. */
async function processesOf(id: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const cgroups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    if (cgroups.includes(`/cpl-${id}/`) && (await isAlive(Number(pid)))) found.push(Number(pid));
  }
  return found;
}

/** A killed process may be leaving still when its cgroup is gone: it gives back its memory. */
async function lastingProcessesOf(id: string): Promise<number[]> {
  for (const deadline = Date.now() + 5_000; ; await sleep(50)) {
    const found = await processesOf(id);
    if (found.length === 0 || Date.now() > deadline) return found;
  }
}

/** A Deployment with a pod a node and a Service of both families; \`web\` says its pod's name at /hostname. */
const WEB = (color: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, color: ${color}}}
    spec:
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {matchLabels: {app: web}}
      containers:
      - name: web
        image: ${imageName('agnhost')}
        imagePullPolicy: Never
        args: [netexec, --http-port=8080, --udp-port=8081, --delay-shutdown=4]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
`;

const CLIENT = (node: string) => `
apiVersion: v1
kind: Pod
metadata: {name: client-${node}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
  - {name: client, image: ${imageName('agnhost')}, imagePullPolicy: Never, args: [pause]}
---
`;

const NODES = ['node-1', 'node-2'] as const;
const bracket = (address: string) => (address.includes(':') ? `[${address}]` : address);
const curl = async (pod: string, url: string) =>
  await execIn(pod, 'curl', '--silent', '--show-error', '--max-time', '5', url);

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly nodeName: string };
    readonly status: { readonly podIPs: readonly { readonly ip: string }[] };
  }[];
}

beforeAll(async () => {
  const up = await cluster('up');
  expect([up.status, up.stderr]).toEqual([0, expect.stringContaining('the cluster is up')]);
}, FIRST_BUILD_MS);

afterAll(async () => {
  for (const name of [NAME, KILLED]) await run(argvOf(name, ['down']), { timeoutMs: 60_000 });
}, 130_000);

test('nodes are Ready by the work of the provider: the taint that kubelet registered with is gone', async () => {
  const { items } = JSON.parse(await kubectl(['get', 'nodes', '-o', 'json']));
  const shown = items.map((node: NodeObject) => ({
    name: node.metadata.name,
    taints: node.spec.taints ?? [],
    unavailable: node.status.conditions.find(({ type }) => type === 'NetworkUnavailable')?.status,
    ready: node.status.conditions.find(({ type }) => type === 'Ready')?.status,
  }));
  const ready = (name: string) => ({ name, taints: [], unavailable: 'False', ready: 'True' });
  expect(shown).toEqual(NODES.map(ready));
  const config = await cluster('exec', 'node-1', 'sh', '-c', 'cat /run/cubeplane-labs/*/node-1/kubelet.yaml');
  expect(JSON.parse(config.stdout).registerWithTaints).toEqual([
    { key: 'cubeplane.io/network-not-ready', effect: 'NoSchedule' },
  ]);
});

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly taints?: readonly object[] };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

test('pods of both nodes reach pods and Services, by address and by name, in both families', async () => {
  await kubectl(['apply', '-f', '-'], NODES.map(CLIENT).join('') + WEB('blue'));
  await kubectl(['rollout', 'status', 'deployment/web', '--timeout=120s']);
  await kubectl([
    'wait',
    '--for=condition=Ready',
    '--timeout=60s',
    ...NODES.map((node) => `pod/client-${node}`),
  ]);
  const pods = JSON.parse(await kubectl(['get', 'pods', '-l', 'app=web', '-o', 'json'])) as PodList;
  expect(new Set(pods.items.map(({ spec }) => spec.nodeName))).toEqual(new Set(NODES));
  const service = JSON.parse(await kubectl(['get', 'service', 'web', '-o', 'json']));
  const names = pods.items.map(({ metadata }) => metadata.name);
  for (const client of NODES.map((node) => `client-${node}`)) {
    for (const { metadata, status } of pods.items)
      for (const { ip } of status.podIPs)
        expect(await curl(client, `http://${bracket(ip)}:8080/hostname`)).toBe(metadata.name);
    for (const address of service.spec.clusterIPs as string[])
      expect(names).toContain(await curl(client, `http://${bracket(address)}/hostname`));
    for (const family of ['--ipv4', '--ipv6'])
      expect(names).toContain(
        await execIn(client, 'curl', '-sS', '--max-time', '5', family, 'http://web/hostname'),
      );
  }
});

test('a rolling update under load fails no request', async () => {
  // until something fails, or the file is there: a line a request that succeeds
  const loop = `n=0; while [ ! -e /tmp/enough ]; do
    curl --silent --show-error --fail --max-time 5 http://web/hostname >/dev/null || exit 1; n=$((n+1)); done; echo $n`;
  const load = run(argvOf(NAME, ['kubectl', 'exec', 'client-node-1', '--', 'sh', '-c', loop]), {
    anyStatus: true,
    timeoutMs: 240_000,
  });
  await kubectl(['apply', '-f', '-'], WEB('green'));
  await kubectl(['rollout', 'status', 'deployment/web', '--timeout=150s']);
  const pods = await kubectl(['get', 'pods', '-l', 'color=green', '-o', 'name']);
  expect(pods.trim().split('\n').length).toBeGreaterThanOrEqual(2);
  await kubectl(['wait', '--for=delete', '--timeout=60s', 'pods', '-l', 'color=blue']);
  await execIn('client-node-1', 'touch', '/tmp/enough');
  const { status, stdout, stderr } = await load;
  expect([status, stderr]).toEqual([0, '']);
  expect(Number(stdout)).toBeGreaterThan(20);
});

const told = (line: string) => process.stderr.write(`${line}\n`);

test(`a Deployment scaled 1 → ${PODS} → 1: all are reached, and nothing of those that go stays`, async () => {
  await scaleThereAndBack(await Admin.of(NAME), { count: PODS, nodes: NODES, client: 'client-node-1' }, told);
});

test('agents restarted, upgraded and taken back under load: no connection is lost or refused', async () => {
  await replaceAgents(await Admin.of(NAME), NODES, told);
});

test('an upgrade whose programs the kernel refuses stops at the first node', async () => {
  await stopAtFirstNode(await Admin.of(NAME), NODES);
});

test('a node drained and booted under load: the other one is reached all the time, and pods come back', async () => {
  await drainAndReboot(await Admin.of(NAME), { stays: 'node-1', leaves: 'node-2' }, told);
});

test('backends of the pods that were scaled away are gone from the kernel', async () => {
  await untilBackendsGone(await Admin.of(NAME), NODES);
});

test('one that is killed while it starts goes, beside one that runs on, whose addresses are the same', async () => {
  const child: ChildProcess = spawn(
    process.execPath,
    argvOf(KILLED, ['up', '--nodes', '1', '--provider', 'none']).slice(1),
  );
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  for (const deadline = Date.now() + 120_000; !said.includes('machines run containerd'); await sleep(20))
    if (Date.now() > deadline) throw new Error(`it does not start: ${said}`);
  child.kill('SIGKILL');
  const [id = ''] = await labOf(KILLED);
  expect(await processesOf(id)).not.toEqual([]);
  expect((await run(argvOf(KILLED, ['down']), { timeoutMs: 60_000 })).status).toBe(0);
  expect(await left(id)).toEqual(NOTHING);
  expect((await cluster('status')).stdout).toContain('state       ready');
});

test('"down" leaves nothing', async () => {
  const [id = ''] = await labOf(NAME);
  expect(id).not.toBe('');
  expect((await cluster('down')).status).toBe(0);
  expect(await left(id)).toEqual(NOTHING);
  expect((await cluster('status')).status).toBe(1);
});
