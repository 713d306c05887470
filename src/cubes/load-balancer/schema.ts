// SPDX-License-Identifier: Apache-2.0
import { atomicList, choice, integer, ip, object, setOf } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import type { Schema } from '../../api/schemas/schema.ts';
import { ALGORITHMS, CLIENTS, NO_BACKENDS, SCOPES } from '../../api/schemas/service.ts';

const capacity = (description: string, maximum: number, value: number): Schema =>
  integer(description, 16, maximum, { default: value, unit: 'entries' });

const seconds = (description: string, value: number): Schema =>
  integer(description, 1, 604800, { default: value, unit: 'seconds' });

/** Source address that takes the place of a backend's own when it reaches itself through a service. */
const familyRule = (family: 4 | 6): Schema => ({
  rules: [
    {
      id: 'HairpinFamily',
      cel: `isIP(self) && ip(self).family() == ${family}`,
      message: `not an IPv${family} address`,
      remedy: `write an IPv${family} address that no pod, node or service uses`,
      twin: new Function(
        'self',
        'library',
        `return library.isIP(self) && library.family(self) === ${family};`,
      ) as never,
    },
  ],
});

export const schema: CubeTypeSchema = {
  type: 'LoadBalancer',
  member: 'loadBalancer',
  folder: 'load-balancer',
  description: 'translates service addresses to those of backends, and replies back.',
  schema: object(
    'A load balancer for TCP, UDP and SCTP. It picks a backend at the first packet of a connection; a session keeps it. Packets that are not for a service pass unchanged.',
    {
      algorithm: choice(
        'How a backend is picked. Random: by weight, independently on each node. Maglev: by a hash on which all nodes agree.',
        ALGORITHMS,
        { default: 'Random' },
      ),
      scopes: setOf(
        'Which frontends of its tables it serves, by scope.',
        choice('Scope of a frontend.', SCOPES),
        4,
        {
          minItems: 1,
          default: [...SCOPES],
        },
      ),
      clients: choice(
        'Who its clients are. Any: externalTrafficPolicy holds for all of them. Pods: the pods of this node, which reach the external addresses, load-balancer addresses and node ports of a Service by any of its backends, whatever its externalTrafficPolicy is, as with kube-proxy.',
        CLIENTS,
        { default: 'Any' },
      ),
      clusterSources: atomicList(
        'What backends see of clients of frontends of the scopes External, LoadBalancer and NodePort whose trafficPolicy is Cluster: one address a family, to which every node routes and which nobody has, as $(node.podCIDRs.ipv4.fictitiousPod). So the answers of a backend on another node come back to this one. Clients of a backend that has an address of the node itself get it with trafficPolicy Local, too, for the host would answer by its own routes. Without an address of its family a client keeps its own.',
        ip('Address that is routed to this node, and to the port server of the load balancer.'),
        2,
        { default: [] },
      ),
      noBackends: choice(
        'What a client meets where a service has no backend. Reject: a TCP RST or an ICMP error at once. Drop: silence.',
        NO_BACKENDS,
        { default: 'Reject' },
      ),
      drainSeconds: integer(
        'How long TCP and SCTP connections to a backend that was removed go on before they are reset.',
        0,
        86400,
        { default: 60, unit: 'seconds' },
      ),
      udpDrainSeconds: integer('The same for UDP flows, which then pick another backend.', 0, 86400, {
        default: 0,
        unit: 'seconds',
      }),
      hairpin: object(
        'A backend that reaches itself through its service would answer itself directly and break the connection. It therefore sees these sources instead of its own address.',
        {
          ipv4: ip('Source for IPv4.', { default: '169.254.99.1', ...familyRule(4) }),
          ipv6: ip('Source for IPv6.', { default: 'fd00:c0be::1', ...familyRule(6) }),
        },
        [],
        { typeName: 'Hairpin', default: {} },
      ),
      rejects: object(
        'Limit on the RSTs and ICMP errors that the load balancer sends, for each source prefix (IPv4 /24, IPv6 /64).',
        {
          errorsPerSecond: integer('Answers in a second in the long run.', 0, 1000000, {
            default: 1000,
            unit: 'packets a second',
          }),
          burst: integer('Answers that may be sent at once after a silence.', 1, 1000000, {
            default: 1000,
            unit: 'packets',
          }),
        },
        [],
        { typeName: 'RejectLimit', default: {} },
      ),
      sessions: object(
        'Sizes of the tables in the kernel, and how long an idle session lives.',
        {
          maxEstablished: capacity(
            'Established sessions; a table apart, which no flood of SYNs can empty.',
            16777216,
            262144,
          ),
          maxEmbryonic: capacity(
            'Sessions before the client has confirmed them; the oldest make room.',
            16777216,
            65536,
          ),
          maxAffinity: capacity('Clients with an affinity.', 16777216, 65536),
          maxBackends: capacity('Backends of all services together.', 4194304, 65536),
          maxFrontends: capacity('Pairs of address and port of all services together.', 4194304, 32768),
          maxPicks: capacity(
            'Places in the tables of picks: for Random about the sum of weights, for Maglev 100 a backend and frontend.',
            67108864,
            1048576,
          ),
          maxSourceRanges: capacity(
            'Prefixes of clients, of all frontends that let in only some.',
            4194304,
            65536,
          ),
          timeouts: object(
            'How long a session lives without a packet.',
            {
              tcpSyn: seconds('TCP and SCTP before they are established.', 60),
              tcpEstablished: seconds('TCP, established.', 86400),
              tcpClosing: seconds('TCP after a FIN or RST, SCTP after a SHUTDOWN or ABORT.', 120),
              udp: seconds('UDP before the client has answered a reply.', 30),
              udpStream: seconds('UDP after that.', 180),
              sctp: seconds('SCTP, established.', 3600),
              icmp: seconds('ICMP echo.', 30),
            },
            [],
            { typeName: 'SessionTimeouts', default: {} },
          ),
        },
        [],
        { typeName: 'Sessions', default: {} },
      ),
    },
    [],
    { typeName: 'LoadBalancer' },
  ),
  ports: {
    fixed: [{ name: 'server', description: 'The side of the backends: replies come in here.' }],
    named: 'Exactly one other port, of any name: the side of the clients.',
    max: 2,
    addresses: false,
  },
  tables: ['Service'],
  hooks: ['TC'],
  rules: [
    {
      id: 'ServerPortMissing',
      cel: "!has(self.ports) || self.ports.size() < 2 || self.ports.exists(p, p.name == 'server')",
      message: "none of the load balancer's two ports is named server",
      remedy: 'name the port towards the backends server; the other one is the side of the clients',
      field: '.ports',
      twin: (self) =>
        !self.ports || self.ports.length < 2 || self.ports.some((p: { name: string }) => p.name === 'server'),
    },
  ],
  dropReasons: [
    {
      id: 32,
      name: 'NoBackend',
      description: 'The service has no backend that could take the connection.',
      remedy: 'Look at the endpoints of the Service: are pods ready, does its selector match?',
    },
    {
      id: 33,
      name: 'NoLocalBackend',
      description: 'The traffic policy is Local and the node has no backend.',
      remedy: 'Run a backend on the node, send to another node, or set the traffic policy to Cluster.',
    },
    {
      id: 34,
      name: 'SourceNotAllowed',
      description: 'The client is outside the source ranges of the frontend.',
      remedy: 'Add its prefix to loadBalancerSourceRanges of the Service if it should have access.',
    },
    {
      id: 35,
      name: 'NoSession',
      description:
        'A TCP packet in the middle of a connection that is not known here. The client gets a RST.',
      remedy: 'Normal after an idle timeout; if many, raise sessions.timeouts.tcpEstablished.',
    },
    {
      id: 36,
      name: 'BackendGone',
      description:
        'The backend of the connection was removed and its drain time is over. TCP clients get a RST.',
      remedy: 'Raise drainSeconds if connections are meant to live longer than their backend.',
    },
    {
      id: 37,
      name: 'SessionTableFull',
      description: 'The session could not be stored.',
      remedy: 'Raise sessions.maxEstablished or sessions.maxEmbryonic.',
    },
    {
      id: 38,
      name: 'ReverseConflict',
      description:
        'The reply could not be told from that of another connection, and no free source port was found.',
      remedy: 'The client has too many connections to the same backends; spread them over more addresses.',
    },
    {
      id: 39,
      name: 'SctpPortChange',
      description: 'The checksum of an SCTP packet cannot be corrected for the port of the backend.',
      remedy: 'Use the same port for the service and its backends.',
    },
    {
      id: 40,
      name: 'BackendInvalid',
      description: 'A pick led to a backend that is not in the table.',
      remedy: 'Restart the agent of the node, which writes the tables again, and report it.',
    },
  ],
  counters: [
    { id: 0, name: 'newSessions', description: 'Connections for which a backend was picked.' },
    { id: 1, name: 'promoted', description: 'Sessions that became established.' },
    { id: 2, name: 'translated', description: 'Packets translated towards a backend.' },
    { id: 3, name: 'reverseTranslated', description: 'Replies translated back to the service.' },
    { id: 4, name: 'passed', description: 'Packets that are not for a service.' },
    { id: 5, name: 'rejected', description: 'RSTs and ICMP errors sent.' },
    { id: 6, name: 'rejectSuppressed', description: 'RSTs and ICMP errors not sent: over the limit.' },
    { id: 7, name: 'affinityHits', description: 'Picks decided by an affinity.' },
    { id: 8, name: 'hairpins', description: 'Connections of a backend to itself.' },
    { id: 9, name: 'sourcePortChanged', description: 'Connections whose source port had to be changed.' },
    { id: 10, name: 'repicked', description: 'UDP flows that moved to another backend.' },
    { id: 11, name: 'expired', description: 'Sessions found past their timeout.' },
    {
      id: 12,
      name: 'conflicts',
      description: 'Picks whose replies could not have been told from those of another connection.',
    },
  ],
  decisions: [
    { id: 1, name: 'Frontend', description: 'For a frontend of a service.', object: 'frontend' },
    {
      id: 2,
      name: 'NewSession',
      description: 'A backend was picked for a new connection; without affinity another one may get another.',
      object: 'backend',
    },
    {
      id: 3,
      name: 'Session',
      description: 'The session of the connection says the backend.',
      object: 'backend',
    },
    {
      id: 4,
      name: 'Reply',
      description: 'A reply of a session: it gets the address of the service back.',
      object: 'backend',
    },
    { id: 5, name: 'Affinity', description: 'The backend that the client has already.', object: 'backend' },
    { id: 6, name: 'NotForService', description: 'Not for a service: passed on as it is.' },
    { id: 7, name: 'Refused', description: 'The packet becomes a RST or an ICMP error to its sender.' },
    {
      id: 8,
      name: 'OtherConnection',
      description:
        'Of a connection that the client has with the backend itself, from the same port: passed on as it is, and the one through the service takes another port.',
      object: 'backend',
    },
  ],
  maps: [
    {
      name: 'frontends',
      class: 'config',
      key: 'address, port, protocol',
      value: 'base and size in picks as one word, group, affinity, flags',
      writer: 'agent',
      description: 'Where clients reach services.',
    },
    {
      name: 'picks',
      class: 'config',
      key: 'place',
      value: 'backend id',
      writer: 'agent',
      description: 'Segments of backend ids; weights by repetition.',
      objects: { value: 'backend' },
    },
    {
      name: 'backends',
      class: 'state',
      key: 'backend id',
      value: 'address, port, generation, deadline',
      writer: 'agent',
      description: 'Who serves, each with its number of new sessions.',
      objects: { key: 'backend' },
      beside: 'backend_counters',
    },
    {
      name: 'backend_counters',
      class: 'state',
      key: 'backend id',
      value: 'new sessions',
      writer: 'program',
      description:
        'Sessions that each backend was picked for, since it was first listed; kept over changes of services and of the spec.',
      objects: { key: 'server' },
      counts: 'sessions',
    },
    {
      name: 'established',
      class: 'state',
      key: '5-tuple',
      value: 'session',
      writer: 'program',
      description: 'Sessions that the client has confirmed.',
      objects: { backend: 'backend' },
    },
    {
      name: 'embryonic',
      class: 'state',
      key: '5-tuple',
      value: 'session',
      writer: 'program',
      description: 'Sessions before that; the oldest make room.',
      objects: { backend: 'backend' },
    },
    {
      name: 'affinity',
      class: 'state',
      key: 'client address and frontend',
      value: 'backend id, time',
      writer: 'program',
      description: 'Which backend a client keeps.',
      objects: { backend: 'backend' },
    },
    {
      name: 'source_ranges',
      class: 'config',
      key: 'frontend and prefix',
      value: 'none',
      writer: 'agent',
      description: 'Clients that may use a frontend.',
    },
    {
      name: 'reply_buckets',
      class: 'state',
      key: 'prefix of senders',
      value: 'time when the bucket is full again',
      writer: 'program',
      description: 'Limit on RSTs and ICMP errors.',
    },
  ],
};
