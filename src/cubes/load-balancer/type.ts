// SPDX-License-Identifier: Apache-2.0

/** The load balancer as the agent knows it. */
import type { LoadBalancer } from '../../api/generated/types.ts';
import type {
  CubeImage,
  CubeInput,
  CubeType,
  InstanceConfig,
  MigrateRow,
  NodeInput,
  Problem,
} from '../cube-type.ts';
import { coarse } from './backends.ts';
import { constants, maps } from './generated/codec.ts';
import { LoadBalancerImage } from './image.ts';

const SERVER = 0;
const CLIENT = 1;

function check(cube: CubeInput<LoadBalancer>): readonly Problem[] {
  const clients = cube.ports.filter((port) => port.name !== 'server');
  const { clusterSources } = cube.spec;
  if (new Set(clusterSources.map(isV6)).size < clusterSources.length) {
    return [
      {
        reason: 'DuplicateAddress',
        field: 'spec.loadBalancer.clusterSources',
        message: `${clusterSources.join(' and ')} are of one family, of which backends see one source; remove one`,
      },
    ];
  }
  if (clients.length <= 1) return [];
  return [
    {
      reason: 'TooManyPorts',
      field: 'spec.ports',
      message: `a load balancer has the port server and one other, the side of the clients, but ${cube.name} has ${clients.map(({ name }) => name).join(', ')}; link one of them only`,
    },
  ];
}

const isV6 = (address: string): boolean => address.includes(':');

function sourcesOf({ clusterSources }: LoadBalancer): { v4: string | Uint8Array; v6: string } {
  return {
    // not 0.0.0.0, which is mapped: all bytes are zero where there is none
    v4: clusterSources.find((address) => !isV6(address)) ?? new Uint8Array(16),
    v6: clusterSources.find(isV6) ?? '::',
  };
}

/** A row of a map of sessions as version 1 had it: without the client of a reverse half, of which none was hidden. */
const withClient: MigrateRow = (version, key, value) =>
  version === 1 ? { key, value: Buffer.concat([value, Buffer.alloc(16)]) } : undefined;

function instance(cube: CubeInput<LoadBalancer>, { zone }: NodeInput): InstanceConfig {
  const { sessions, hairpin, rejects, ...rest } = cube.spec;
  const { timeouts } = sessions;
  const interval = rejects.errorsPerSecond === 0 ? 0n : BigInt(Math.floor(1e9 / rejects.errorsPerSecond));
  return {
    rodata: {
      hairpin: constants.hairpin.encode({ v4: hairpin.ipv4, v6: hairpin.ipv6 }),
      masquerade: constants.masquerade.encode(sourcesOf(cube.spec)),
      reply_limit: constants.reply_limit.encode({
        interval,
        tolerance: interval * BigInt(rejects.burst - 1),
      }),
      session_timeouts: constants.session_timeouts.encode({
        tcpSyn: coarse(timeouts.tcpSyn),
        tcpEstablished: coarse(timeouts.tcpEstablished),
        tcpClosing: coarse(timeouts.tcpClosing),
        udp: coarse(timeouts.udp),
        udpStream: coarse(timeouts.udpStream),
        sctp: coarse(timeouts.sctp),
        icmp: coarse(timeouts.icmp),
      }),
    },
    sizes: {
      // a session is two entries, one for each direction
      established: sessions.maxEstablished * 2,
      embryonic: sessions.maxEmbryonic * 2,
      affinity: sessions.maxAffinity,
      backends: sessions.maxBackends,
      backend_counters: sessions.maxBackends,
      frontends: sessions.maxFrontends,
      picks: sessions.maxPicks,
      source_ranges: sessions.maxSourceRanges,
    },
    // another zone: other backends are near, of all services at once
    config: zone === undefined ? rest : { ...rest, zone },
  };
}

export const loadBalancer: CubeType<LoadBalancer> = {
  type: 'LoadBalancer',
  member: 'loadBalancer',
  object: 'load-balancer',
  program: 'load_balancer',
  layer: 3,
  fixedPorts: { server: SERVER },
  firstNamedPort: CLIENT,
  tableTypes: ['Service'],
  maps: {
    frontends: { class: 'config', writer: 'agent', codec: maps.frontends, version: 1 },
    picks: { class: 'config', writer: 'agent', codec: maps.picks, version: 1 },
    source_ranges: { class: 'config', writer: 'agent', codec: maps.source_ranges, version: 1 },
    backends: { class: 'state', writer: 'agent', codec: maps.backends, version: 1 },
    backend_counters: { class: 'state', writer: 'program', codec: maps.backend_counters, version: 1 },
    established: {
      class: 'state',
      writer: 'program',
      codec: maps.established,
      version: 2,
      onLayoutChange: withClient,
      reclaim: 'reclaim_established',
    },
    embryonic: {
      class: 'state',
      writer: 'program',
      codec: maps.embryonic,
      version: 2,
      onLayoutChange: withClient,
      reclaim: 'reclaim_embryonic',
    },
    affinity: {
      class: 'state',
      writer: 'program',
      codec: maps.affinity,
      version: 1,
      reclaim: 'reclaim_affinity',
    },
    reply_buckets: {
      class: 'state',
      writer: 'program',
      codec: maps.reply_buckets,
      version: 1,
      isCache: true,
    },
    reply_scratch: { class: 'config', writer: 'program', codec: maps.reply_scratch, version: 1 },
    scratch: { class: 'config', writer: 'program', codec: maps.scratch, version: 1 },
  },
  check,
  instance,
  image(cube: CubeInput<LoadBalancer>, node: NodeInput, previous?: CubeImage): CubeImage {
    return new LoadBalancerImage(
      cube.spec,
      node,
      previous instanceof LoadBalancerImage ? previous : undefined,
    );
  },
};
