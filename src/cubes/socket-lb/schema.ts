// SPDX-License-Identifier: Apache-2.0
import { choice, integer, object, setOf } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import type { Schema } from '../../api/schemas/schema.ts';
import { NO_BACKENDS, SCOPES } from '../../api/schemas/service.ts';

const capacity = (description: string, maximum: number, value: number): Schema =>
  integer(description, 16, maximum, { default: value, unit: 'entries' });

export const schema: CubeTypeSchema = {
  type: 'SocketLB',
  member: 'socketLB',
  folder: 'socket-lb',
  description:
    'gives sockets of processes that name a service one of its backends, before there is a packet.',
  schema: object(
    'A load balancer for the sockets of the node itself, TCP and UDP. A process that connects or sends to a service gets a backend of it, and is told the address of the service as its peer. It has no ports and no links, and needs hook Cgroup.',
    {
      scope: choice(
        "Whose sockets. Host: those of the node's own network namespace, as of kubelet and of pods with hostNetwork. All: those of pods, too, below the cgroup that the agent was given.",
        ['Host', 'All'],
        { default: 'Host' },
      ),
      scopes: setOf(
        'Which frontends of its tables it serves, by scope. A NodePort without addresses is served on all addresses of the node, and on 127.0.0.1 and ::1. Frontends with source ranges are left to LoadBalancer cubes, which see where a client comes from.',
        choice('Scope of a frontend.', SCOPES),
        4,
        { minItems: 1, default: [...SCOPES] },
      ),
      noBackends: choice(
        'What a process meets where a service has no backend. Reject: ECONNREFUSED. Drop: EHOSTUNREACH, as where the traffic policy is Local and the node has none.',
        NO_BACKENDS,
        { default: 'Reject' },
      ),
      udpDrainSeconds: integer(
        'How long UDP sockets go on with a backend that was removed. Then those that are not connected get another one with the next datagram, and connected ones of the node end (ECONNABORTED; Linux 6.5).',
        0,
        86400,
        {
          default: 0,
          unit: 'seconds',
        },
      ),
      sessions: object(
        'Sizes of the tables in the kernel.',
        {
          maxFlows: capacity(
            'UDP sockets that are not connected, times the services they send to; the oldest make room.',
            16777216,
            65536,
          ),
          flowTimeout: integer('How long such a socket keeps its backend without sending.', 1, 604800, {
            default: 180,
            unit: 'seconds',
          }),
          maxAffinity: capacity('Network namespaces with an affinity, times services.', 16777216, 16384),
          maxBackends: capacity('Backends of all services together.', 4194304, 65536),
          maxFrontends: capacity('Pairs of address and port of all services together.', 4194304, 32768),
          maxPicks: capacity('Places in the tables of picks, about the sum of weights.', 67108864, 1048576),
        },
        [],
        { typeName: 'SocketSessions', default: {} },
      ),
    },
    [],
    { typeName: 'SocketLB' },
  ),
  ports: { fixed: [], named: 'None: it sees sockets, not packets.', max: 0, addresses: false },
  tables: ['Service'],
  hooks: ['Cgroup'],
  rules: [
    {
      id: 'SocketLBHook',
      cel: "self.hook == 'Cgroup'",
      message: 'a SocketLB runs at no other hook than Cgroup',
      remedy: 'set hook to Cgroup',
      field: '.hook',
      twin: (self) => self.hook === 'Cgroup',
    },
  ],
  dropReasons: [
    {
      id: 32,
      name: 'NoBackend',
      description: 'The service has no backend. The call failed.',
      remedy: 'Look at the endpoints of the Service: are pods ready, does its selector match?',
    },
    {
      id: 33,
      name: 'NoLocalBackend',
      description: 'The internal traffic policy is Local and the node has no backend. The call failed.',
      remedy: 'Run a backend on the node, or set the internal traffic policy to Cluster.',
    },
    {
      id: 34,
      name: 'BackendInvalid',
      description: 'A pick led to a backend that is not in the table. The call failed.',
      remedy: 'Restart the agent of the node, which writes the tables again, and report it.',
    },
    {
      id: 35,
      name: 'PortOfService',
      description:
        'A process asked for an address and port of a service, as a node port, by bind(). It was told EADDRINUSE: nobody would reach it there.',
      remedy: 'Let the process listen on another port, or give the Service another one.',
    },
  ],
  counters: [
    { id: 0, name: 'connected', description: 'Sockets that were connected to a backend, TCP and UDP.' },
    { id: 1, name: 'flows', description: 'UDP sockets, not connected, for which a backend was picked.' },
    { id: 2, name: 'sent', description: 'Datagrams that such sockets sent to a service.' },
    {
      id: 3,
      name: 'received',
      description: "Datagrams received whose sender was told as the service's address.",
    },
    { id: 4, name: 'peerNames', description: "Answers of getpeername with a service's address." },
    { id: 5, name: 'affinityHits', description: 'Picks decided by an affinity.' },
    {
      id: 6,
      name: 'repicked',
      description: 'UDP sockets, not connected, whose backend was gone, or no longer one of the service.',
    },
    {
      id: 7,
      name: 'sharedBackends',
      description:
        'UDP sockets, not connected, that got one backend for two services: its answers get the address of the newer one.',
    },
    {
      id: 8,
      name: 'untracked',
      description:
        "Sockets that could not be remembered: their processes see the backend's address. The socket's memory for options (net.core.optmem_max) is used up.",
    },
  ],
  decisions: [],
  maps: [
    {
      name: 'frontends',
      class: 'config',
      key: 'address, port, protocol',
      value: 'base and size in picks as one word, group, affinity, flags',
      writer: 'agent',
      description: 'Where processes reach services.',
    },
    {
      name: 'picks',
      class: 'config',
      key: 'place',
      value: 'backend id',
      writer: 'agent',
      description: 'Segments of backend ids, one a frontend.',
      objects: { value: 'backend' },
    },
    {
      name: 'backends',
      class: 'state',
      key: 'backend id',
      value: 'address, port, protocol, flags, generation, deadline',
      writer: 'agent',
      description: 'Where services are served.',
      objects: { key: 'backend' },
      beside: 'backend_counters',
    },
    {
      name: 'backend_counters',
      class: 'state',
      key: 'backend id',
      value: 'sockets that it was picked for',
      writer: 'program',
      description: 'How often each backend was picked.',
      objects: { key: 'server' },
      counts: 'sessions',
    },
    {
      name: 'flows',
      class: 'state',
      key: 'socket cookie and service',
      value: 'backend id, generation, time',
      writer: 'program',
      description: 'Which backend an unconnected UDP socket keeps.',
      objects: { backend: 'backend' },
    },
    {
      name: 'replies',
      class: 'state',
      key: 'socket cookie and backend',
      value: 'service, time',
      writer: 'program',
      description: 'Whose address the answers to an unconnected UDP socket get.',
    },
    {
      name: 'affinity',
      class: 'state',
      key: 'network namespace and frontend',
      value: 'backend id, time',
      writer: 'program',
      description: 'Which backend the processes of a node keep.',
      objects: { backend: 'backend' },
    },
  ],
};
