// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result, Running, RunOptions } from '../process.ts';
import { formatElapsed, type Log } from '../progress.ts';
import { CONTROL_PLANE_HOST, createMachine, type Machine, type Underlay } from '../topology.ts';
import { KubeApi } from './api.ts';
import { ensureKubernetes, type KubeProgram } from './build.ts';
import { type Credentials, createCredentials, writeKubeconfig } from './credentials.ts';

/** Address ranges, both families each. Nodes get a /24 and a /64 of the pods'. */
export const CLUSTER_RANGES = {
  services: '10.96.0.0/16,fd00:96::/112',
  pods: '10.244.0.0/16,fd00:244::/56',
} as const;

const SECURE_PORT = 6443;

/** What a cluster network sees of a cluster. The rest makes pods, which no scheduler would place here. */
const CONTROLLERS = [
  'clusterrole-aggregation-controller',
  'endpoints-controller',
  'endpointslice-controller',
  'endpointslice-mirroring-controller',
  'garbage-collector-controller',
  'namespace-controller',
  'node-ipam-controller',
  'node-lifecycle-controller',
  'pod-garbage-collector-controller',
  'root-ca-certificate-publisher-controller',
  'service-cidr-controller',
  'serviceaccount-controller',
];

export interface ClusterOptions {
  readonly log?: Log;
  /** More flags for kube-apiserver, as `--name=value`. */
  readonly apiServerFlags?: readonly string[];
  /** Controllers of the controller manager beside the usual ones; `'all'`: every one that is on by default. */
  readonly moreControllers?: readonly string[] | 'all';
  /** Names of more users, with their group. Their kubeconfigs lie beside the administrator's. */
  readonly users?: Readonly<Record<string, string>>;
  /** Nodes send heartbeats, and are lost without: real kubelets run them. */
  readonly heartbeats?: boolean;
}

/**
 * A running control plane: etcd, kube-apiserver and kube-controller-manager on a machine of the underlay, with RBAC and
 * service-account tokens. It ends with its lab.
 */
export class Cluster {
  readonly machine: Machine;
  /** Folder of the Kubernetes programs. */
  readonly binaries: string;
  /** `https://…`, reached from every machine of the underlay. */
  readonly server: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  /** As the administrator, from any network namespace. */
  readonly api: KubeApi;
  /** The unix socket of `kubectl proxy`, which {@link api} asks. */
  readonly proxySocket: string;
  readonly #caPath: string;

  constructor(machine: Machine, binaries: string) {
    this.machine = machine;
    this.binaries = binaries;
    this.server = serverOf(machine);
    this.kubeconfig = join(machine.namespace.directory, 'admin.kubeconfig');
    this.proxySocket = join(machine.namespace.directory, 'api.sock');
    this.api = new KubeApi(this.proxySocket);
    this.#caPath = join(machine.namespace.directory, 'certificates', 'apiserver.crt');
  }

  /** The command line of real kubectl where it reaches the API server. */
  kubectlCommand(args: readonly string[], kubeconfig = this.kubeconfig): string[] {
    return this.machine.namespace.wrap([
      join(this.binaries, 'kubectl'),
      `--kubeconfig=${kubeconfig}`,
      ...args,
    ]);
  }

  /** Runs real kubectl. @throws CommandError with what it said, as {@link Namespace.exec} does. */
  async kubectl(
    args: readonly string[],
    options: RunOptions & { readonly kubeconfig?: string } = {},
  ): Promise<Result> {
    const { kubeconfig, ...rest } = options;
    const command = [
      join(this.binaries, 'kubectl'),
      `--kubeconfig=${kubeconfig ?? this.kubeconfig}`,
      ...args,
    ];
    const env = { HOME: this.machine.namespace.directory, ...rest.env };
    return await this.machine.namespace.exec(command, { ...rest, env });
  }

  /** Where the kubeconfig of a user is. */
  kubeconfigOf(user: string): string {
    return join(this.machine.namespace.directory, `${user}.kubeconfig`);
  }

  /** Writes a kubeconfig for a token into the lab and returns its path. */
  async kubeconfigFor(user: string, token: string, namespace?: string): Promise<string> {
    const path = this.kubeconfigOf(user);
    const options = { server: this.server, caPath: this.#caPath, user, token };
    await writeKubeconfig(path, namespace === undefined ? options : { ...options, namespace });
    return path;
  }
}

function serverOf(machine: Machine): string {
  return `https://${machine.addresses.ipv4}:${SECURE_PORT}`;
}

/**
 * Starts a control plane on the underlay, building Kubernetes first when it was never built here, and waits until it
 * answers and the `default` namespace is there.
 */
export async function startCluster(underlay: Underlay, options: ClusterOptions = {}): Promise<Cluster> {
  const log = options.log ?? underlay.lab.log;
  const binaries = await ensureKubernetes(log);
  const started = Date.now();
  const machine = await createMachine(underlay, 'control-plane', CONTROL_PLANE_HOST);
  const { directory } = machine.namespace;
  const credentials = await createCredentials(directory, options.users);
  const launch = (program: KubeProgram, flags: readonly string[]) =>
    machine.namespace.start(program, [join(binaries, program), ...flags], { cwd: directory });

  await launch('etcd', etcdFlags(directory));
  const apiServer = await launch('kube-apiserver', [
    ...apiServerFlags(machine, directory, credentials),
    ...(options.apiServerFlags ?? []),
  ]);
  const cluster = new Cluster(machine, binaries);
  const certificate = join(directory, 'certificates', 'apiserver.crt');
  await apiServer.waitUntil('issued its certificate', () => existsSync(certificate));
  await cluster.kubeconfigFor('admin', credentials.adminToken);
  for (const [user, token] of credentials.tokens) await cluster.kubeconfigFor(user, token);
  const proxy = await startProxy(cluster);
  await proxy.waitUntil('connected', () => existsSync(cluster.proxySocket));
  await apiServer.waitUntil('ready', () => isReady(cluster.api), 60_000);
  await launch('kube-controller-manager', controllerFlags(cluster, credentials, certificate, options));
  await untilFound(cluster.api, '/api/v1/namespaces/default/serviceaccounts/default');
  log(`kubernetes: control plane up (${formatElapsed(Date.now() - started)})`);
  return cluster;
}

/** The harness's own way in: see {@link KubeApi}. */
async function startProxy(cluster: Cluster): Promise<Running> {
  const flags = ['proxy', `--unix-socket=${cluster.proxySocket}`, '--reject-methods=^$'];
  return await cluster.machine.namespace.start('kubectl-proxy', [
    join(cluster.binaries, 'kubectl'),
    `--kubeconfig=${cluster.kubeconfig}`,
    ...flags,
  ]);
}

async function isReady(api: KubeApi): Promise<boolean> {
  return await api.raw('GET', '/readyz').then(
    () => true,
    () => false,
  );
}

/** Waits until an object is there that a controller makes. */
async function untilFound(api: KubeApi, path: string, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const failure = await api.raw('GET', path).then(
      () => undefined,
      (error: Error) => error,
    );
    if (failure === undefined) return;
    if (Date.now() > deadline) throw failure;
    await sleep(50);
  }
}

function etcdFlags(directory: string): string[] {
  const client = 'http://127.0.0.1:2379';
  const peer = 'http://127.0.0.1:2380';
  return [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // Nothing here has to survive a power cut, and fsync is what a busy disk is slowest at.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiServerFlags(machine: Machine, directory: string, credentials: Credentials): string[] {
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    '--bind-address=::',
    `--advertise-address=${machine.addresses.ipv4}`,
    `--secure-port=${SECURE_PORT}`,
    // Makes its own certificate for the advertised address.
    `--cert-dir=${join(directory, 'certificates')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${credentials.publicKeyPath}`,
    `--service-account-signing-key-file=${credentials.privateKeyPath}`,
    `--service-cluster-ip-range=${CLUSTER_RANGES.services}`,
    '--authorization-mode=Node,RBAC',
    `--token-auth-file=${credentials.tokensPath}`,
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--shutdown-delay-duration=0s',
  ];
}

function controllerFlags(
  cluster: Cluster,
  credentials: Credentials,
  certificate: string,
  { moreControllers = [], heartbeats = false }: ClusterOptions,
): string[] {
  return [
    `--kubeconfig=${cluster.kubeconfig}`,
    '--bind-address=127.0.0.1',
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${CLUSTER_RANGES.pods}`,
    '--node-cidr-mask-size-ipv4=24',
    '--node-cidr-mask-size-ipv6=64',
    `--service-cluster-ip-range=${CLUSTER_RANGES.services}`,
    `--controllers=${moreControllers === 'all' ? '*' : [...CONTROLLERS, ...moreControllers].join(',')}`,
    // The default of 20 requests a second makes a start take 4 s longer, and a burst of Services wait for its slices.
    '--kube-api-qps=1000',
    '--kube-api-burst=2000',
    `--service-account-private-key-file=${credentials.privateKeyPath}`,
    `--root-ca-file=${certificate}`,
    '--leader-elect=false',
    // The fake kubelet says once that its node is ready and sends no heartbeat; only a test's own word ends a node.
    ...(heartbeats ? [] : ['--node-monitor-grace-period=8760h', '--node-startup-grace-period=8760h']),
  ];
}
