// SPDX-License-Identifier: Apache-2.0
/** Configurations of a router at random, and what they mean by the descriptions of the schema. */
import type { Route } from '../../../src/api/generated/types.ts';
import type { CubePort } from '../../../src/cubes/cube-type.ts';
import { GATEWAY_MAC, isV6, mappedBytes, POD_MAC } from '../support/bytes.ts';
import type { World } from './packets.ts';
import { type Address, addressOf } from './parse-model.ts';
import type { Random } from './random.ts';
import type { ModelRoute, ModelRouter } from './router-model.ts';

export const DEVICE_MAC = '00:00:00:00:00:00';
const NO_LIMIT = 0xffffffff;
const PODS = 0;
export const OVERLAY = 1;
const UPLINK = 2;
const HOST = 3;

const ADDRESSES = {
  [PODS]: ['10.244.1.1/24', 'fd00:244:1::1/64'],
  [OVERLAY]: [],
  [UPLINK]: ['192.168.7.2/30', '192.168.8.2/31', 'fd00:7::2/126', 'fe80::2/64'],
  [HOST]: ['10.9.0.1/16', '172.16.5.5/32', 'fd09::1/48'],
} as const;

/** Other ends of tunnels. */
export const REMOTES = ['172.18.0.3', 'fd18::3'] as const;

/** Destinations of routes; each host of the pool lies in some of them. */
const PREFIXES = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.244.0.0/16',
  '10.244.2.0/24',
  '10.244.2.9/32',
  '172.18.0.3/32',
  '203.0.113.0/25',
  '172.16.0.0/12',
  '::/0',
  'fd00::/8',
  'fd00:244::/48',
  'fd00:244:2::/64',
  'fd00:244:2::9/128',
  '2001:db8::/33',
] as const;

export const WORLD: World = {
  addresses: [
    ...['10.244.1.1', '10.244.1.5', '10.244.1.9', '10.244.1.255', '10.244.2.9', '10.244.2.10', '203.0.113.9'],
    ...[
      '192.168.7.1',
      '192.168.7.2',
      '192.168.7.3',
      '192.168.8.3',
      '10.9.7.7',
      '10.9.255.255',
      '172.16.5.5',
      '8.8.8.8',
    ],
    ...['0.0.0.0', '127.0.0.1', '224.0.0.5', '239.1.1.1', '255.255.255.255', '169.254.169.254'],
    ...['fd00:244:1::1', 'fd00:244:1::5', 'fd00:244:1::9', 'fd00:244:2::9', 'fd00:244:2::a', '2001:db8::9'],
    ...[
      'fd00:7::1',
      'fd00:7::2',
      'fd00:7::3',
      'fd09::7',
      'fe80::2',
      'fe80::9',
      '2001:db8:8000::1',
      '2600::1',
    ],
    ...['::', '::1', 'ff02::1', 'ff05::2', '::ffff:10.0.0.1'],
    ...REMOTES,
  ],
  ports: [0, 1, 53, 80, 1024, 40000, 65535],
  macs: [
    GATEWAY_MAC,
    GATEWAY_MAC,
    GATEWAY_MAC,
    GATEWAY_MAC,
    DEVICE_MAC,
    POD_MAC,
    'ff:ff:ff:ff:ff:ff',
    '01:00:5e:00:00:05',
  ],
};

export interface Config {
  readonly ports: readonly CubePort[];
  readonly routes: readonly Route[];
  readonly mtu?: number;
}

const MTUS = [576, 1280, 60, 100, 1500, 9000];

function randomRoute(r: Random, destination: string): Route {
  const mtu = r.chance(0.3) ? { mtu: r.pick(MTUS) } : {};
  const v6 = isV6(destination);
  switch (r.below(6)) {
    case 0:
      return { type: 'Blackhole', destination };
    case 1:
      return { type: 'Unreachable', destination };
    case 2:
      return { type: 'Tunnel', destination, tunnel: { remote: r.pick(REMOTES) }, ...mtu };
    case 3:
      return { type: 'NextHop', destination, nextHop: { address: v6 ? 'fd00:7::1' : '192.168.7.1' }, ...mtu };
    default:
      return { type: 'Port', destination, port: r.pick(['pods', 'uplink', 'host']), ...mtu };
  }
}

/** Some of the prefixes, a route each. */
export function randomRoutes(r: Random): Route[] {
  return PREFIXES.filter(() => r.chance(0.6)).map((destination) => randomRoute(r, destination));
}

export function randomConfig(r: Random): Config {
  const names = { [PODS]: 'pods', [OVERLAY]: 'overlay', [UPLINK]: 'uplink', [HOST]: 'host' };
  const endpoints = { [PODS]: 'Pods', [OVERLAY]: 'Overlay', [UPLINK]: 'Interface', [HOST]: 'Stack' } as const;
  const ports = ([PODS, OVERLAY, UPLINK, HOST] as const).map((id) => ({
    id,
    name: names[id],
    addresses: ADDRESSES[id].filter(() => id !== HOST || r.chance(0.6)),
    ...(r.chance(0.7) ? { mtu: r.pick(MTUS) } : {}),
    endpoint: id === HOST && r.chance(0.5) ? ('Cube' as const) : endpoints[id],
  }));
  const routes = r.chance(0.3)
    ? [{ type: 'Port' as const, destination: '10.244.1.1/32', port: 'uplink' }, ...randomRoutes(r)]
    : randomRoutes(r);
  return { ports, routes, ...(r.chance(0.3) ? { mtu: r.pick(MTUS) } : {}) };
}

function prefixOf(text: string): { prefix: Address; length: number; v6: boolean } {
  const [address = '', length = ''] = text.split('/');
  const v6 = isV6(address);
  const bits = Number(length) + (v6 ? 0 : 96);
  const rest = BigInt(128 - bits);
  return { prefix: (addressOf(mappedBytes(address)) >> rest) << rest, length: bits, v6 };
}

/** As prefixes are compared: as text, with the length of 128 bits. */
const nameOf = (prefix: string): string => `${prefix.split('/')[0]}/${prefixOf(prefix).length}`;

/** What the configuration means, by the descriptions of the schema. `table`: rows of a CubeTable, which yield to the spec's. */
export function modelOf(config: Config, table: readonly Route[]): ModelRouter {
  const mtu = (port: CubePort, route?: number) =>
    Math.min(port.mtu ?? NO_LIMIT, config.mtu ?? NO_LIMIT, route ?? NO_LIMIT);
  const byName = (name: string) => config.ports.find((port) => port.name === name) as CubePort;
  const own = new Map<Address, { port: number; delivery?: number }>();
  const routes = new Map<string, ModelRoute>();
  const set = (route: ModelRoute) => {
    const key = `${route.prefix}/${route.length}`;
    if (!routes.has(key)) routes.set(key, route);
  };
  const stack = config.ports.find(({ endpoint }) => endpoint === 'Stack');
  const sources = new Map<number, { v4?: Address; v6?: Address }>();
  const firstOf = (ports: readonly CubePort[], v6: boolean) => {
    const text = ports
      .flatMap(({ addresses }) => addresses)
      .find((address) => isV6(address) === v6 && !address.startsWith('fe80'));
    return text === undefined ? undefined : addressOf(mappedBytes(text.split('/')[0] ?? ''));
  };
  for (const port of config.ports) {
    for (const text of port.addresses) {
      const address = addressOf(mappedBytes(text.split('/')[0] ?? ''));
      own.set(address, { port: port.id, ...(stack ? { delivery: stack.id } : {}) });
      if (!text.startsWith('fe80'))
        set({ ...prefixOf(text), kind: 'Port', port: port.id, mtu: mtu(port), connected: true });
    }
    const v4 = firstOf([port], false) ?? firstOf(config.ports, false);
    const v6 = firstOf([port], true) ?? firstOf(config.ports, true);
    sources.set(port.id, { ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) });
  }
  const tunnels: { name: string; tunnel: ModelRoute; end: ModelRoute }[] = [];
  for (const route of [...config.routes, ...table]) {
    const prefix = prefixOf(route.destination);
    const base = { ...prefix, connected: false, mtu: NO_LIMIT, port: 0 };
    if (route.type === 'Blackhole' || route.type === 'Unreachable') {
      set({ ...base, kind: route.type });
    } else if (route.type === 'Tunnel') {
      const port = byName('overlay');
      const gateway = addressOf(mappedBytes(route.tunnel.remote));
      const tunnel = { ...base, kind: 'Tunnel' as const, port: port.id, mtu: mtu(port, route.mtu), gateway };
      set(tunnel);
      const end = { kind: 'Return' as const, prefix: gateway, length: 128, v6: isV6(route.tunnel.remote) };
      tunnels.push({ name: nameOf(route.destination), tunnel, end: { ...tunnel, ...end } });
    } else if (route.type === 'NextHop') {
      const port = byName('uplink');
      const gateway = addressOf(mappedBytes(route.nextHop.address));
      set({ ...base, kind: 'NextHop', port: port.id, mtu: mtu(port, route.mtu), gateway });
    } else {
      const port = byName(route.port);
      const shared = prefix.length === 128 ? own.get(prefix.prefix) : undefined;
      if (shared) own.set(prefix.prefix, { ...shared, delivery: port.id });
      else set({ ...base, kind: 'Port', port: port.id, mtu: mtu(port, route.mtu) });
    }
  }
  // ADR 49: of tunnels that are in force, behind all that is written; of those to one node the first by the text of its prefix
  const inForce = new Set(routes.values());
  tunnels.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { tunnel, end } of tunnels) if (inForce.has(tunnel)) set(end);
  return { routes: [...routes.values()], own, sources };
}
