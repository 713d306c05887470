// SPDX-License-Identifier: Apache-2.0
/** How other networks are known by what they leave on a node. */

interface Network {
  readonly name: string;
  /** Types of their CNI plugins. */
  readonly plugins: readonly string[];
  readonly devices: RegExp | undefined;
  /** Chains of netfilter. */
  readonly chains: RegExp | undefined;
}

const NETWORKS: readonly Network[] = [
  {
    name: 'Calico',
    plugins: ['calico', 'calico-ipam'],
    devices: /^(cali[0-9a-f]{11}|vxlan(-v6)?\.calico|wireguard\.cali)$/,
    chains: /\bcali-/,
  },
  {
    name: 'Cilium',
    plugins: ['cilium-cni'],
    devices: /^(cilium_\w+|lxc[0-9a-f]+|lxc_health)$/,
    chains: /\bCILIUM_/,
  },
  { name: 'Flannel', plugins: ['flannel'], devices: /^flannel(-v6)?\.\d+$/, chains: /\bFLANNEL-/ },
  {
    name: 'Weave',
    plugins: ['weave-net', 'weave-ipam'],
    devices: /^(weave|vethwe-\w+|vxlan-6784)$/,
    chains: /\bWEAVE/,
  },
  {
    name: 'kube-router',
    plugins: [],
    devices: /^(kube-bridge|kube-dummy-if|kube-tunnel-v[46])$/,
    chains: /\bKUBE-ROUTER-/,
  },
  { name: 'Antrea', plugins: ['antrea'], devices: /^(antrea-\w+|genev_sys_\d+)$/, chains: /\bANTREA-/ },
  {
    name: 'OVN-Kubernetes',
    plugins: ['ovn-k8s-cni-overlay'],
    devices: /^(ovn-k8s-\w+|br-int)$/,
    chains: undefined,
  },
  { name: 'bridge', plugins: ['bridge'], devices: /^(cni\d+|cbr0)$/, chains: /\bCNI-(?!HOSTPORT|DN)/ },
  { name: 'ptp', plugins: ['ptp'], devices: undefined, chains: undefined },
  { name: 'portmap', plugins: ['portmap'], devices: undefined, chains: /\bCNI-(HOSTPORT|DN)/ },
];

/** Of kube-proxy, in any of its modes; kubelet makes three of these names as well, and kube-router its own. */
const PROXY_CHAINS = /\b(KUBE-(?!ROUTER-|KUBELET-CANARY|FIREWALL|MARK-DROP)|kube-proxy\/)/;
const OWN_PLUGIN = 'cubeplane-cni';

/** The network that a list of plugins belongs to; undefined for ours. */
export function networkOfPlugins(types: readonly string[]): string | undefined {
  if (types[0] === OWN_PLUGIN) return undefined;
  return (
    NETWORKS.find(({ plugins }) => types.some((type) => plugins.includes(type)))?.name ?? 'another network'
  );
}

/** The network that a device belongs to. `tunl0` is in every namespace once the module is loaded: only one that is up counts. */
export function networkOfDevice(device: { readonly name: string; readonly up: boolean }): string | undefined {
  if (device.name === 'tunl0') return device.up ? 'Calico or kube-router (IPIP)' : undefined;
  if (device.name === 'kube-ipvs0') return 'kube-proxy (IPVS)';
  return NETWORKS.find(({ devices }) => devices?.test(device.name))?.name;
}

export function networkOfChain(chain: string): string | undefined {
  if (PROXY_CHAINS.test(chain)) return 'kube-proxy';
  return NETWORKS.find(({ chains }) => chains?.test(chain))?.name;
}
