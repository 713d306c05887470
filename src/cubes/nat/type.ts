// SPDX-License-Identifier: Apache-2.0

/** The NAT as the agent knows it. */
import type { Nat } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig, NodeInput, Problem } from '../cube-type.ts';
import { desired } from './desired.ts';
import { constants, maps } from './generated/codec.ts';
import { NatImage } from './image.ts';

/** The unit of the program's clock, 2^30 ns: rounded up, so that no timeout is shorter than it says. */
function coarse(seconds: number): number {
  return Math.ceil((seconds * 1e9) / 2 ** 30);
}

function instance(cube: CubeInput<Nat>, { acceptsDirect = false }: NodeInput): InstanceConfig {
  const { sessions, rejects, ...rest } = cube.spec;
  const { timeouts } = sessions;
  const isDirect = cube.spec.role === 'Discriminator' && acceptsDirect;
  const interval = rejects.errorsPerSecond === 0 ? 0n : BigInt(Math.floor(1e9 / rejects.errorsPerSecond));
  return {
    rodata: {
      nat_options: constants.nat_options.encode(desired(cube).options),
      nodes_are_routed: constants.nodes_are_routed.encode(isDirect ? 1 : 0),
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
    // a session is two entries, one for each direction
    sizes: {
      established: sessions.maxEstablished * 2,
      embryonic: sessions.maxEmbryonic * 2,
      services: cube.spec.role === 'Discriminator' ? cube.spec.maxServices : 1,
    },
    config: {
      rest,
      addresses: cube.ports.map(({ addresses }) => addresses),
      // only where there are several: others keep their instance
      ...(cube.ports.some(({ isSeveral }) => isSeveral) ? { isSeveral: true } : {}),
    },
  };
}

export const nat: CubeType<Nat> = {
  type: 'Nat',
  member: 'nat',
  object: 'nat',
  program: 'nat',
  layer: 3,
  fixedPorts: { outside: 0, inside: 1 },
  firstNamedPort: 2,
  tableTypes: ['Service', 'Announcement'],
  maps: {
    matches: { class: 'config', writer: 'agent', codec: maps.matches, version: 1 },
    source_rules: { class: 'config', writer: 'agent', codec: maps.source_rules, version: 1 },
    forward_rules: { class: 'config', writer: 'agent', codec: maps.forward_rules, version: 1 },
    pool: { class: 'config', writer: 'agent', codec: maps.pool, version: 1 },
    services: { class: 'config', writer: 'agent', codec: maps.services, version: 1 },
    established: {
      class: 'state',
      writer: 'program',
      codec: maps.established,
      version: 1,
      reclaim: 'reclaim_established',
    },
    embryonic: {
      class: 'state',
      writer: 'program',
      codec: maps.embryonic,
      version: 1,
      reclaim: 'reclaim_embryonic',
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
  sharesHost: ({ spec }) => spec.role === 'Discriminator',
  reservedPorts: ({ spec: { role, portRange } }) => (role === 'Discriminator' ? [portRange] : []),
  check: (cube) => checkPorts(cube) ?? checkRole(cube) ?? desired(cube).problems,
  instance,
  image: (cube, node) => new NatImage(cube, node),
};

/** Only from an interface that the host shares can packets be left to it. */
function checkRole({ name, spec, ports }: CubeInput<Nat>): readonly Problem[] | undefined {
  const endpoint = ports.find((port) => port.name === 'outside')?.endpoint;
  if (spec.role === 'Gateway' || endpoint === undefined || endpoint === 'Interface') return undefined;
  return [
    {
      reason: 'NotAtInterface',
      field: 'spec.nat.role',
      message: `the port outside of ${name} is linked to ${endpoint}; a Discriminator leaves packets to the host, which it can at an Interface only. Link the port to the uplink, or set role to Gateway`,
    },
  ];
}

function checkPorts(cube: CubeInput<Nat>) {
  const other = cube.ports.filter(({ name }) => name !== 'outside' && name !== 'inside');
  if (other.length === 0) return undefined;
  return [
    {
      reason: 'UnknownPort',
      field: 'spec.ports',
      message: `a Nat has the ports outside and inside, but ${cube.name} is linked by ${other.map(({ name }) => name).join(', ')}; link one of the two`,
    },
  ];
}
