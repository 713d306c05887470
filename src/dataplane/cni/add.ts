// SPDX-License-Identifier: Apache-2.0
import { textOf } from '../errors.ts';
import { checkNamespace, deleteDevice, lookAtDevices, makeVeth, setUpInside } from '../kernel/pod-veth.ts';
import type { Link } from '../kernel/rtnetlink/link.ts';
import { refusalOf } from '../kernel/rtnetlink/tell.ts';
import type { AboutPod } from '../pod-record.ts';
import { type Attachment, deviceOf, macOf, podNameOf } from './attachment.ts';
import { refuseOthersInChain } from './chained.ts';
import { CniError, CODE, toCniError } from './cni-error.ts';
import type { CniNode } from './cni-node.ts';
import { attachmentKey, type Configuration } from './configuration.ts';
import type { Target } from './environment.ts';
import type { KnownPod } from './known-pods.ts';
import { type AddressRange, isInside, pickAddress, rangeOf } from './ranges.ts';
import { type CniResult, resultOf } from './result.ts';
import type { Steps } from './steps.ts';
import { tearDown } from './teardown.ts';

export interface AddCall {
  readonly configuration: Configuration;
  readonly target: Target;
  /** Whether anybody waits for the answer still; an interface that nobody knows of is taken away. */
  readonly isHeard: () => Promise<boolean>;
  readonly steps: Steps;
}

/** Gives a container an interface. All of it is there at the end, or nothing. */
export async function add(
  node: CniNode,
  { configuration, target, isHeard, steps }: AddCall,
): Promise<CniResult> {
  const key = attachmentKey(target.containerId, target.ifname);
  const existing = node.attachments.get(key);
  if (existing?.phase === 'Ready') {
    throw new CniError(
      CODE.AlreadyAttached,
      `CNI_CONTAINERID ${target.containerId} has the interface ${target.ifname} of network ${existing.network} already`,
      'call DEL first: ADD comes once for a container and an interface',
    );
  }
  refuseOthersInChain(node.confDir, configuration.name);
  checkNamespace(target.netns);
  const { notReady, servesNodePorts, servesLimits } = node.agent.facts;
  if (notReady !== undefined)
    throw new CniError(
      CODE.TryAgainLater,
      notReady,
      'it is tried again; cubeplane get cubes says what is missing',
    );
  if (configuration.hostPorts !== undefined && !servesNodePorts)
    throw new CniError(
      CODE.UnsupportedField,
      'runtimeConfig.portMappings: no LoadBalancer of this node serves ports of the node',
      'link a LoadBalancer with the scope NodePort to the uplink, as config/provider does, or leave hostPort out',
    );
  if (configuration.bandwidth !== undefined && !servesLimits)
    throw new CniError(
      CODE.UnsupportedField,
      'runtimeConfig.bandwidth: no RateLimiter of this node limits pods',
      'apply config/provider/bandwidth.yaml, or leave the annotations kubernetes.io/…-bandwidth out of the Pod',
    );
  if (existing !== undefined) await tearDown(node, existing);
  const about = await steps.of('policies', () => aboutPodOf(node, target));
  const attachment = await steps.of('record', () => write(node, configuration, target));
  try {
    const link = await steps.of('pair', () => make(attachment));
    await steps.of('rows', () =>
      node.agent.plug({
        ...attachment.pod,
        interface: attachment.device,
        mac: attachment.mac,
        addresses: attachment.addresses,
        gateways: attachment.gateways,
        about,
        hostPorts: configuration.hostPorts,
        bandwidth: configuration.bandwidth,
        made: link,
      }),
    );
    // Only now: it sends nothing before the chain has it.
    await steps
      .of('inside', () => setUpInside(attachment, link.peerIfindex ?? 0))
      .catch((error) => {
        throw isThere(error) ? taken(attachment, error) : error;
      });
    if (!(await isHeard()))
      throw new CniError(CODE.TryAgainLater, 'the runtime has gone away', 'call ADD again');
    node.attachments.put({ ...attachment, phase: 'Ready' });
    node.afterwork.settle(attachment.device);
  } catch (error) {
    await tearDown(node, node.attachments.get(key) ?? attachment).catch((failure) => {
      node.log.warn(
        { ...target, args: undefined, error: textOf(failure) },
        'a half-made interface stays for now',
      );
    });
    throw toCniError(error);
  }
  return resultOf(attachment, configuration.cniVersion, configuration.dns);
}

/** Nothing is known of containers that no orchestrator has named: no policy selects them. */
async function aboutPodOf(node: CniNode, target: Target): Promise<AboutPod | undefined> {
  const [namespace, name, uid] = namesOf(target);
  if (!namespace || !name) return undefined;
  return await node.agent.about({ namespace, name, uid, recorded: knownPod(node, target)?.about });
}

/** As the runtime tells them. */
function namesOf({ args }: Target): (string | undefined)[] {
  return ['K8S_POD_NAMESPACE', 'K8S_POD_NAME', 'K8S_POD_UID'].map((name) => args.get(name));
}

function knownPod({ known }: CniNode, target: Target): KnownPod | undefined {
  const [namespace, name, uid] = namesOf(target);
  return known.find(namespace, name, uid);
}

/** Chooses addresses and writes them down, in one go: two ADDs never choose the same. */
function write(node: CniNode, configuration: Configuration, target: Target): Attachment {
  const { mtu } = node.agent.facts;
  const key = attachmentKey(target.containerId, target.ifname);
  const ranges = configuration.ranges ?? rangesOfNode(node);
  const before = knownPod(node, target);
  const [, , uid] = namesOf(target);
  const attachment: Attachment = {
    phase: 'Making',
    network: configuration.name,
    containerId: target.containerId,
    ifname: target.ifname,
    netns: target.netns,
    device: deviceOf(key),
    mac: macOf(key),
    addresses: ranges.map((range) => again(node, range, before) ?? choose(node, range)),
    gateways: ranges.map(({ gateway }) => gateway),
    mtu: { device: Math.max(mtu.device, configuration.mtu ?? 0), route: configuration.mtu ?? mtu.route },
    pod: podNameOf(target, node.agent.pods()),
    ...(uid ? { uid } : {}),
    createdAt: Date.now(),
  };
  node.attachments.put(attachment);
  return attachment;
}

export function rangesOfNode(node: CniNode): AddressRange[] {
  const ranges = node.ranges().flatMap((cidr) => {
    const range = rangeOf(cidr);
    return range.ok ? [range.value] : [];
  });
  // One a family, IPv4 first.
  const chosen = ([4, 6] as const).flatMap((family) => ranges.find((range) => range.family === family) ?? []);
  if (chosen.length > 0) return chosen;
  throw new CniError(
    CODE.NoRange,
    'there is no range for pods: spec.podCIDRs of the Node object is empty, or not known yet',
    'run kube-controller-manager with --allocate-node-cidrs, or write ranges into the network configuration',
  );
}

/** The address that the pod had before the node started anew, unless it is somebody's by now. */
function again(
  { agent, attachments }: CniNode,
  range: AddressRange,
  before: KnownPod | undefined,
): string | undefined {
  if (before === undefined) return undefined;
  const taken = new Set([...attachments.addresses(), ...agent.pods().flatMap(({ addresses }) => addresses)]);
  return before.addresses.find((address) => isInside(range, address) && !taken.has(address));
}

function choose({ agent, attachments, known }: CniNode, range: AddressRange): string {
  const now = Date.now();
  const ports = agent.facts.portAddresses.map((text) => text.replace(/\/\d+$/, ''));
  const pods = agent.pods().flatMap(({ addresses }) => addresses);
  const pick = pickAddress(
    {
      range,
      // An address that policies still take for another pod's would give its rights to this one.
      taken: new Set([
        ...ports,
        ...pods,
        ...attachments.addresses(),
        ...known.addresses(),
        ...agent.policyAddresses(),
      ]),
      released: attachments.released(now),
      last: attachments.lastAddress(range.family === 6),
    },
    now,
  );
  if (pick.ok) return pick.address;
  throw pick.why === 'Resting'
    ? new CniError(CODE.TryAgainLater, pick.message, 'try again in some seconds')
    : new CniError(
        CODE.AddressesExhausted,
        pick.message,
        'delete pods, run GC if the runtime has lost some, or give the node a larger range',
      );
}

/** Returns the node's end. A pair of that name without a record is what is left of a node's past, and is made anew. */
async function make(attachment: Attachment): Promise<Link> {
  try {
    return await makeVeth(attachment);
  } catch (error) {
    if (!isThere(error)) throw error;
    if ((await lookAtDevices(attachment.netns)).has(attachment.ifname)) {
      const isOurs = (await lookAtDevices()).has(attachment.device) && (await isPair(attachment));
      if (!isOurs)
        throw new CniError(
          CODE.InvalidEnvironment,
          `CNI_IFNAME: ${attachment.netns} has an interface ${attachment.ifname} already`,
          'choose another name, or delete that interface',
          error,
        );
    }
    await deleteDevice(attachment.device);
    return await makeVeth(attachment);
  }
}

function isThere(error: unknown): boolean {
  return refusalOf(error) === 'EEXIST';
}

function taken({ netns, gateways }: Attachment, cause: unknown): CniError {
  return new CniError(
    CODE.InvalidEnvironment,
    `CNI_NETNS: ${netns} has a default route, or one to ${gateways.join(' or ')}, already`,
    'a container takes one interface of this network; leave the others to plugins without a default route',
    cause,
  );
}

async function isPair({ netns, ifname, mac }: Attachment): Promise<boolean> {
  return (await lookAtDevices(netns)).get(ifname)?.mac === mac;
}
