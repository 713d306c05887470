// SPDX-License-Identifier: Apache-2.0

/** The router as the agent knows it. */
import type { Router } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig, NodeInput } from '../cube-type.ts';
import { desired } from './desired.ts';
import { constants, maps } from './generated/codec.ts';
import { RouterImage } from './image.ts';
import { ownFilter } from './own-filter.ts';
import { neighboursOf } from './resolving.ts';

/** Of records of what neighbours say: all may answer at once. */
const HEARD = { interval: 1_000_000n, tolerance: 999_000_000n };

function instance(cube: CubeInput<Router>, node: NodeInput): InstanceConfig {
  const { icmp, ...spec } = cube.spec;
  const interval = icmp.errorsPerSecond === 0 ? 0n : BigInt(Math.floor(1e9 / icmp.errorsPerSecond));
  const { directNetworks = [] } = node;
  const { own, resolving } = desired(cube, node);
  const { maxNeighbours } = neighboursOf(cube.spec);
  const hasOverlay = cube.ports.some(({ endpoint }) => endpoint === 'Overlay');
  const isResolving = resolving.ports.length > 0;
  return {
    rodata: {
      own_filter: constants.own_filter.encode(ownFilter(own.map(({ addr }) => addr))),
      reply_limit: constants.reply_limit.encode({ interval, tolerance: interval * BigInt(icmp.burst - 1) }),
      ...(isResolving
        ? {
            resolving_ports: constants.resolving_ports.encode(
              resolving.ports.reduce((bits, { id }) => bits | (1n << BigInt(id)), 0n),
            ),
            log_limit: constants.log_limit.encode(HEARD),
          }
        : {}),
    },
    // twice the limit: rows are added before others leave; and each may be a tunnel, whose end has a row too
    sizes: {
      routes_hash: (hasOverlay ? 4 : 2) * spec.maxRoutes,
      routes_lpm: 2 * spec.maxRoutes,
      neighbours: isResolving ? maxNeighbours : 1,
      // an LRU as small as the least table would forget rows that are in use
      heard_counts: isResolving ? Math.max(maxNeighbours, 1024) : 1,
    },
    config: {
      spec,
      ports: cube.ports,
      overlayVni: node.overlayVni,
      // only where there are any: routers without keep their instance
      ...(directNetworks.length === 0 ? {} : { directNetworks }),
    },
  };
}

export const router: CubeType<Router> = {
  type: 'Router',
  member: 'router',
  object: 'router',
  program: 'router',
  layer: 3,
  segment: 'ends',
  fixedPorts: {},
  firstNamedPort: 0,
  tableTypes: ['Route'],
  maps: {
    routes_hash: { class: 'config', writer: 'agent', codec: maps.routes_hash, version: 1 },
    routes_lpm: { class: 'config', writer: 'agent', codec: maps.routes_lpm, version: 1 },
    route_lengths: { class: 'config', writer: 'agent', codec: maps.route_lengths, version: 1 },
    own_addresses: { class: 'config', writer: 'agent', codec: maps.own_addresses, version: 1 },
    router_ports: { class: 'config', writer: 'agent', codec: maps.router_ports, version: 1 },
    reply_buckets: {
      class: 'state',
      writer: 'program',
      codec: maps.reply_buckets,
      version: 1,
      isCache: true,
    },
    // rows are forgotten by age alone, the oldest first
    returns: { class: 'state', writer: 'program', codec: maps.returns, version: 1, isCache: true },
    neighbours: { class: 'config', writer: 'agent', codec: maps.neighbours, version: 1 },
    heard_counts: {
      class: 'config',
      writer: 'program',
      codec: maps.heard_counts,
      version: 1,
      isCache: true,
    },
    reply_scratch: { class: 'config', writer: 'program', codec: maps.reply_scratch, version: 1 },
  },
  check: (cube) => desired(cube, { overlayVni: 1 }).problems,
  instance,
  image: (cube, node, previous) => new RouterImage(cube, node, previous as RouterImage | undefined),
};
