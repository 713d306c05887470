// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { formatAddress, parseAddress } from '../../api/ip.ts';
import { type Action, describeAction } from '../actions.ts';
import {
  checkNamespace,
  type DeviceView,
  type InsideView,
  lookAtDevices,
  lookInside,
} from '../kernel/pod-veth.ts';
import { decodeAddress, decodeIfindex, GATEWAY_MAC } from '../layout.ts';
import type { HostPort, PodBandwidth, PodRecord } from '../pod-record.ts';
import type { Attachment } from './attachment.ts';
import { CniError, CODE } from './cni-error.ts';
import type { CniNode } from './cni-node.ts';
import { attachmentKey, type Configuration } from './configuration.ts';
import type { Target } from './environment.ts';
import { hostPrefix } from './result.ts';

/** Throws CniError, which names what is not as ADD left it. */
export async function check(node: CniNode, configuration: Configuration, target: Target): Promise<void> {
  const attachment = node.attachments.get(attachmentKey(target.containerId, target.ifname));
  if (attachment === undefined || attachment.phase !== 'Ready') {
    throw new CniError(
      CODE.UnknownContainer,
      `CNI_CONTAINERID ${target.containerId}: it has no interface ${target.ifname} of this agent`,
      'call ADD first',
    );
  }
  if (configuration.prevResult === undefined)
    throw new CniError(CODE.InvalidConfig, 'prevResult: not set', 'CHECK needs the result of ADD');
  checkNamespace(target.netns);
  const pod = node.agent.pods().find((one) => one.interface === attachment.device);
  const problems = [
    ...portProblems(configuration.hostPorts ?? [], pod?.hostPorts ?? []),
    ...bandwidthProblems(configuration.bandwidth, pod?.bandwidth),
    ...(pod === undefined ? [] : await node.agent.inspect((inspection) => inspection.missingLimits(pod))),
    ...promised(attachment, configuration.prevResult),
    ...insideProblems(attachment, await lookInside(target.netns, target.ifname)),
  ];
  const host = (await lookAtDevices()).get(attachment.device);
  problems.push(...hostProblems(attachment, host, node.agent.pods()));
  // Not before the device is right: else this only says the same in other words.
  if (problems.length === 0 && host !== undefined) {
    const subject = { ...attachment, ifindex: host.ifindex };
    const due = (await node.agent.plan()).filter((action) => concerns(action, subject));
    problems.push(...due.map((action) => `the kernel is not as it should be: ${describeAction(action)}`));
  }
  if (problems.length === 0) return;
  throw new CniError(
    CODE.CheckFailed,
    `interface ${target.ifname}: ${problems.join('; ')}`,
    'delete the pod, or call DEL and ADD again',
  );
}

/** Ports of the node that the runtime wants to lead to the pod, against those that do. */
export function portProblems(wanted: readonly HostPort[], served: readonly HostPort[]): string[] {
  return wanted
    .filter((port) => !served.some((one) => isDeepStrictEqual(one, port)))
    .map(({ hostPort, protocol }) => `port ${hostPort}/${protocol} of the node does not lead to the pod`);
}

/** The bandwidth that the runtime wants, against what the pod was given. */
export function bandwidthProblems(
  wanted: PodBandwidth | undefined,
  given: PodBandwidth | undefined,
): string[] {
  return (['ingress', 'egress'] as const)
    .filter((direction) => wanted !== undefined && !isDeepStrictEqual(wanted[direction], given?.[direction]))
    .map(
      (direction) =>
        `the ${direction} bandwidth of the pod is ${text(given?.[direction])}, not ${text(wanted?.[direction])}`,
    );
}

function text(one: PodBandwidth['ingress']): string {
  if (one === undefined) return 'not limited';
  return `${one.bitsPerSecond} bits a second${one.burst === undefined ? '' : ` with a burst of ${one.burst}`}`;
}

/** What the runtime believes, against what was given. Other plugins may have added to it. */
export function promised(attachment: Attachment, result: Readonly<Record<string, unknown>>): string[] {
  const { interfaces, ips } = result as {
    interfaces?: { name?: string; mac?: string; sandbox?: string }[];
    ips?: { address?: string }[];
  };
  const list = Array.isArray(interfaces) ? interfaces : [];
  const problems: string[] = [];
  const inside = list.find((one) => one?.name === attachment.ifname && one.sandbox);
  if (inside === undefined) problems.push(`prevResult.interfaces has no ${attachment.ifname} in a sandbox`);
  else if (inside.mac !== attachment.mac)
    problems.push(`prevResult.interfaces has the MAC ${inside.mac}, not ${attachment.mac}`);
  const given = new Set((Array.isArray(ips) ? ips : []).map((one) => canonical(one?.address ?? '')));
  for (const address of attachment.addresses.map(hostPrefix))
    if (!given.has(address)) problems.push(`prevResult.ips lacks ${address}`);
  return problems;
}

function canonical(text: string): string {
  const [address = '', length = ''] = text.split('/');
  const parsed = parseAddress(address);
  return parsed === undefined ? text : `${formatAddress(parsed)}/${length}`;
}

export function insideProblems(attachment: Attachment, { device, routes, neighbours }: InsideView): string[] {
  const { ifname, netns, mac, mtu } = attachment;
  if (device === undefined) return [`${netns} has no such interface`];
  const problems: string[] = [];
  if (device.mac !== mac) problems.push(`its MAC is ${device.mac}, not ${mac}`);
  if (!device.up) problems.push('it is down');
  if (device.mtu !== mtu.device) problems.push(`its MTU is ${device.mtu}, not ${mtu.device}`);
  for (const address of attachment.addresses.map(hostPrefix))
    if (!device.addresses.includes(address)) problems.push(`its address ${address} is gone`);
  for (const gateway of attachment.gateways) {
    const route = routes.find(({ dst, via }) => dst === 'default' && via === gateway);
    if (route === undefined) problems.push(`the default route via ${gateway} is gone`);
    else if (route.mtu !== mtu.route)
      problems.push(`the MTU of the route via ${gateway} is ${route.mtu ?? 'not set'}, not ${mtu.route}`);
    if (!routes.some(({ dst, via }) => dst === gateway && via === undefined))
      problems.push(`the route to the gateway ${gateway} on ${ifname} is gone`);
    if (neighbours.get(gateway) !== GATEWAY_MAC)
      problems.push(
        `the permanent neighbour ${gateway} is ${neighbours.get(gateway) ?? 'gone'}, not ${GATEWAY_MAC}`,
      );
  }
  return problems;
}

export function hostProblems(
  { device, pod, addresses, mac, mtu }: Attachment,
  host: DeviceView | undefined,
  pods: readonly PodRecord[],
): string[] {
  if (host === undefined) return [`its other end ${device} is gone`];
  const problems: string[] = [];
  if (!host.up) problems.push(`its other end ${device} is down`);
  if (host.mac !== GATEWAY_MAC)
    problems.push(`the MAC of its other end ${device} is ${host.mac}, not ${GATEWAY_MAC}`);
  if (host.mtu !== mtu.device)
    problems.push(`the MTU of its other end ${device} is ${host.mtu}, not ${mtu.device}`);
  const record = pods.find((one) => one.interface === device);
  if (record === undefined) problems.push(`pod ${pod.namespace}/${pod.name} is not plugged`);
  else if (record.mac !== mac || addresses.some((address) => !record.addresses.includes(address)))
    problems.push(`pod ${pod.namespace}/${pod.name} is plugged with another MAC or other addresses`);
  return problems;
}

/** Whether an action that is due is about this interface: its attachment, or its rows of the maps of pods. */
export function concerns(
  action: Action,
  { device, addresses, ifindex }: Pick<Attachment, 'device' | 'addresses'> & { readonly ifindex: number },
): boolean {
  switch (action.op) {
    case 'Attach':
    case 'AttachFilter':
      return action.name === device;
    case 'RemoveFilter':
      return action.ifindex === ifindex;
    case 'Detach':
    case 'UpdateLink':
      return action.pin === device;
    case 'WriteRows':
    case 'DeleteRows': {
      const keys = action.op === 'WriteRows' ? action.rows.map(([key]) => key) : action.keys;
      if (action.map === 'pods') return keys.some((key) => addresses.includes(decodeAddress(key)));
      return action.map === 'attachments' && keys.some((key) => decodeIfindex(key) === ifindex);
    }
    default:
      return false;
  }
}
