// SPDX-License-Identifier: Apache-2.0
/**
 * A cluster whose nodes are real but for the machine below them: kubelet, containerd and runc, a scheduler and all controllers.
 * Everything is its lab's own, so two of them do not meet.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NETWORK_TAINT } from '../../../src/operators/node-taint.ts';
import { createInternet, INTERNET, routeToInternet } from '../internet.ts';
import { ensureKubernetes } from '../kube/build.ts';
import { type Cluster, startCluster } from '../kube/cluster.ts';
import { openToRoot } from '../kube/root-access.ts';
import { type Lab, labDisk } from '../lab.ts';
import { run } from '../process.ts';
import { formatElapsed, type Log } from '../progress.ts';
import { CONTROL_PLANE_HOST, createNodes, createUnderlay, type Machine, UNDERLAY } from '../topology.ts';
import { until } from '../until.ts';
import { ensureHostPrograms } from './host-programs.ts';
import { ensureImages } from './images.ts';
import { prepareNode, type RealNode, startKubelet } from './node.ts';
import { podPrefixes, routeToPods } from './pod-prefixes.ts';
import { installProvider, type ProviderName, type ProxyMode, providerArchives } from './provider.ts';
import { rememberBoot } from './reboot.ts';

const COREDNS = join(import.meta.dirname, 'coredns.yaml');
const SCHEDULER = 'system:kube-scheduler';
const userOf = (node: string) => `system:node:${node}`;
export const MOST_NODES = 10;

export interface RealOptions {
  /** 1 to {@link MOST_NODES}; 2 by default. */
  readonly nodes?: number;
  readonly provider?: ProviderName;
  /** kube-proxy's, with the provider `bridge`. */
  readonly proxyMode?: ProxyMode;
  readonly log?: Log;
}

export interface RealCluster {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly nodes: readonly RealNode[];
  readonly internet: Machine;
  /** The administrator's; it works in the root network namespace. */
  readonly kubeconfig: string;
}

/**
 * Installs and builds what it needs and this machine has not: minutes the first time.
 *
 * @throws Error that says what is missing.
 */
export async function prepareRealCluster(log: Log): Promise<{ binaries: string; images: string }> {
  await ensureHostPrograms(log);
  const binaries = await ensureKubernetes(log);
  const missing = ['kubelet', 'kube-scheduler'].filter((name) => !existsSync(join(binaries, name)));
  if (missing.length > 0)
    throw new Error(
      `${binaries} holds no ${missing.join(' and no ')}: unset KUBEBUILDER_ASSETS to have all built`,
    );
  return { binaries, images: await ensureImages(log) };
}

/** Brings one up; it ends with its lab. Resolves when nodes and cluster DNS are ready, or without a provider when nodes are registered. */
export async function startRealCluster(lab: Lab, options: RealOptions = {}): Promise<RealCluster> {
  const began = Date.now();
  const say = options.log ?? lab.log;
  const log: Log = (line) => say(`${formatElapsed(Date.now() - began)}  ${line}`);
  const provider = options.provider ?? 'cubeplane';
  const { binaries, images } = await prepareRealCluster(log);
  const archives = [images, ...(await providerArchives(provider, log))];

  const underlay = await createUnderlay(lab);
  const internet = await createInternet(underlay);
  await callFromAfar(internet);
  const names = Array.from({ length: options.nodes ?? 2 }, (_, index) => `node-${index + 1}`);
  const bare = await createNodes(underlay, names);
  const certificate = await createClientCertificate(lab.directory);
  const [ipv4, ipv6] = [UNDERLAY.ipv4, UNDERLAY.ipv6].map((prefix) => `${prefix}${CONTROL_PLANE_HOST}`);
  const hosts = [{ name: 'control-plane', addresses: { ipv4, ipv6 } }, ...bare]
    .map(({ name, addresses }) => `${addresses.ipv4} ${name}\n${addresses.ipv6} ${name}\n`)
    .join('');
  const optionsOf = (name: string) => ({
    ...{ binaries, hosts, apiServerClientCa: certificate.crt },
    disk: join(labDisk(lab.id), name),
  });
  const preparing = Promise.all(
    bare.map(async (node) => {
      await routeToInternet(node, internet);
      return await prepareNode(node, { ...optionsOf(node.name), archives });
    }),
  );
  // Its failure is reported where it is awaited.
  preparing.catch(() => {});
  const users = Object.fromEntries(names.map((name) => [userOf(name), 'system:nodes']));
  const cluster = await startCluster(underlay, {
    log,
    moreControllers: 'all',
    heartbeats: true,
    users: { ...users, [SCHEDULER]: '' },
    apiServerFlags: [
      `--kubelet-client-certificate=${certificate.crt}`,
      `--kubelet-client-key=${certificate.key}`,
      '--kubelet-preferred-address-types=InternalIP',
    ],
  });
  await routeToInternet(cluster.machine, internet);
  const scheduler = [join(binaries, 'kube-scheduler'), `--kubeconfig=${cluster.kubeconfigOf(SCHEDULER)}`];
  await cluster.machine.namespace.start('kube-scheduler', [
    ...scheduler,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ]);
  const nodes = await preparing;
  log(`${names.length} machines run containerd, and have the images`);
  const taint =
    provider === 'none' || provider === 'bridge' ? undefined : { key: NETWORK_TAINT, effect: 'NoSchedule' };
  for (const [index, real] of nodes.entries()) {
    const { name, addresses } = real.node;
    const kubeconfig = cluster.kubeconfigOf(userOf(name));
    const kubelet = { kubeconfig, ...(taint === undefined ? {} : { taint }) };
    await startKubelet(real, kubelet);
    const boot = { ...optionsOf(name), index, addresses, gateway: internet.addresses, kubelet };
    // Others' programs run beside kubelet, where nobody would start them again.
    if (provider === 'cubeplane' || provider === 'none') await rememberBoot(real.node, boot);
  }
  await waitForPrefixes(cluster, nodes);
  await cluster.kubectl(['apply', '-f', COREDNS]);
  log('kubelets run, and nodes are registered');
  const kubeconfig = await openToRoot(lab, cluster);
  const real: RealCluster = { lab, cluster, nodes, internet, kubeconfig };
  await installProvider(real, provider, {
    log,
    ...(options.proxyMode === undefined ? {} : { proxyMode: options.proxyMode }),
  });
  if (provider === 'none') {
    log('nodes wait for a network: install a provider');
    return real;
  }
  await cluster.kubectl(['wait', '--for=condition=Ready', 'nodes', '--all', '--timeout=120s'], {
    timeoutMs: 130_000,
  });
  log('nodes are Ready');
  const rollout = ['--namespace=kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=120s'];
  await cluster.kubectl(rollout, { timeoutMs: 130_000 });
  log('cluster DNS is ready: the cluster is up');
  return real;
}

/**
 * What the internet's machine sends has its address behind the nodes' subnet: it is a client outside that no one takes for a node.
 */
async function callFromAfar({ namespace }: Machine): Promise<void> {
  const { ipv4, ipv4Length, ipv6, ipv6Length } = UNDERLAY;
  await namespace.ip(
    `route change ${ipv4}0/${ipv4Length} dev eth0 src ${INTERNET.ipv4}`,
    // The kernel has made one with a metric of its own: the lowest wins.
    `route replace ${ipv6}/${ipv6Length} dev eth0 metric 1 src ${INTERNET.ipv6}`,
  );
}

/** What the API server shows kubelets; it is its own authority. */
async function createClientCertificate(directory: string): Promise<{ crt: string; key: string }> {
  const [crt, key] = ['crt', 'key'].map((end) => join(directory, `apiserver-kubelet-client.${end}`)) as [
    string,
    string,
  ];
  const subject = ['-subj', '/O=system:masters/CN=kube-apiserver-kubelet-client', '-days', '3650'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const extension = ['-addext', 'extendedKeyUsage=clientAuth'];
  await run(['openssl', 'req', '-x509', ...kind, ...subject, ...extension, '-keyout', key, '-out', crt]);
  return { crt, key };
}

/** Waits for the nodes and their prefixes, and gives the control plane its way to pods: the API server passes requests on to them. */
async function waitForPrefixes(cluster: Cluster, nodes: readonly RealNode[]): Promise<void> {
  await until(
    'nodes are registered and have prefixes for pods',
    async () => {
      const prefixes = await podPrefixes(cluster);
      return nodes.every(({ node }) => prefixes.get(node.name)?.length === 2);
    },
    90_000,
  );
  const prefixes = await podPrefixes(cluster);
  for (const { node } of nodes) await routeToPods(cluster.machine, node, prefixes.get(node.name));
}
