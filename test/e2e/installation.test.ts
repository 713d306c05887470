// SPDX-License-Identifier: Apache-2.0
/**
 * config/default on a real API server, and its pods from the real image: with the capabilities, the volumes, the environment and
 * the tokens that the manifests say, and no more.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { collectSystem } from '../../scripts/images/debian.ts';
import { pluginAnswer, startPlugin } from '../harness/cni.ts';
import {
  type ContainerSpec,
  type PodSpec,
  runContainer,
  type Surroundings,
  startContainer,
} from '../harness/image/container.ts';
import { type UnpackedImage, unpackImage } from '../harness/image/unpack.ts';
import { SYSTEM_NAMESPACE } from '../harness/kube/access.ts';
import type { KubeObject } from '../harness/kube/api.ts';
import { type Cluster, startCluster } from '../harness/kube/cluster.ts';
import { FakeKubelet, type PodCidrs } from '../harness/kube/fake-kubelet.ts';
import { type Lab, labPins, openLab } from '../harness/lab.ts';
import { createNamespace, type Namespace } from '../harness/netns.ts';
import type { Running } from '../harness/process.ts';
import { createNodes, createUnderlay, type Node } from '../harness/topology.ts';

jest.setTimeout(180_000);

/** The first build of Kubernetes, on a machine that never did it, and of the image. */
const FIRST_BUILD_MS = 35 * 60_000;
const CONFIG = join(import.meta.dirname, '../../config');
const PODS = `/api/v1/namespaces/${SYSTEM_NAMESPACE}/pods`;

type Pod = KubeObject & { readonly spec: PodSpec };

let lab: Lab;
let cluster: Cluster;
let node: Node;
let image: UnpackedImage;
let cidrs: PodCidrs;
let overlay: string;
let agent: Pod;
let agentProcess: Running;

beforeAll(async () => {
  lab = await openLab('installation test');
  image = await unpackImage(lab);
  const underlay = await createUnderlay(lab);
  const moreControllers = ['daemonset-controller', 'deployment-controller', 'replicaset-controller'];
  cluster = await startCluster(underlay, { moreControllers });
  [node] = (await createNodes(underlay, ['node-a'])) as [Node];
  await node.namespace.ip(`route add default via ${cluster.machine.addresses.ipv4}`);
  cidrs = await new FakeKubelet(cluster.api, node.name, node.addresses).register({
    labels: { 'kubernetes.io/arch': 'amd64' },
  });
  overlay = overlayOf('cluster', [], ['default']);
}, FIRST_BUILD_MS);

afterAll(async () => {
  await lab?.close();
});

/** As a user's own: config/default with the address of the API server, and components. */
function overlayOf(name: string, components: readonly string[], resources: readonly string[]): string {
  const folder = join(lab.directory, name);
  mkdirSync(folder);
  const pathOf = (path: string) => relative(folder, join(CONFIG, path));
  const { hostname: host, port } = new URL(cluster.server);
  const literals = [`KUBERNETES_SERVICE_HOST=${host}`, `KUBERNETES_SERVICE_PORT=${port}`];
  const kustomization = {
    resources: resources.map(pathOf),
    components: components.map((one) => pathOf(`components/${one}`)),
    configMapGenerator: [
      { name: 'cubeplane-api-server', namespace: SYSTEM_NAMESPACE, behavior: 'merge', literals },
    ],
  };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  return folder;
}

/** The pod of a DaemonSet or Deployment, as its controller has made it, bound to the node as a scheduler would. */
async function boundPod(app: string): Promise<Pod> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100)) {
    const found = await cluster.api.list<Pod>(`${PODS}?labelSelector=app.kubernetes.io/name%3D${app}`);
    const pod = found.find(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (pod === undefined) continue;
    const { name } = pod.metadata;
    if (pod.spec.nodeName !== undefined) return pod;
    await cluster.api.create(`${PODS}/${name}/binding`, {
      ...{ apiVersion: 'v1', kind: 'Binding', metadata: { name } },
      target: { apiVersion: 'v1', kind: 'Node', name: node.name },
    });
  }
  throw new Error(`no pod of ${app} within 30 s`);
}

/** A token as the kubelet asks for it: bound to the pod, and so to its node. */
async function tokenOf(pod: Pod, account: string): Promise<string> {
  const { name, uid } = pod.metadata;
  const answer = await cluster.api.create<{ status: { token: string } }>(
    `/api/v1/namespaces/${SYSTEM_NAMESPACE}/serviceaccounts/${account}/token`,
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
      spec: { expirationSeconds: 3600, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } },
    },
  );
  return answer.status.token;
}

/** Folders of the lab in the place of the machine's own. */
function hostPaths(): Record<string, string> {
  const own = Object.fromEntries(
    ['/var/lib/cubeplane', '/run/cubeplane', '/opt/cni/bin', '/etc/cni/net.d'].map((path) => [
      path,
      join(node.namespace.directory, 'host', path),
    ]),
  );
  for (const path of [...Object.values(own), labPins(lab.id)]) mkdirSync(path, { recursive: true });
  return {
    ...own,
    '/sys/fs/bpf': labPins(lab.id),
    // the root of cgroup2 is everybody's on this machine
    '/sys/fs/cgroup': node.namespace.cgroup,
    '/proc/sys/net': '/proc/sys/net',
    '/run/netns': '/run/netns',
  };
}

async function surroundings(pod: Pod, account?: string): Promise<Surroundings> {
  const folder = join(node.namespace.directory, `account-${pod.metadata.name}`);
  if (account !== undefined) {
    mkdirSync(folder, { recursive: true });
    const ca = join(cluster.machine.namespace.directory, 'certificates', 'apiserver.crt');
    const files = {
      token: await tokenOf(pod, account),
      'ca.crt': readFileSync(ca),
      namespace: SYSTEM_NAMESPACE,
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  }
  const maps = await cluster.api.list<KubeObject & { data: Record<string, string> }>(
    `/api/v1/namespaces/${SYSTEM_NAMESPACE}/configmaps`,
  );
  return {
    image,
    namespace: node.namespace,
    hostPaths: hostPaths(),
    configMaps: Object.fromEntries(maps.map(({ metadata, data }) => [metadata.name, data])),
    ...(account === undefined ? {} : { account: folder }),
  };
}

const only = (list: readonly ContainerSpec[] | undefined): ContainerSpec => {
  const [first, ...more] = list ?? [];
  if (first === undefined || more.length > 0) throw new Error('not one container');
  return first;
};

async function startPod(pod: Pod, account: string): Promise<Running> {
  return await startContainer(pod.spec, only(pod.spec.containers), await surroundings(pod, account));
}

/** Asks what a probe of the pod asks, on the node, until it passes. @throws Error with what the container has said. */
async function untilProbed(
  pod: Pod,
  running: Running,
  probe: 'livenessProbe' | 'readinessProbe',
): Promise<void> {
  const container = only(pod.spec.containers) as ContainerSpec &
    Record<string, { httpGet: Record<string, unknown> }>;
  const { host, port, path } = container[probe]?.httpGet ?? {};
  const command = ['curl', '--silent', '--fail', '--max-time', '2', `http://${host}:${port}${path}`];
  for (const deadline = Date.now() + 90_000; Date.now() < deadline; await sleep(200)) {
    if ((await node.namespace.exec(command, { anyStatus: true })).status === 0) return;
    if (running.status !== undefined) break;
  }
  throw new Error(
    `${pod.metadata.name}: its ${probe} does not pass:\n${(await running.output()).slice(-2000)}`,
  );
}

/** What the agent's log says of work in the kernel. */
const workIn = (log: string): string[] =>
  log.split('\n').filter((line) => line.includes('"the graph changed"'));

async function plug(
  command: 'ADD' | 'DEL',
  namespace: Namespace,
): Promise<{ status: number; stdout: string }> {
  const host = hostPaths();
  const variables = {
    ...{ CNI_COMMAND: command, CNI_CONTAINERID: `${lab.id}-${namespace.name}`, CNI_IFNAME: 'eth0' },
    ...{ CNI_NETNS: namespace.path, CNI_PATH: host['/opt/cni/bin'] },
  };
  const socket = join(host['/run/cubeplane'] ?? '', 'cni.sock');
  const conf = { cniVersion: '1.0.0', name: 'cubeplane', type: 'cubeplane-cni', socket };
  const plugin = join(host['/opt/cni/bin'] ?? '', 'cubeplane-cni');
  return await pluginAnswer(startPlugin(node.namespace, plugin, variables, JSON.stringify(conf)));
}

async function answers(namespace: Namespace): Promise<boolean> {
  const gateways = [cidrs.ipv4.replace(/0\/\d+$/, '1'), cidrs.ipv6.replace(/\/\d+$/, '1')];
  for (const gateway of gateways) {
    const { status } = await namespace.exec(['ping', '-n', '-c', '2', '-W', '2', gateway], {
      anyStatus: true,
    });
    if (status !== 0) return false;
  }
  return true;
}

describe('an image is made of files as Debian’s packages have them', () => {
  test.each([
    ['is not there', '/usr/bin/no-such-program', /no such file; run npm run setup/],
    ['is of no package', process.execPath, /of no Debian package/],
  ])('a program that %s is refused', (_what, path, message) => {
    expect(() => collectSystem([path], [])).toThrow(message);
  });
});

describe('the API server takes', () => {
  test('config/default, by server-side apply, and again by the other one', async () => {
    const { stdout } = await cluster.kubectl(['apply', '--server-side', '-k', overlay]);
    expect(stdout).toContain('daemonset.apps/cubeplane-agent serverside-applied');
    await cluster.kubectl([
      'wait',
      '--for=condition=Established',
      '--timeout=20s',
      '-f',
      join(CONFIG, '../crds'),
    ]);
    await cluster.kubectl(['apply', '--dry-run=server', '-k', overlay]);
  });

  test.each([['without-cni'], ['without-provider'], ['metrics']])(
    'config/default with the component %s',
    async (name) => {
      const folder = overlayOf(name, [name], ['default']);
      await cluster.kubectl(['apply', '--server-side', '--dry-run=server', '-k', folder]);
    },
  );

  test('config/uninstall', async () => {
    await cluster.kubectl(['apply', '--server-side', '--dry-run=server', '-k', join(CONFIG, 'uninstall')]);
  });
});

describe('from the image, with what the manifests give them', () => {
  test.each([['cubeplane-operator'], ['cubeplane-agent']])(
    '%s ends where nobody has said where the API server is, and says what to do',
    async (name) => {
      const pod = await boundPod(name);
      const where = await surroundings(pod, name);
      const unset = { KUBERNETES_SERVICE_HOST: '', KUBERNETES_SERVICE_PORT: '6443' };
      const configMaps = Object.fromEntries(Object.keys(where.configMaps).map((one) => [one, unset]));
      const run = runContainer(pod.spec, only(pod.spec.containers), { ...where, configMaps });
      await expect(run).rejects.toThrow(/write its address into config\/default\/api-server.env/);
    },
  );

  test('the operator becomes ready, as a user without rights', async () => {
    const pod = await boundPod('cubeplane-operator');
    const running = await startPod(pod, 'cubeplane-operator');
    await untilProbed(pod, running, 'livenessProbe');
    await untilProbed(pod, running, 'readinessProbe');
    const status = readFileSync(`/proc/${running.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t65532/m);
    expect(status).toMatch(/^CapBnd:\t0000000000000000$/m);
    const isThere = ['wait', '--for=create', '--timeout=30s', 'servicechain/kubernetes'];
    await cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...isThere]);
  });

  test('the agent makes the provider Ready, and the node has its network', async () => {
    agent = await boundPod('cubeplane-agent');
    agentProcess = await startPod(agent, 'cubeplane-agent');
    await untilProbed(agent, agentProcess, 'livenessProbe');
    // which the operator has applied
    const wait = ['wait', '--for=condition=Ready', '--timeout=90s', 'servicechain/kubernetes'];
    await cluster.kubectl(['-n', SYSTEM_NAMESPACE, ...wait], { timeoutMs: 100_000 });
    await untilProbed(agent, agentProcess, 'readinessProbe');
    // NET_ADMIN (12), SYS_ADMIN (21), PERFMON (38), BPF (39)
    const bits = (1n << 12n) | (1n << 21n) | (1n << 38n) | (1n << 39n);
    const status = readFileSync(`/proc/${agentProcess.pid}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^CapEff:\t${bits.toString(16).padStart(16, '0')}$`, 'm'));
    const host = hostPaths();
    expect(readdirSync(host['/etc/cni/net.d'] ?? '')).toEqual(['05-cubeplane.conflist']);
    const reserved = ['cat', '/proc/sys/net/ipv4/ip_local_reserved_ports'];
    expect((await node.namespace.exec(reserved)).stdout).toBe('49152-65535\n');
  });

  test('the operator says on the Node that it has a network', async () => {
    const { status } = await cluster.api.get<
      KubeObject & { status: { conditions: { type: string; status: string }[] } }
    >(`/api/v1/nodes/${node.name}`);
    expect(status.conditions).toContainEqual(
      expect.objectContaining({ type: 'NetworkUnavailable', status: 'False' }),
    );
  });

  test('a pod whose namespace is made later gets its network, keeps it without an agent, and the next agent takes all over', async () => {
    const pod = await createNamespace(lab, 'pod-1');
    const { status, stdout } = await plug('ADD', pod);
    expect([status, stdout]).toEqual([0, expect.stringContaining('"ips"')]);
    expect(await answers(pod)).toBe(true);
    agentProcess.kill('SIGKILL');
    await agentProcess.exited();
    expect(await answers(pod)).toBe(true);
    agentProcess = await startPod(agent, 'cubeplane-agent');
    await untilProbed(agent, agentProcess, 'readinessProbe');
    expect(await answers(pod)).toBe(true);
    expect(workIn(await agentProcess.output())).toEqual([]);
    expect((await plug('DEL', pod)).status).toBe(0);
  });
});

describe('the token of the agent’s pod', () => {
  let kubeconfig: string;
  const allowed = async (...args: string[]): Promise<boolean> => {
    const { stdout } = await cluster.kubectl(['auth', 'can-i', ...args], { kubeconfig, anyStatus: true });
    return stdout.trim() === 'yes';
  };
  const patch = (name: string) =>
    cluster.kubectl(
      [
        'patch',
        'cubenode',
        name,
        '--subresource=status',
        '--type=merge',
        '--dry-run=server',
        '-p',
        '{"status":{"agentVersion":"1"}}',
      ],
      { kubeconfig, anyStatus: true },
    );

  beforeAll(async () => {
    const token = await tokenOf(agent, 'cubeplane-agent');
    kubeconfig = await cluster.kubeconfigFor('agent-pod', token, SYSTEM_NAMESPACE);
    // a node that no agent runs on here; the operator makes its CubeNode
    await new FakeKubelet(cluster.api, 'node-b', { ipv4: '198.18.0.12' }).register();
    await cluster.kubectl(['wait', '--for=create', '--timeout=30s', 'cubenode/node-b']);
  });

  test('writes for its own node, and for no other one', async () => {
    expect(await patch(node.name)).toMatchObject({ status: 0 });
    const { status, stderr } = await patch('node-b');
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('may write the status of CubeNode node-a only'),
    ]);
  });

  test.each([
    ['get', 'secrets', '--all-namespaces'],
    ['list', 'pods', '--all-namespaces'],
    ['list', 'services', '--all-namespaces'],
    ['patch', 'nodes'],
    ['patch', 'cubes.cubeplane.io', '--all-namespaces'],
    ['create', 'cubelinks.cubeplane.io', '--all-namespaces'],
    ['delete', 'cubes.cubeplane.io', '--all-namespaces'],
    ['create', 'pods'],
    ['create', 'serviceaccounts/token'],
    ['delete', 'leases.coordination.k8s.io'],
  ])('may not %s %s', async (...what) => {
    expect(await allowed(...what)).toBe(false);
  });
});

test('config/uninstall leaves nothing on the node', async () => {
  await cluster.kubectl(['delete', '-n', SYSTEM_NAMESPACE, 'daemonset', 'cubeplane-agent', '--wait=false']);
  await cluster.kubectl(['apply', '--server-side', '-k', join(CONFIG, 'uninstall')]);
  const pod = await boundPod('cubeplane-uninstall');
  const down = only(pod.spec.initContainers);
  const where = await surroundings(pod);
  await expect(runContainer(pod.spec, down, where)).rejects.toThrow(/is running\n.*end it first/);
  await agentProcess.stop(30_000);
  expect((await runContainer(pod.spec, down, where)).stdout).toBe('node node-a: everything is removed\n');
  const devices = (await node.namespace.ipJson('link show')).map(({ ifname }) => ifname);
  expect(devices.sort()).toEqual(['eth0', 'lo']);
  const host = hostPaths();
  for (const path of ['/etc/cni/net.d', '/opt/cni/bin', '/run/cubeplane', '/sys/fs/bpf'])
    expect([path, readdirSync(host[path] ?? '')]).toEqual([path, []]);
  const running = await startContainer(pod.spec, only(pod.spec.containers), where);
  await sleep(1000);
  expect(running.status).toBeUndefined();
  expect(await running.stop()).toBe(0);
  expect(existsSync(join(host['/var/lib/cubeplane'] ?? '', node.name, 'committed.json'))).toBe(false);
});
