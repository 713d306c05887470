// SPDX-License-Identifier: Apache-2.0
/** Where the sockets of a random history live: addresses, servers, and random Services in front of them. */
import type { Frontend, Service, SocketLB } from '../../../src/api/generated/types.ts';
import type { Place } from '../../harness/calls.ts';
import { backend, frontend, service } from '../support/balancer.ts';
import { bytesOfAddress, placeOf } from './load-balancer-services.ts';
import type { Random } from './random.ts';

export type Family = 4 | 6;
export const FAMILIES = [4, 6] as const;
export const PROTOS = { tcp: 6, udp: 17 } as const;

export const BACKENDS = {
  4: ['198.18.1.1', '198.18.1.2', '198.18.1.3'],
  6: ['fd00:18::1', 'fd00:18::2', 'fd00:18::3'],
} as const;
const NODE = { 4: BACKENDS[4][0], 6: BACKENDS[6][0] } as const;
const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const;
/** Addresses that no device has. */
const VIPS = { 4: ['198.18.9.10', '198.18.9.11'], 6: ['fd00:96::10', 'fd00:96::11'] } as const;
const TARGETS = [8080, 8081] as const;
const PORTS = { a: 80, b: 81 } as const;
const NODE_PORT = 30080;

/** Addresses that a node has in the course of a history. */
export const NODES: readonly (readonly string[])[] = [[NODE[4], NODE[6]], [NODE[4]], []];

/** Who listens in each network namespace, also where services have their addresses. */
export const SERVED: readonly Place[] = FAMILIES.flatMap((family) => [
  ...BACKENDS[family].flatMap((address) => TARGETS.map((port): Place => [address, port])),
  ...Object.values(PORTS).map((port): Place => [NODE[family], port]),
  [NODE[family], NODE_PORT],
  [LOOPBACK[family], NODE_PORT],
]);

/** Where processes send to. */
export const NAMED: Readonly<Record<Family, readonly Place[]>> = { 4: named(4), 6: named(6) };

function named(family: Family): Place[] {
  const own = SERVED.filter(([address]) => address.includes(':') === (family === 6));
  // twice: half of the calls name what only a service has
  return [0, 1]
    .flatMap(() =>
      VIPS[family].flatMap((address) => Object.values(PORTS).map((port): Place => [address, port])),
    )
    .concat(own);
}

export const keyOf = (proto: keyof typeof PROTOS, [address, port]: Place): string =>
  placeOf(bytesOfAddress(address), port, PROTOS[proto]);

/** Settings that a history begins with. */
export function randomSpec(
  random: Random,
): Pick<SocketLB, 'scope' | 'scopes' | 'noBackends' | 'udpDrainSeconds'> {
  const scopes = (['ClusterIP', 'External', 'LoadBalancer', 'NodePort'] as const).filter(() =>
    random.chance(0.85),
  );
  return {
    scope: random.pick(['Host', 'All']),
    scopes: scopes.length > 0 ? scopes : ['ClusterIP'],
    noBackends: random.pick(['Reject', 'Drop']),
    udpDrainSeconds: random.pick([0, 3600]),
  };
}

export const NAMES = ['s0', 's1', 's2', 's3'] as const;

/** A service of this name, with other frontends and backends each time. */
export function randomService(random: Random, name: string): Service {
  const frontends = Array.from({ length: random.between(1, 4) }, () => randomFrontend(random));
  const isEmpty = random.chance(0.15);
  const isSwapped = random.chance(0.3);
  const backends = [...BACKENDS[4], ...BACKENDS[6]]
    .filter(() => !isEmpty && random.chance(0.6))
    .map((address) => {
      const ports = (['a', 'b'] as const).map((port) => ({
        name: port,
        port: TARGETS[(port === 'b') === isSwapped ? 0 : 1],
      }));
      const state = random.chance(0.8)
        ? 'Ready'
        : random.pick(['Serving', 'Terminating', 'NotReady'] as const);
      return {
        ...backend(address, {
          weight: random.pick([0, 1, 1, 1, 2, 3]),
          state,
          node: random.pick(['node-a', 'node-b']),
        }),
        ports,
      };
    });
  return service(name, frontends, backends);
}

function randomFrontend(random: Random): Frontend {
  const name = random.pick(['a', 'b'] as const);
  const options: Partial<Frontend> = {
    name,
    port: PORTS[name],
    protocol: random.pick(['TCP', 'UDP', 'UDP']),
    scope: random.pick(['ClusterIP', 'ClusterIP', 'External', 'LoadBalancer']),
    affinity: {
      type: random.chance(0.3) ? 'ClientIP' : 'None',
      timeoutSeconds: random.between(3_600, 86_400),
    },
    sourceRanges: random.chance(0.1) ? ['203.0.113.0/24'] : [],
    trafficPolicy: random.chance(0.3) ? 'Local' : 'Cluster',
    ...(random.chance(0.5) ? { noBackends: random.pick(['Reject', 'Drop'] as const) } : {}),
  };
  if (random.chance(0.25)) return frontend([], { ...options, scope: 'NodePort', port: NODE_PORT });
  // a place that is served directly, too, if the service does not stand there
  if (random.chance(0.15))
    return frontend([BACKENDS[4][1], BACKENDS[6][1]], { ...options, port: random.pick(TARGETS) });
  const number = random.below(3);
  const addresses = FAMILIES.map((family) => VIPS[family][number] ?? NODE[family]);
  return frontend(random.chance(0.7) ? addresses : [random.pick(addresses)], options);
}
