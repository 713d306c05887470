// SPDX-License-Identifier: Apache-2.0

/** Networks that the kernel alone carries: routed, between nodes as they are or in VXLAN, with kube-proxy or without it. */
import { hostAddress, withoutLength } from '../../harness/addresses.ts';
import { CLUSTER_RANGES } from '../../harness/kube/cluster.ts';
import { connect, createNamespace } from '../../harness/netns.ts';
import type { Running } from '../../harness/process.ts';
import { type Bed, direct, gatewaysOf, type Place, PORTS, type Route, type Site } from './site.ts';

/** Flannel's own on Linux: its device, and the number of its network. Its port is not IANA's. */
const FLANNEL = { device: 'flannel.1', vni: 1, port: 8472 } as const;

/** Joins the pods of a node by routes of the host, each with the gateway's address at its device. */
async function routePods(place: Place): Promise<void> {
  const { node } = place;
  const gateways = gatewaysOf(place);
  for (const { hostDevice, addresses } of node.pods.values()) {
    await node.namespace.ip(
      `address add ${gateways.ipv4}/32 dev ${hostDevice}`,
      `address add ${gateways.ipv6}/128 dev ${hostDevice} nodad`,
      `route add ${addresses.ipv4}/32 dev ${hostDevice}`,
      `route add ${addresses.ipv6}/128 dev ${hostDevice}`,
    );
  }
}

/** The other node's pods by its address, without a tunnel; and the outside host knows the way to all pods. */
export async function joinPlain(bed: Bed, site: Site): Promise<void> {
  const { namespace } = bed.outside;
  for (const [own, other] of bothWays(site)) {
    await routePods(own);
    await own.node.namespace.ip(
      `route add ${other.cidrs.ipv4} via ${other.node.addresses.ipv4}`,
      `route add ${other.cidrs.ipv6} via ${other.node.addresses.ipv6}`,
    );
    await namespace.ip(
      `route add ${own.cidrs.ipv4} via ${own.node.addresses.ipv4}`,
      `route add ${own.cidrs.ipv6} via ${own.node.addresses.ipv6}`,
    );
  }
  // without Services: the pod itself stands where the others have one
  Object.assign(site.routes, {
    'service-same': site.routes['pod-same'],
    'service-other': site.routes['pod-other'],
    'outside-local': direct(bed, namespace, site.near),
    'outside-cluster': direct(bed, namespace, site.far),
  });
}

/** As Flannel does it: a device with what it has to know written into it, no learning. */
export async function joinVxlan(site: Site): Promise<void> {
  const macs = new Map<Place, string>();
  for (const place of [site.here, site.there]) {
    const { namespace, addresses } = place.node;
    await routePods(place);
    await namespace.ip(
      `link add ${FLANNEL.device} mtu 1450 type vxlan id ${FLANNEL.vni} local ${addresses.ipv4} dev eth0 dstport ${FLANNEL.port} nolearning`,
      `address add ${endOf(place).ipv4}/32 dev ${FLANNEL.device}`,
      `address add ${endOf(place).ipv6}/128 dev ${FLANNEL.device} nodad`,
      `link set ${FLANNEL.device} up`,
    );
    macs.set(place, await namespace.macOf(FLANNEL.device));
  }
  for (const [own, other] of bothWays(site)) {
    const { namespace } = own.node;
    const mac = macs.get(other);
    const end = endOf(other);
    await namespace.ip(
      `neighbour add ${end.ipv4} lladdr ${mac} dev ${FLANNEL.device} nud permanent`,
      `neighbour add ${end.ipv6} lladdr ${mac} dev ${FLANNEL.device} nud permanent`,
      `route add ${other.cidrs.ipv4} via ${end.ipv4} dev ${FLANNEL.device} onlink`,
      `route add ${other.cidrs.ipv6} via ${end.ipv6} dev ${FLANNEL.device} onlink`,
    );
    await namespace.exec([
      ...['bridge', 'fdb', 'append', String(mac), 'dev', FLANNEL.device],
      ...['dst', other.node.addresses.ipv4],
    ]);
  }
}

/** The first address of a node's prefix, which Flannel gives to the device. */
function endOf({ cidrs }: Place): { ipv4: string; ipv6: string } {
  const first = (cidr: string): string => withoutLength(hostAddress(cidr, 0));
  return { ipv4: first(cidrs.ipv4), ipv6: first(cidrs.ipv6) };
}

/** Real kube-proxy on both nodes, in the mode that the site is named after. */
export async function startKubeProxies({ cluster }: Bed, site: Site): Promise<Running[]> {
  const start = ({ node }: Place): Promise<Running> =>
    node.namespace.start('kube-proxy', [
      `${cluster.binaries}/kube-proxy`,
      `--kubeconfig=${cluster.kubeconfig}`,
      `--proxy-mode=${site.name}`,
      '--conntrack-max-per-core=0',
      `--hostname-override=${node.name}`,
      `--cluster-cidr=${CLUSTER_RANGES.pods}`,
    ]);
  return [await start(site.here), await start(site.there)];
}

/** The floor: one veth pair, client at one end and server at the other. */
export async function vethRoute({ underlay, family }: Bed): Promise<Route> {
  const client = await createNamespace(underlay.lab, 'veth-client');
  const server = await createNamespace(underlay.lab, 'veth-server');
  await connect({ namespace: client, device: 'eth0' }, { namespace: server, device: 'eth0' }, 1450);
  await client.ip('address add 10.9.0.1/24 dev eth0', 'address add fd00:9::1/64 dev eth0 nodad');
  await server.ip('address add 10.9.0.2/24 dev eth0', 'address add fd00:9::2/64 dev eth0 nodad');
  const backend = { ipv4: '10.9.0.2', ipv6: 'fd00:9::2' }[family];
  return { client, server, addresses: [backend], backend, ports: PORTS };
}

function bothWays({ here, there }: Site): readonly (readonly [Place, Place])[] {
  return [
    [here, there],
    [there, here],
  ];
}
