// SPDX-License-Identifier: Apache-2.0
/** The veth pair of a pod: made, filled in, looked at and deleted by iproute2. */
import { readlinkSync, statSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { GATEWAY_MAC } from '../layout.ts';
import { ipBatch, ipJson, run } from './run.ts';

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

/** Makes the pair, both ends down, the pod's at once in its namespace under its name: there is no half of it. */
export async function makeVeth({ device, netns, ifname, mac, mtu }: VethWish): Promise<void> {
  const host = `name ${device} mtu ${mtu.device} address ${GATEWAY_MAC}`;
  const pod = `name ${ifname} mtu ${mtu.device} address ${mac} netns ${netns}`;
  await ipBatch([`link add ${host} type veth peer ${pod}`]);
}

/**
 * The pod's end: addresses of its own alone, so that everything goes by way of the gateway, which is a neighbour for good.
 * The default routes carry the MTU. IPv6 is switched on where a runtime has it off.
 */
export async function setUpInside({ netns, ifname, addresses, gateways, mtu }: VethWish): Promise<void> {
  const lines = [`link set ${ifname} up`];
  for (const address of addresses)
    lines.push(
      address.includes(':')
        ? `address add ${address}/128 dev ${ifname} nodad`
        : `address add ${address}/32 dev ${ifname}`,
    );
  for (const gateway of gateways) {
    lines.push(`neighbour replace ${gateway} lladdr ${GATEWAY_MAC} dev ${ifname} nud permanent`);
    lines.push(`route add ${gateway} dev ${ifname}${gateway.includes(':') ? '' : ' scope link'}`);
    lines.push(`route add default via ${gateway} dev ${ifname} mtu ${mtu.route}`);
  }
  const enable = `f=/proc/sys/net/ipv6/conf/$1/disable_ipv6; [ ! -e "$f" ] || echo 0 >"$f"; exec ip -batch -`;
  await run(['nsenter', `--net=${netns}`, '--', 'sh', '-c', enable, 'sh', ifname], `${lines.join('\n')}\n`);
}

/** Deletes the pair by the node's end. Returns whether it was there. Throws AgentError. */
export async function deleteDevice(device: string): Promise<boolean> {
  try {
    await ipBatch([`link delete ${device}`]);
    return true;
  } catch (error) {
    if (error instanceof AgentError && error.message.includes('Cannot find device')) return false;
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
