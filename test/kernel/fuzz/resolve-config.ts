// SPDX-License-Identifier: Apache-2.0
/** Routers at random that find the MACs of next hops themselves on some of their ports, and what that means. */
import type { Router } from '../../../src/api/generated/types.ts';
import type { CubePort } from '../../../src/cubes/cube-type.ts';
import { GATEWAY_MAC, mappedBytes } from '../support/bytes.ts';
import type { World } from './packets.ts';
import { type Address, addressOf } from './parse-model.ts';
import type { Random } from './random.ts';
import { type Config, randomConfig, WORLD } from './router-config.ts';

/** What the model has to know of `spec.router.neighbours`. */
export interface ModelResolving {
  /** Own addresses of each port that resolves, in their order, with the bits of their prefixes. */
  readonly ports: ReadonlyMap<number, readonly OwnPrefix[]>;
  readonly statics: readonly { readonly port: number; readonly address: Address; readonly mac: string }[];
  readonly reachableSeconds: number;
  readonly max: number;
}

export interface OwnPrefix {
  readonly address: Address;
  /** Of 128 bits. */
  readonly length: number;
}

export interface ResolvingConfig extends Config {
  readonly neighbours: Router['neighbours'];
}

export const HOST_MACS = ['02:00:5e:00:00:07', '02:00:5e:00:00:08', '02:00:5e:00:00:09'] as const;

/** Sent to the router, mostly; and more hosts, so that the table is full at times. */
export const RESOLVING_WORLD: World = {
  ...WORLD,
  addresses: [
    ...WORLD.addresses,
    ...['10.244.1.20', '10.244.1.21', '10.9.7.8', '10.9.7.9', '10.9.7.10', '192.168.7.1', '192.168.8.3'],
    ...['fd00:244:1::20', 'fd00:244:1::21', 'fd09::8', 'fd09::9', 'fd09::a', 'fd00:7::1', 'fd00:7::3'],
  ],
  macs: [...Array.from({ length: 12 }, () => GATEWAY_MAC), ...HOST_MACS, ...WORLD.macs],
};

/** Addresses that a neighbour may be fixed at. */
const FIXED = ['10.244.1.5', '192.168.7.1', '10.9.7.7', 'fd00:244:1::5', 'fd00:7::1', 'fd09::7'] as const;

export function randomResolving(r: Random): ResolvingConfig {
  const config = randomConfig(r);
  const ports = config.ports.map((port): CubePort => {
    if (port.name === 'overlay' || port.endpoint === 'Stack') return port;
    return { ...port, endpoint: r.chance(0.8) ? 'Cube' : 'Interface' };
  });
  const able = ports.filter(({ endpoint, addresses }) => endpoint === 'Cube' && addresses.length > 0);
  const chosen = able.filter(() => r.chance(0.8));
  const names = (chosen.length > 0 ? chosen : able).map(({ name }) => name);
  const statics = FIXED.filter(() => names.length > 0 && r.chance(0.15)).map((address) => ({
    port: r.pick(names),
    address,
    mac: r.pick(HOST_MACS),
  }));
  // a host that shares an address of the router is on none of these ports
  const others = ports.filter(({ name }) => name !== 'overlay' && !names.includes(name));
  const routes = config.routes.filter(({ destination }) => destination !== '10.244.1.1/32');
  const other = others[0];
  if (other && r.chance(0.4))
    routes.unshift({ type: 'Port', destination: '10.244.1.1/32', port: other.name });
  return {
    ...config,
    ports,
    routes,
    neighbours: {
      ports: names,
      static: statics,
      reachableSeconds: r.pick([1, 5, 30]),
      maxNeighbours: r.pick([16, 16, 64]),
    },
  };
}

export function modelOfResolving({ ports, neighbours }: ResolvingConfig): ModelResolving {
  const idOf = (name: string): number => ports.find((port) => port.name === name)?.id ?? 0;
  const prefixes = (name: string): OwnPrefix[] =>
    (ports.find((port) => port.name === name)?.addresses ?? []).map((text) => {
      const [address = '', bits = ''] = text.split('/');
      return { address: of(address), length: Number(bits) + (address.includes(':') ? 0 : 96) };
    });
  return {
    ports: new Map(neighbours.ports.map((name) => [idOf(name), prefixes(name)])),
    statics: neighbours.static.map(({ port, address, mac }) => ({
      port: idOf(port),
      address: of(address),
      mac,
    })),
    reachableSeconds: neighbours.reachableSeconds,
    max: neighbours.maxNeighbours,
  };
}

const of = (text: string): Address => addressOf(mappedBytes(text));
