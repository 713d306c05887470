// SPDX-License-Identifier: Apache-2.0
/** The veth pair of a pod: made, filled in and deleted by rtnetlink, looked at by iproute2. */
import { closeSync, openSync, readlinkSync, statSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { GATEWAY_MAC } from '../layout.ts';
import { idleNameOf } from '../names.ts';
import type { Request } from './rtnetlink/encoding.ts';
import { addAddress, addDefaultRoute, addHostRoute, setNeighbour } from './rtnetlink/inside.ts';
import {
  deleteLink,
  deleteLinkAt,
  getLink,
  type Link,
  linksIn,
  newVeth,
  setAside,
  setDown,
  setUp,
} from './rtnetlink/link.ts';
import { getNetnsId, netnsIdIn } from './rtnetlink/namespace.ts';
import { refusalOf, tell } from './rtnetlink/tell.ts';
import { ipJson } from './run.ts';
import { sysctlPath } from './sysctl.ts';

export interface VethWish {
  readonly device: string;
  readonly netns: string;
  readonly ifname: string;
  readonly mac: string;
  readonly mtu: { readonly device: number; readonly route: number };
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
}

/** Throws AgentError NamespaceNotFound for what is no network namespace, or the agent's own. */
export function checkNamespace(path: string): void {
  const fail = (why: string, remedy: string) => new AgentError('NamespaceNotFound', `${path} ${why}`, remedy);
  let found: { dev: bigint; ino: bigint };
  try {
    found = statSync(path, { bigint: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw fail(`cannot be opened: ${code}`, 'the container has ended, or the path is wrong');
  }
  const own = statSync('/proc/self/ns/net', { bigint: true });
  if (found.dev !== own.dev) throw fail('is no namespace', 'give the path of a network namespace');
  if (found.ino === own.ino)
    throw fail(
      `is the node's own network namespace (${readlinkSync('/proc/self/ns/net')})`,
      'a pod in the host’s network needs no CNI plugin',
    );
}

/**
 * Makes the pair, down, the pod's end at once in its namespace under its name: there is no half of it. Returns the node's end.
 * Throws AgentError.
 */
export async function makeVeth({ device, netns, ifname, mac, mtu }: VethWish): Promise<Link> {
  const namespace = openSync(netns, 'r');
  try {
    const here = { name: device, mac: GATEWAY_MAC, mtu: mtu.device };
    const there = { name: ifname, mac, mtu: mtu.device };
    const answer = await tell([newVeth(here, there, namespace), getLink(device)]);
    const [link] = linksIn(answer);
    if (link === undefined)
      throw new AgentError('InterfaceNotFound', `${device} was made, and is not there`, 'it is tried again');
    return link;
  } finally {
    closeSync(namespace);
  }
}

/**
 * The pod's end: addresses of its own alone, so that everything goes by way of the gateway, which is a neighbour for good.
 * The default routes carry the MTU. IPv6 is switched on where a runtime has it off.
 */
export async function setUpInside(wish: VethWish, ifindex: number): Promise<void> {
  const { netns, ifname, addresses, gateways, mtu } = wish;
  const requests = [setUp(ifname), ...addresses.map((one) => addAddress(ifindex, one))];
  for (const gateway of gateways)
    requests.push(
      setNeighbour(ifindex, gateway, GATEWAY_MAC),
      addHostRoute(ifindex, gateway),
      addDefaultRoute(ifindex, gateway, mtu.route),
    );
  await tell(requests, { netns, files: [[sysctlPath(`net/ipv6/conf/${ifname}/disable_ipv6`), '0']] });
}

/** What was taken out of use: which pair is to be deleted, whatever else gets its name. */
export interface IdleVeth {
  readonly device: string;
  readonly ifindex: number;
}

/**
 * Ends the traffic of a pair at once, without the wait for its removal: the node's end goes down, so that nothing passes, and the
 * pod's end goes down and gets another name, so that the container is free to have an interface of that name again.
 *
 * @param device the node's end, and `netns` where the pod's end was put.
 * @returns undefined where it is not known to be so: the pair is gone, or its other end was moved, with or without its namespace.
 */
export async function idleVeth({
  device,
  netns,
}: Pick<VethWish, 'device' | 'netns'>): Promise<IdleVeth | undefined> {
  let namespace: number;
  try {
    namespace = openSync(netns, 'r');
  } catch {
    return undefined;
  }
  try {
    const answer = await tell([setDown(device), getLink(device), getNetnsId(namespace)]);
    const [link] = linksIn(answer);
    if (link?.peerIfindex === undefined || link.peerNetnsId === undefined) return undefined;
    if (link.peerNetnsId !== netnsIdIn(answer)) return undefined;
    await tell([setAside(link.peerIfindex, idleNameOf(device))], { netns });
    return { device, ifindex: link.ifindex };
  } catch (error) {
    // Whatever the kernel refuses here, such as a namespace that is none any more: a removal says more.
    if (refusalOf(error) !== undefined) return undefined;
    throw error;
  } finally {
    closeSync(namespace);
  }
}

/** Deletes a pair that is out of use. Returns whether it was there. Throws AgentError. */
export async function deleteIdle({ ifindex }: IdleVeth): Promise<boolean> {
  return await isDone([deleteLinkAt(ifindex)]);
}

/** Deletes the pair by the node's end. Returns whether it was there. Throws AgentError. */
export async function deleteDevice(device: string): Promise<boolean> {
  return await isDone([deleteLink(device)]);
}

async function isDone(requests: readonly Request[]): Promise<boolean> {
  try {
    await tell(requests);
    return true;
  } catch (error) {
    if (refusalOf(error) === 'ENODEV') return false;
    throw error;
  }
}

export interface DeviceView {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** With prefix length; those of the link left out. */
  readonly addresses: readonly string[];
}

export interface InsideView {
  readonly device: DeviceView | undefined;
  /** `dst via gateway mtu bytes`, by destination; `default` for both families' default routes. */
  readonly routes: readonly { readonly dst: string; readonly via?: string; readonly mtu?: number }[];
  /** Permanent ones: address → MAC. */
  readonly neighbours: ReadonlyMap<string, string>;
}

interface IpDevice {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info?: readonly { local?: string; prefixlen?: number; scope?: string }[];
}

/** All devices, of a namespace or the agent's own, by name. */
export async function lookAtDevices(netns?: string): Promise<Map<string, DeviceView>> {
  const list = (await ipJson(['address', 'show'], netns)) as unknown as IpDevice[];
  return new Map(
    list.map(({ ifname, ifindex, address = '', mtu, flags, addr_info = [] }) => [
      ifname,
      {
        name: ifname,
        ifindex,
        mac: address,
        mtu,
        up: flags.includes('UP'),
        addresses: addr_info
          .filter(({ scope }) => scope !== 'link')
          .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      },
    ]),
  );
}

interface IpRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly metrics?: readonly { mtu?: number }[];
}

export async function lookInside(netns: string, ifname: string): Promise<InsideView> {
  const device = (await lookAtDevices(netns)).get(ifname);
  if (device === undefined) return { device, routes: [], neighbours: new Map() };
  const [v4, v6, neighbours] = await Promise.all([
    ipJson(['-4', 'route', 'show', 'dev', ifname], netns),
    ipJson(['-6', 'route', 'show', 'dev', ifname], netns),
    ipJson(['neighbour', 'show', 'dev', ifname, 'nud', 'permanent'], netns),
  ]);
  return {
    device,
    routes: ([...v4, ...v6] as unknown as IpRoute[]).map(({ dst, gateway, metrics = [] }) => {
      const mtu = metrics.find((one) => one.mtu !== undefined)?.mtu;
      return {
        dst,
        ...(gateway === undefined ? {} : { via: gateway }),
        ...(mtu === undefined ? {} : { mtu }),
      };
    }),
    neighbours: new Map(
      (neighbours as { dst: string; lladdr?: string }[]).map(({ dst, lladdr = '' }) => [dst, lladdr]),
    ),
  };
}
