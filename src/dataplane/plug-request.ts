// SPDX-License-Identifier: Apache-2.0
/** What a request to plug a pod must be. Pure. */
import { contains, formatAddress, parseAddress, parsePrefix } from '../api/ip.ts';
import { isDnsLabel, isDnsSubdomain } from '../api/names.ts';
import { AgentError } from './errors.ts';
import { hostPortsTaken } from './host-ports.ts';
import type { Link } from './kernel/rtnetlink/link.ts';
import { POD_ADDRESSES } from './layout.ts';
import type { AboutPod, HostPort, PodBandwidth, PodRecord } from './pod-record.ts';

export interface PlugRequest {
  readonly namespace: string;
  readonly name: string;
  /** The host's end of the pod's veth pair. */
  readonly interface: string;
  /** Of the pod's end. Read inside `netns` where it is absent. */
  readonly mac?: string;
  /** With or without prefix length. */
  readonly addresses: readonly string[];
  /** Path of the pod's network namespace: neighbours and, where asked, routes are set there. */
  readonly netns?: string;
  /** Interface inside it. Default `eth0`. */
  readonly podInterface?: string;
  /** Default: the port addresses of the node's cubes whose prefixes hold the pod's addresses. */
  readonly gateways?: readonly string[];
  /** Sets default routes to the gateways inside the pod. */
  readonly routes?: boolean;
  /** Sets the MTU of the pod's interface, in bytes of IP packet. */
  readonly mtu?: number;
  /** What policies may look at in it: they are in force when it is plugged. */
  readonly about?: AboutPod | undefined;
  /** Ports of the node that lead to it. */
  readonly hostPorts?: readonly HostPort[] | undefined;
  /** In force when it is plugged. */
  readonly bandwidth?: PodBandwidth | undefined;
  /** Its interface, where the pair was made just now; it gets a program later ({@link Plugging.follow}). */
  readonly made?: Link | undefined;
}

export interface PlugContext {
  readonly nodeName: string;
  readonly podCIDRs: readonly string[];
  readonly pods: Iterable<PodRecord>;
  /** Addresses with prefix length of the ports of all cubes. */
  readonly portAddresses: readonly string[];
}

const INVALID = 'InvalidRequest';

/** The record of a valid request; its MAC is empty where it has to be read inside the pod. Throws AgentError. */
export function recordOf(request: PlugRequest, context: PlugContext): PodRecord {
  const pod = `pod ${request.namespace}/${request.name}`;
  if (!isDnsLabel(request.namespace ?? ''))
    throw new AgentError(INVALID, 'namespace: not a DNS label', 'give --namespace');
  if (!isDnsSubdomain(request.name ?? ''))
    throw new AgentError(INVALID, 'name: not a DNS subdomain', 'give the name of the pod');
  if (!/^[^\s/]{1,15}$/.test(request.interface ?? '')) {
    throw new AgentError(
      INVALID,
      `${pod}: interface ${request.interface}: not the name of an interface`,
      'name the host end of its veth pair',
    );
  }
  const mac = request.mac?.toLowerCase() ?? '';
  if (mac !== '' && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) {
    throw new AgentError(
      INVALID,
      `${pod}: mac ${request.mac}: not a MAC address`,
      'write six bytes, as 02:00:00:00:00:01',
    );
  }
  if (mac === '' && request.netns === undefined) {
    throw new AgentError(
      INVALID,
      `${pod}: neither mac nor netns is given`,
      'give the MAC of the pod, or the path of its network namespace',
    );
  }
  const addresses = checkAddresses(pod, request.addresses ?? [], context);
  checkOthers(pod, request, addresses, context);
  return {
    namespace: request.namespace,
    name: request.name,
    interface: request.interface,
    mac,
    addresses,
    ...(request.netns === undefined ? {} : { netns: request.netns }),
    ...(request.podInterface === undefined ? {} : { podInterface: request.podInterface }),
    gateways: request.gateways ?? gatewaysOf(addresses, context.portAddresses),
    ...(request.about === undefined ? {} : { about: request.about }),
    ...(request.hostPorts === undefined ? {} : { hostPorts: request.hostPorts }),
    ...(request.bandwidth === undefined ? {} : { bandwidth: request.bandwidth }),
  };
}

function checkAddresses(pod: string, texts: readonly string[], context: PlugContext): string[] {
  if (texts.length === 0 || texts.length > POD_ADDRESSES) {
    throw new AgentError(INVALID, `${pod}: ${texts.length} addresses`, `give 1 to ${POD_ADDRESSES}`);
  }
  return texts.map((text) => {
    const address = parseAddress(text.replace(/\/\d+$/, ''));
    if (address === undefined)
      throw new AgentError(INVALID, `${pod}: ${text} is no IP address`, 'write IPv4 or IPv6 addresses');
    const ranges = context.podCIDRs.flatMap((cidr) => parsePrefix(cidr) ?? []);
    const mine = ranges.filter((range) => range.family === address.family);
    if (mine.length > 0 && !mine.some((range) => contains(range, address))) {
      throw new AgentError(
        'AddressNotOfNode',
        `${pod}: ${text} is not in the pod range of node ${context.nodeName} (${context.podCIDRs.join(', ')})`,
        'other nodes send packets for it elsewhere: choose an address in the range',
      );
    }
    return formatAddress(address);
  });
}

function checkOthers(
  pod: string,
  request: PlugRequest,
  addresses: readonly string[],
  context: PlugContext,
): void {
  const own = context.portAddresses.map((text) => text.replace(/\/\d+$/, ''));
  const gateway = addresses.find((address) => own.includes(address));
  if (gateway !== undefined) {
    throw new AgentError(
      'AddressInUse',
      `${pod}: ${gateway} is the address of a cube's port`,
      'choose another address',
    );
  }
  const others = [...context.pods].filter(
    (other) => other.namespace !== request.namespace || other.name !== request.name,
  );
  const taken = hostPortsTaken(request.hostPorts ?? [], others);
  if (taken !== undefined)
    throw new AgentError(
      'HostPortInUse',
      `${pod}: port ${taken.port.hostPort}/${taken.port.protocol} of the node leads to pod ${taken.by.namespace}/${taken.by.name}`,
      'delete that pod first, or choose another hostPort',
    );
  for (const other of others) {
    const name = `pod ${other.namespace}/${other.name}`;
    const taken = addresses.find((address) => other.addresses.includes(address));
    if (taken !== undefined)
      throw new AgentError(
        'AddressInUse',
        `${pod}: ${taken} belongs to ${name}`,
        `unplug ${name} first, or choose another address`,
      );
    if (other.interface === request.interface) {
      throw new AgentError(
        'InterfaceInUse',
        `${pod}: interface ${request.interface} belongs to ${name}`,
        `unplug ${name} first, or name another interface`,
      );
    }
  }
}

/** The port address of each family whose prefix holds an address of the pod. */
export function gatewaysOf(addresses: readonly string[], portAddresses: readonly string[]): string[] {
  const found = new Set<string>();
  for (const text of addresses) {
    const address = parseAddress(text);
    if (address === undefined) continue;
    for (const port of portAddresses) {
      const prefix = parsePrefix(port);
      if (prefix !== undefined && contains(prefix, address)) found.add(formatAddress(prefix));
    }
  }
  return [...found];
}
