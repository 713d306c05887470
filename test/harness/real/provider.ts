// SPDX-License-Identifier: Apache-2.0
/** Networks that the cluster with real nodes can have. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { ROOT } from '../checkout.ts';
import { agentKubeconfig, installApi, operatorKubeconfig, SYSTEM_NAMESPACE } from '../kube/access.ts';
import { CLUSTER_RANGES, type Cluster } from '../kube/cluster.ts';
import type { Lab } from '../lab.ts';
import { run } from '../process.ts';
import type { Log } from '../progress.ts';
import type { RealNode } from './node.ts';
import { podPrefixes, routeToPods } from './pod-prefixes.ts';

export const PROVIDERS = ['cubeplane', 'checkout', 'bridge', 'none'] as const;
export type ProviderName = (typeof PROVIDERS)[number];
export const PROXY_MODES = ['iptables', 'nftables'] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

const IMAGES = join(ROOT, 'scripts/images/main.ts');
const CLI = join(ROOT, 'src/cli/main.ts');
const OPERATOR = join(ROOT, 'src/operators/main.ts');
/** kube-proxy's; the agents serve it. */
const PROXY_HEALTH = '[::]:10256';

interface Target {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly nodes: readonly RealNode[];
}

export async function installProvider(
  target: Target,
  provider: ProviderName,
  options: { readonly log: Log; readonly proxyMode?: ProxyMode },
): Promise<void> {
  if (provider === 'cubeplane') await installRelease(target, options.log);
  else if (provider === 'checkout') await runCheckout(target, options.log);
  else if (provider === 'bridge') await installBridge(target, options.proxyMode ?? 'iptables');
}

/** Archives of images that the nodes need for it, made when they are not there. */
export async function providerArchives(provider: ProviderName, log: Log): Promise<string[]> {
  if (provider !== 'cubeplane') return [];
  log('making the image of agent and operator');
  const { stdout } = await run([process.execPath, IMAGES], { cwd: ROOT, timeoutMs: 600_000 });
  const archive = /\S+\.oci\.tar/.exec(stdout)?.[0];
  if (archive === undefined) throw new Error(`npm run images names no archive: ${stdout}`);
  return [resolve(ROOT, archive)];
}

/** As docs/installation.md says: config/default with the API server's address. */
async function installRelease({ lab, cluster }: Target, log: Log): Promise<void> {
  const overlay = join(lab.directory, 'install');
  await mkdir(overlay);
  const { hostname, port } = new URL(cluster.server);
  const literals = [`KUBERNETES_SERVICE_HOST=${hostname}`, `KUBERNETES_SERVICE_PORT=${port}`];
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [relative(overlay, join(ROOT, 'config/default'))],
    configMapGenerator: [
      { name: 'cubeplane-api-server', namespace: SYSTEM_NAMESPACE, behavior: 'merge', literals },
    ],
  };
  await writeFile(join(overlay, 'kustomization.yaml'), JSON.stringify(kustomization));
  await cluster.kubectl(['apply', '--server-side', '-k', overlay]);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '-f', join(ROOT, 'crds')], {
    timeoutMs: 70_000,
  });
  log('config/default is applied');
  const isThere = ['wait', '--for=create', '--timeout=120s', 'servicechain/kubernetes'];
  await cluster.kubectl(['--namespace', SYSTEM_NAMESPACE, ...isThere], { timeoutMs: 130_000 });
  await untilReady(cluster);
  const rollout = ['rollout', 'status', 'daemonset', '--timeout=120s'];
  await cluster.kubectl(['--namespace', SYSTEM_NAMESPACE, ...rollout], { timeoutMs: 130_000 });
  log('agents run as a DaemonSet, and the provider is Ready on all nodes');
}

/** Operator and agents of this checkout, as programs of the machines: nothing is built, and a change takes a restart. */
async function runCheckout({ cluster, nodes }: Target, log: Log): Promise<void> {
  await installApi(cluster);
  const operator = await cluster.machine.namespace.start('operator', [
    process.execPath,
    OPERATOR,
    `--kubeconfig=${await operatorKubeconfig(cluster)}`,
  ]);
  await operator.waitForOutput(/operator started/);
  log('the operator runs');
  for (const { node, inside } of nodes) {
    const kubeconfig = await inside.put('agent.kubeconfig', await agentKubeconfig(cluster, node.name));
    const objects = ['--node', node.name, '--kubeconfig', kubeconfig];
    const flags = ['up', ...objects, '--cni', '--healthz-address', PROXY_HEALTH];
    const agent = await inside.start('agent', [process.execPath, CLI, ...flags]);
    await agent.waitForOutput(/ready/, 90_000);
    log(`${node.name}: its agent runs`);
  }
  await cluster.kubectl(['apply', '-k', join(ROOT, 'config/provider')]);
  await untilReady(cluster);
  log('the provider is Ready on all nodes');
}

/** Addresses of the nodes' subnet for Services of type LoadBalancer. */
const LOAD_BALANCER_ADDRESSES = {
  apiVersion: 'cubeplane.io/v1alpha1',
  kind: 'CubeTable',
  metadata: { name: 'load-balancers', namespace: SYSTEM_NAMESPACE },
  spec: {
    type: 'AddressPool',
    addressPool: {
      ranges: [
        { first: '198.18.0.200', last: '198.18.0.239' },
        { first: 'fd00:18::200', last: 'fd00:18::23f' },
      ],
    },
  },
};

/** Waits for the provider's chain, and gives the cluster addresses for its load balancers. */
async function untilReady(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(LOAD_BALANCER_ADDRESSES) });
  const ready = ['wait', '--for=condition=Ready', '--timeout=180s', 'servicechain/kubernetes'];
  await cluster.kubectl(['--namespace', SYSTEM_NAMESPACE, ...ready], { timeoutMs: 190_000 });
}

/** What everybody has: a bridge a node, routes between nodes, kube-proxy. To compare with. */
async function installBridge({ cluster, nodes }: Target, mode: ProxyMode): Promise<void> {
  const prefixes = await podPrefixes(cluster);
  const [pods4 = '', pods6 = ''] = CLUSTER_RANGES.pods.split(',');
  for (const { node, inside } of nodes) {
    for (const { node: other } of nodes)
      if (other !== node) await routeToPods(node, other, prefixes.get(other.name));
    for (const [program, pods] of [
      ['iptables', pods4],
      ['ip6tables', pods6],
    ] as const) {
      const rule = ['--source', pods, '!', '--destination', pods, '--jump', 'MASQUERADE'];
      await inside.exec([program, '--wait', '--table', 'nat', '--append', 'POSTROUTING', ...rule]);
    }
    await node.namespace.sysctl({
      'net.bridge.bridge-nf-call-iptables': 1,
      'net.bridge.bridge-nf-call-ip6tables': 1,
    });
    const kubeconfig = await inside.put('kube-proxy.kubeconfig', cluster.kubeconfig);
    const config = await inside.putText(
      'kube-proxy.yaml',
      JSON.stringify(proxyConfig(node.name, kubeconfig, mode)),
    );
    await inside.start('kube-proxy', ['kube-proxy', `--config=${config}`]);
    const list = JSON.stringify(bridgeNetwork(prefixes.get(node.name) ?? []));
    await inside.exec(['sh', '-c', 'cat >/etc/cni/net.d/10-bridge.conflist'], { input: list });
  }
}

function proxyConfig(node: string, kubeconfig: string, mode: ProxyMode): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clientConnection: { kubeconfig },
    clusterCIDR: CLUSTER_RANGES.pods,
    hostnameOverride: node,
    // Of the whole machine: left alone.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}

function bridgeNetwork(prefixes: readonly string[]): object {
  const ipam = { type: 'host-local', dataDir: '/run/cni', ranges: prefixes.map((subnet) => [{ subnet }]) };
  return {
    cniVersion: '1.0.0',
    name: 'bridge',
    plugins: [
      { type: 'bridge', bridge: 'cni0', isDefaultGateway: true, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
}
