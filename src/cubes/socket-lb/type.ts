// SPDX-License-Identifier: Apache-2.0

/** The socket load balancer as the agent knows it. */
import type { SocketLB } from '../../api/generated/types.ts';
import type { CubeImage, CubeInput, CubeType, InstanceConfig, NodeInput } from '../cube-type.ts';
import { coarse } from '../load-balancer/backends.ts';
import { constants, maps } from './generated/codec.ts';
import { SocketLBImage } from './image.ts';

function instance(cube: CubeInput<SocketLB>, node: NodeInput): InstanceConfig {
  const { scope, sessions, ...rest } = cube.spec;
  const { netnsCookie } = node;
  if (netnsCookie === undefined) throw new Error('the cookie of the network namespace is not known');
  return {
    rodata: {
      only_netns: constants.only_netns.encode(scope === 'Host' ? netnsCookie : 0n),
      flow_timeout: constants.flow_timeout.encode(coarse(sessions.flowTimeout)),
    },
    sizes: {
      flows: sessions.maxFlows,
      replies: sessions.maxFlows,
      affinity: sessions.maxAffinity,
      backends: sessions.maxBackends,
      backend_counters: sessions.maxBackends,
      frontends: sessions.maxFrontends,
      picks: sessions.maxPicks,
    },
    config: rest,
  };
}

export const socketLB: CubeType<SocketLB> = {
  type: 'SocketLB',
  member: 'socketLB',
  object: 'socket-lb',
  program: 'connect4',
  cgroupPrograms: [
    'connect4',
    'connect6',
    'sendmsg4',
    'sendmsg6',
    'recvmsg4',
    'recvmsg6',
    'getpeername4',
    'getpeername6',
    'bind4',
    'bind6',
  ],
  layer: 3,
  socketSweep: { object: 'socket-sweep', program: 'sweep_udp', maps: ['peers', 'backends'] },
  fixedPorts: {},
  firstNamedPort: 0,
  tableTypes: ['Service'],
  maps: {
    frontends: { class: 'config', writer: 'agent', codec: maps.frontends, version: 1 },
    picks: { class: 'config', writer: 'agent', codec: maps.picks, version: 1 },
    backends: { class: 'state', writer: 'agent', codec: maps.backends, version: 1 },
    backend_counters: { class: 'state', writer: 'program', codec: maps.backend_counters, version: 1 },
    peers: { class: 'state', writer: 'program', codec: maps.peers, version: 1 },
    flows: { class: 'state', writer: 'program', codec: maps.flows, version: 1, reclaim: 'reclaim_flows' },
    replies: {
      class: 'state',
      writer: 'program',
      codec: maps.replies,
      version: 1,
      reclaim: 'reclaim_replies',
    },
    affinity: {
      class: 'state',
      writer: 'program',
      codec: maps.affinity,
      version: 1,
      reclaim: 'reclaim_affinity',
    },
  },
  check: () => [],
  instance,
  image(cube: CubeInput<SocketLB>, node: NodeInput, previous?: CubeImage): CubeImage {
    return new SocketLBImage(cube.spec, node, previous instanceof SocketLBImage ? previous : undefined);
  },
};
