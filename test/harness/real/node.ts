// SPDX-License-Identifier: Apache-2.0
/** What makes a machine a node: containerd with the images, and kubelet. */
import { readFile } from 'node:fs/promises';
import type { Running } from '../process.ts';
import type { Node } from '../topology.ts';
import { imageName } from './images.ts';
import { type MachineNamespace, startMachine } from './machine.ts';

/** The address of cluster DNS. */
export const DNS_ADDRESS = '10.96.0.10';
const CONTAINERD_SOCKET = '/run/containerd/containerd.sock';

export interface RealNodeOptions {
  /** Folder of the Kubernetes programs. */
  readonly binaries: string;
  /** Host names of the cluster's machines: lines of /etc/hosts. */
  readonly hosts: string;
  readonly disk: string;
  /** PEM file: kubelet believes the API server that has a certificate of these. */
  readonly apiServerClientCa: string;
  /** Archives of images, which the node has from the start, and then on its disk. */
  readonly archives: readonly string[];
}

export interface RealNode {
  readonly node: Node;
  /** Programs started in it are the node's. */
  readonly inside: MachineNamespace;
}

/** A machine with containerd and all images; kubelet does not run yet. */
export async function prepareNode(node: Node, options: RealNodeOptions): Promise<RealNode> {
  const etc = {
    hostname: `${node.name}\n`,
    hosts: `127.0.0.1 localhost\n::1 localhost\n${options.hosts}`,
    // There is no resolver outside of the cluster.
    'resolv.conf': '',
    'containerd/config.toml': containerdConfig(),
    'kubernetes/apiserver-client.crt': await readFile(options.apiServerClientCa, 'utf8'),
  };
  const inside = await startMachine(node, { etc, disk: options.disk, path: [options.binaries] });
  const containerd = await inside.start('containerd', ['containerd']);
  await containerd.waitUntil('answering', async () => {
    const { status } = await inside.exec(['ctr', 'version'], { anyStatus: true });
    return status === 0;
  });
  for (const archive of options.archives) await importImages(inside, archive);
  return { node, inside };
}

/** Gives the node's runtime the images of an archive that it can read (`docker save`, OCI layout). */
export async function importImages(inside: MachineNamespace, archive: string): Promise<void> {
  const argv = ['ctr', '--namespace', 'k8s.io', 'images', 'import', archive];
  await inside.exec(argv, { timeoutMs: 300_000 });
}

export interface KubeletOptions {
  /** Path of the node's own. */
  readonly kubeconfig: string;
  /** Keeps pods away from a node that was never there before, until someone takes it off. */
  readonly taint?: { readonly key: string; readonly effect: string };
}

/** Starts kubelet, which registers the node. */
export async function startKubelet(
  { node, inside }: RealNode,
  { kubeconfig, taint }: KubeletOptions,
): Promise<Running> {
  const config = JSON.stringify(kubeletConfig(taint === undefined ? [] : [taint]));
  const { ipv4, ipv6 } = node.addresses;
  return await inside.start('kubelet', [
    'kubelet',
    `--config=${await inside.putText('kubelet.yaml', config)}`,
    `--kubeconfig=${await inside.put('kubelet.kubeconfig', kubeconfig)}`,
    `--hostname-override=${node.name}`,
    `--node-ip=${ipv4},${ipv6}`,
    // Each is a zone, as upstream's tests of zones want it.
    `--node-labels=topology.kubernetes.io/zone=zone-${node.name.replace(/^node-/, '')}`,
  ]);
}

function containerdConfig(): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
[${cri}]
  sandbox_image = "${imageName('pause')}"
  # both need rights over the whole machine, which a container that tests run in may lack
  disable_apparmor = true
  restrict_oom_score_adj = true
[${cri}.cni]
  conf_dir = "/etc/cni/net.d"
  bin_dir = "/opt/cni/bin"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

/** Pure. */
function kubeletConfig(taints: readonly { readonly key: string; readonly effect: string }[]): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: 'cgroupfs',
    // What the machine has decides, not what it should have.
    failCgroupV1: false,
    failSwapOn: false,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: '/etc/kubernetes/apiserver-client.crt' },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: 'cluster.local',
    resolvConf: '/etc/resolv.conf',
    registerWithTaints: taints,
    serializeImagePulls: false,
    // The disk is everybody's: how full it is says nothing about this node, and no image could be fetched again.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
    },
    nodeStatusUpdateFrequency: '5s',
    shutdownGracePeriod: '0s',
  };
}
