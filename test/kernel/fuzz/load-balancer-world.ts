// SPDX-License-Identifier: Apache-2.0
/** Services and specs at random, out of few addresses and ports, so that much is shared. */
import type { Backend, Frontend, LoadBalancer, Service } from '../../../src/api/generated/types.ts';
import type { World } from './packets.ts';
import type { Random } from './random.ts';

export const NODE = 'node-a';
export const ZONE = 'zone-1';
const OTHER_ZONE = 'zone-2';
export const ADDRESSES = ['192.0.2.11', '2001:db8::11'];
export const NAMES = ['a', 'b', 'c'] as const;
const OTHER_NODE = 'node-b';

/** What backends see of clients that they may not see. */
export const CLUSTER_SOURCES = { ipv4: '10.244.3.254', ipv6: 'fd00:3::fe' };
/** Backends that are the host itself. */
export const HOST_BACKENDS = ['10.244.2.4', 'fd00:2::4'] as const;

export const HAIRPIN_SOURCE = { ipv4: '169.254.99.1', ipv6: 'fd00:c0be::1' };

const BACKENDS = {
  4: ['10.244.2.1', '10.244.2.2', '10.244.2.3', '10.244.2.4'],
  6: ['fd00:2::1', 'fd00:2::2', 'fd00:2::3', 'fd00:2::4'],
} as const;
/** Some of the backends are clients, too. */
export const CLIENTS = {
  4: ['10.244.1.5', '10.244.1.6', '10.244.9.5', '10.244.2.1', '10.244.2.2'],
  6: ['fd00:1::5', 'fd00:1::6', 'fd00:9::5', 'fd00:2::1', 'fd00:2::2'],
} as const;
export const VIPS = {
  4: ['10.96.0.10', '10.96.0.11', '198.51.100.7', '192.0.2.11'],
  6: ['fd00:96::10', 'fd00:96::11', '2001:db8:7::7', '2001:db8::11'],
} as const;
export const ROUTERS = { 4: '10.244.2.254', 6: 'fd00:2::fe' } as const;

export const SERVICE_PORTS = [80, 53, 2905] as const;
export const CLIENT_PORTS = [40000, 40001, 40002, 1023] as const;
const TARGET_PORTS = [8080, 8081, 2905, 53, 80] as const;
const RANGES = [
  '10.244.1.0/24',
  '10.244.0.0/16',
  '10.244.1.5/32',
  'fd00:1::/64',
  'fd00::/15',
  '::/0',
  '0.0.0.0/0',
];

const everything = [...VIPS[4], ...VIPS[6], ...CLIENTS[4], ...CLIENTS[6], ...BACKENDS[4], ...BACKENDS[6]];

/** Of frames that belong to no flow. */
export const WORLD: World = {
  addresses: [
    ...everything,
    HAIRPIN_SOURCE.ipv4,
    HAIRPIN_SOURCE.ipv6,
    '239.1.1.1',
    '0.0.0.0',
    '127.0.0.1',
    '::1',
    'ff05::2',
  ],
  ports: [...SERVICE_PORTS, ...CLIENT_PORTS, 8080, 0],
  macs: ['02:c0:be:00:00:01', '02:00:00:00:0a:0a', '02:00:00:00:0a:0a', 'ff:ff:ff:ff:ff:ff'],
};

function randomFrontend(r: Random, name: string): Frontend {
  const protocol = r.pick(['TCP', 'TCP', 'UDP', 'SCTP'] as const);
  const addresses = [...VIPS[4], ...VIPS[6]].filter(() => r.chance(0.5));
  const scope = r.pick([
    'ClusterIP',
    'ClusterIP',
    'ClusterIP',
    'External',
    'LoadBalancer',
    'NodePort',
  ] as const);
  const affinity = r.chance(0.3)
    ? { type: 'ClientIP' as const, timeoutSeconds: 5500 }
    : { type: 'None' as const, timeoutSeconds: 10800 };
  return {
    name,
    addresses: scope === 'NodePort' && r.chance(0.7) ? [] : addresses.length > 0 ? addresses : [VIPS[4][0]],
    port: protocol === 'SCTP' ? 2905 : r.pick([80, 80, 53]),
    protocol,
    scope,
    affinity,
    sourceRanges: r.chance(0.15) ? RANGES.filter(() => r.chance(0.3)) : [],
    trafficPolicy: r.chance(0.15) ? 'Local' : 'Cluster',
    ...(r.chance(0.4) ? { algorithm: r.pick(['Random', 'Maglev'] as const) } : {}),
    ...(r.chance(0.3) ? { noBackends: r.pick(['Reject', 'Drop'] as const) } : {}),
  };
}

/** Mostly complete, so that they count. */
function randomHints(r: Random): NonNullable<Backend['hints']> {
  return {
    ...(r.chance(0.9) ? { zones: r.pick([[ZONE], [OTHER_ZONE], [OTHER_ZONE, ZONE]]) } : {}),
    ...(r.chance(0.5) ? { nodes: r.pick([[NODE], [OTHER_NODE]]) } : {}),
  };
}

function randomBackend(
  r: Random,
  address: string,
  frontends: readonly Frontend[],
  isHinted: boolean,
): Backend {
  return {
    address,
    weight: r.pick([0, 1, 1, 1, 2, 5]),
    state: r.pick(['Ready', 'Ready', 'Ready', 'Ready', 'Serving', 'Terminating', 'NotReady']),
    node: r.chance(0.5) ? NODE : OTHER_NODE,
    ...(isHinted ? { hints: randomHints(r) } : {}),
    ports: frontends.map(({ name, protocol }) => ({
      name,
      port: protocol === 'SCTP' && r.chance(0.9) ? 2905 : r.pick(TARGET_PORTS),
      ...(r.chance(0.2) ? { protocol: r.pick(['TCP', 'UDP', protocol] as const) } : {}),
    })),
  };
}

export function randomService(r: Random, name: string): Service {
  const frontends = ['', 'x', 'y', 'z'].slice(0, r.between(1, 4)).map((one) => randomFrontend(r, one));
  const share = r.pick([0, 0.3, 0.6, 0.6, 1]);
  const backends = [...BACKENDS[4], ...BACKENDS[6]].filter(() => r.chance(share));
  const isHinted = r.chance(0.25);
  return {
    namespace: 'default',
    name,
    frontends,
    backends: backends.map((address) => randomBackend(r, address, frontends, isHinted)),
  };
}

/** The same Service with some of its backends in another state, or gone. */
export function otherBackends(r: Random, service: Service): Service {
  const backends = service.backends
    .filter(() => r.chance(0.85))
    .map((one) =>
      r.chance(0.6)
        ? one
        : {
            ...one,
            state: r.pick(['Ready', 'Serving', 'Terminating', 'NotReady'] as const),
            weight: r.pick([0, 1, 2]),
          },
    );
  const isHinted = backends.some(({ hints }) => hints !== undefined);
  const there = new Set(backends.map(({ address }) => address));
  const missing = [...BACKENDS[4], ...BACKENDS[6]].filter((address) => !there.has(address) && r.chance(0.2));
  return {
    ...service,
    backends: [...backends, ...missing.map((one) => randomBackend(r, one, service.frontends, isHinted))],
  };
}

/** Long enough that no run of a test comes near one of them, nor near one less the spans by which the test ages sessions. */
const TIMEOUTS = {
  tcpSyn: 2000,
  tcpEstablished: 71500,
  tcpClosing: 4500,
  udp: 1500,
  udpStream: 7500,
  sctp: 14500,
  icmp: 1500,
};
export const AGES = [3000, 3000, 10000, 60000] as const;

export const LONG_DRAIN = 86400;

export function randomSpec(r: Random): LoadBalancer {
  const all = ['ClusterIP', 'External', 'LoadBalancer', 'NodePort'] as const;
  const some = all.filter(() => r.chance(0.7));
  const limited = r.chance(0.15);
  return {
    algorithm: r.pick(['Random', 'Maglev']),
    // a constant of the program, as the limit on answers is: there are two programs
    clusterSources: limited ? [] : [CLUSTER_SOURCES.ipv4, CLUSTER_SOURCES.ipv6],
    scopes: r.chance(0.7) || some.length === 0 ? [...all] : some,
    clients: r.chance(0.2) ? 'Pods' : 'Any',
    noBackends: r.pick(['Reject', 'Drop']),
    drainSeconds: r.pick([0, LONG_DRAIN, LONG_DRAIN]),
    udpDrainSeconds: r.pick([0, 0, LONG_DRAIN]),
    hairpin: HAIRPIN_SOURCE,
    rejects: { errorsPerSecond: limited ? 0 : 1_000_000, burst: 1_000_000 },
    sessions: {
      maxEstablished: 8192,
      maxEmbryonic: 8192,
      maxAffinity: 4096,
      maxBackends: 256,
      maxFrontends: 256,
      maxPicks: 65536,
      maxSourceRanges: 256,
      timeouts: TIMEOUTS,
    },
  };
}
