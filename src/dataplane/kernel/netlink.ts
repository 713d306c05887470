// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { STACK_DEVICES } from '../desired.ts';
import type { Cgroup, InterfaceInfo } from '../graph-model.ts';
import { HOST_ROUTE_METRIC, type HostRoute } from '../host-routes.ts';
import { namesPodDevice } from '../names.ts';
import { getLink, type Link, linksIn } from './rtnetlink/link.ts';
import { refusalOf, tell } from './rtnetlink/tell.ts';
import { ipJson } from './run.ts';

export interface LinkInfo extends InterfaceInfo {
  /** As `vxlan`, `veth`; empty for hardware. */
  readonly kind: string;
  /** VXLAN: UDP destination port. */
  readonly vxlanPort?: number;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  /** The same addresses with their prefix length: the subnets that are on the link. */
  readonly networks?: readonly string[];
}

/** What netlink tells of this network namespace, and what else of the host the graph depends on. */
export interface NetworkView {
  readonly interfaces: ReadonlyMap<string, LinkInfo>;
  /** Interface of the default route. */
  readonly uplink: string | undefined;
  /** The agent's own routes. */
  readonly hostRoutes: readonly HostRoute[];
  /** Where cubes at the hook Cgroup are attached; absent: there is no such directory. */
  readonly cgroup?: Cgroup | undefined;
}

interface IpRoute {
  dst: string;
  dev?: string;
  gateway?: string;
  prefsrc?: string;
  metric?: number;
  metrics?: { mtu?: number }[];
}

async function readHostRoutes(): Promise<HostRoute[]> {
  const lists = await Promise.all(['-4', '-6'].map((family) => ipJson([family, 'route', 'show'])));
  return (lists.flat() as unknown as IpRoute[])
    .filter(({ metric }) => metric === HOST_ROUTE_METRIC)
    .map(({ dst, dev = '', gateway, prefsrc = '', metrics = [] }) => {
      const mtu = metrics.find((one) => one.mtu !== undefined)?.mtu;
      const prefix = dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`;
      const hop = gateway === undefined ? {} : { direct: { device: dev, via: gateway } };
      return { prefix, source: prefsrc, ...hop, ...(mtu === undefined ? {} : { mtu }) };
    });
}

interface IpLink {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  address?: string;
  operstate?: string;
  linkinfo?: { info_kind?: string; info_data?: { port?: number } };
  addr_info?: { local?: string; prefixlen?: number }[];
  xdp?: { mode?: number; prog?: { id?: number; name?: string } };
}

/** IFLA_XDP_ATTACHED: XDP_ATTACHED_DRV, XDP_ATTACHED_SKB, XDP_ATTACHED_HW. */
const XDP_MODES = ['Native', 'Generic', 'Offloaded'] as const;

function xdpOf({ xdp }: IpLink): InterfaceInfo['xdp'] {
  const mode = XDP_MODES[(xdp?.mode ?? 0) - 1] ?? (xdp === undefined ? undefined : 'Generic');
  if (mode === undefined) return undefined;
  return { id: xdp?.prog?.id ?? 0, name: xdp?.prog?.name ?? 'without name', mode, isForeign: false };
}

export async function readNetwork(): Promise<NetworkView> {
  const [links, v4, v6] = await Promise.all([
    ipJson(['address', 'show']),
    ipJson(['-4', 'route', 'show', 'default']),
    ipJson(['-6', 'route', 'show', 'default']),
  ]);
  const interfaces = new Map<string, LinkInfo>();
  for (const link of links as unknown as IpLink[]) {
    const port = link.linkinfo?.info_data?.port;
    const xdp = xdpOf(link);
    interfaces.set(link.ifname, {
      name: link.ifname,
      ifindex: link.ifindex,
      mtu: link.mtu,
      mac: link.address ?? '',
      up: link.flags.includes('UP') && (link.flags.includes('LOWER_UP') || link.operstate === 'UNKNOWN'),
      kind: link.linkinfo?.info_kind ?? '',
      ...(port === undefined ? {} : { vxlanPort: port }),
      ...(xdp === undefined ? {} : { xdp }),
      addresses: (link.addr_info ?? []).flatMap((a) => (a.local === undefined ? [] : [a.local])),
      networks: (link.addr_info ?? []).flatMap(({ local, prefixlen }) =>
        local === undefined || prefixlen === undefined ? [] : [`${local}/${prefixlen}`],
      ),
    });
  }
  const uplink = [...v4, ...v6].map((route) => route.dev).find((dev) => typeof dev === 'string');
  const [host] = STACK_DEVICES;
  const hostRoutes = interfaces.has(host) ? await readHostRoutes() : [];
  return { interfaces, uplink: uplink as string | undefined, hostRoutes };
}

/** Of all interfaces, without prefix length. */
export function hostAddresses({ interfaces }: NetworkView): string[] {
  return [...interfaces.values()].flatMap(({ addresses }) => addresses);
}

/** One interface; undefined: there is none of that name. */
export async function readLink(name: string): Promise<Link | undefined> {
  try {
    return linksIn(await tell([getLink(name)]))[0];
  } catch (error) {
    if (refusalOf(error) === 'ENODEV') return undefined;
    throw error;
  }
}

/** A view in which one interface is as it is now. Of the same one as before, what a look at the link does not tell stays. */
export function withLink(network: NetworkView, name: string, link: Link | undefined): NetworkView {
  const interfaces = new Map(network.interfaces);
  const before = interfaces.get(name);
  if (link === undefined) {
    interfaces.delete(name);
    return { ...network, interfaces };
  }
  const { ifindex, mtu, mac, up, kind } = link;
  const known = before?.ifindex === ifindex ? before : { addresses: [] };
  interfaces.set(name, { ...known, name, ifindex, mtu, mac, up, kind });
  return { ...network, interfaces };
}

const RESTART_MS = 500;
/** How long the devices of pods may have changed by themselves before that is told. */
const POD_DEVICES_MS = 1000;

/** Tells of every change of links, addresses and routes here; it reads nothing of what changed, that is readNetwork's. */
export class NetworkMonitor {
  readonly #onChange: () => void;
  #podDevices: NodeJS.Timeout | undefined;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  start(): void {
    // util-linux' setpriv: it ends with the agent, also when that is killed.
    const argv = ['--pdeathsig', 'KILL', '--', 'ip', '-oneline', 'monitor', 'link', 'address', 'route'];
    const child = spawn('setpriv', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    createInterface(child.stdout).on('line', (line) => this.#hear(line));
    const again = () => {
      if (this.#stopped || this.#child !== child) return;
      this.#child = undefined;
      // What was missed meanwhile is read as a whole.
      this.#restart = setTimeout(() => {
        this.start();
        this.#onChange();
      }, RESTART_MS);
    };
    child.once('error', again).once('close', again);
  }

  /** Process id of the monitor, for tests that end it. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Pods come and go by requests, which are not to wait for a look at the network for each: that comes later, for all. */
  #hear(line: string): void {
    if (!namesPodDevice(line)) {
      this.#onChange();
      return;
    }
    this.#podDevices ??= setTimeout(() => {
      this.#podDevices = undefined;
      this.#onChange();
    }, POD_DEVICES_MS);
  }

  stop(): void {
    clearTimeout(this.#podDevices);
    this.#stopped = true;
    clearTimeout(this.#restart);
    this.#child?.kill('SIGKILL');
  }
}
