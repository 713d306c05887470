// SPDX-License-Identifier: Apache-2.0
import { atomicList, choice, flag, integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import { ruleOf } from '../../api/schemas/policy.ts';
import type { Schema } from '../../api/schemas/schema.ts';
import { outsideOrInside } from '../outside-inside.ts';

const capacity = (description: string, value: number): Schema =>
  integer(description, 16, 16777216, { default: value, unit: 'entries' });

const seconds = (description: string, value: number): Schema =>
  integer(description, 1, 604800, { default: value, unit: 'seconds' });

const action = (description: string, value: string): Schema =>
  choice(description, ['Allow', 'Drop', 'Reject'], { default: value });

const limit = (description: string, what: string, typeName: string, rate: number, most: number): Schema =>
  object(
    description,
    {
      perSecond: integer(`${what} in a second in the long run. 0: none.`, 0, most, {
        default: rate,
        unit: 'a second',
      }),
      burst: integer(`${what} at once after a silence.`, 1, most, { default: rate }),
    },
    [],
    { typeName, default: {} },
  );

export const schema: CubeTypeSchema = {
  type: 'Firewall',
  member: 'firewall',
  folder: 'firewall',
  description: 'lets packets pass between its two ports by ordered rules, and remembers connections.',
  schema: object(
    'A stateful firewall for IPv4 and IPv6. The first rule that matches a new connection decides; packets of a connection that was let through, in both directions, pass without being asked again until the rules change. It changes no packet. ICMP messages other than echo have nothing to tell their answers by: each is asked about. ARP and neighbour discovery always pass. With tables of type Policy and Identity it does what network policies say: the pods are inside.',
    {
      defaultActions: object(
        'What happens to new connections that no rule matches.',
        {
          ingress: action('From outside to inside.', 'Drop'),
          egress: action('From inside to outside.', 'Allow'),
          log: flag('Write what is refused so to the log of the agent, as far as its rate allows.', false),
        },
        [],
        { typeName: 'DefaultActions', default: {} },
      ),
      rules: atomicList(
        'Rules, in addition to the rows of Rule tables. More of them, or more prefixes and ports a rule, go into tables.',
        ruleOf(4, 8),
        500,
        { default: [] },
      ),
      handshake: choice(
        'A TCP or SCTP packet in the middle of a connection that is not known here, as after a restart of the node: with Loose it is New, with Strict Invalid.',
        ['Loose', 'Strict'],
        { default: 'Loose' },
      ),
      policyMode: choice(
        'What tables of type Policy do. Audit: what they refuse passes, as far as rules behind them let it, and is counted and told instead; the rules of the firewall itself hold. Connections that were let through so end when it is Enforce again.',
        ['Enforce', 'Audit'],
        { default: 'Enforce' },
      ),
      otherFrames: choice('Frames that are neither IP nor ARP.', ['Allow', 'Drop'], { default: 'Drop' }),
      rejects: limit(
        'Limit on the RSTs and ICMP errors that the firewall sends, for each source prefix (IPv4 /24, IPv6 /64).',
        'Answers',
        'FirewallRejects',
        100,
        1000000,
      ),
      logs: limit(
        'Limit on the records that the firewall writes to the log.',
        'Records',
        'FirewallLogs',
        100,
        10000,
      ),
      maxRules: integer(
        'Rules that fit in one direction, of the spec and of tables together. Memory in the kernel: about 11 KiB a rule.',
        16,
        5120,
        { default: 512, unit: 'rules' },
      ),
      sessions: object(
        'Sizes of the session tables in the kernel, and how long an idle session lives.',
        {
          maxEstablished: capacity(
            'Established sessions; a table apart, which no flood of SYNs can empty.',
            262144,
          ),
          maxEmbryonic: capacity(
            'Sessions before their initiator has confirmed them; the oldest make room.',
            65536,
          ),
          timeouts: object(
            'How long a session lives without a packet.',
            {
              tcpSyn: seconds('TCP and SCTP before they are established.', 60),
              tcpEstablished: seconds('TCP, established.', 86400),
              tcpClosing: seconds('TCP after a FIN or RST, SCTP after a SHUTDOWN or ABORT.', 120),
              udp: seconds('UDP before its initiator has answered a reply.', 30),
              udpStream: seconds('UDP after that.', 180),
              sctp: seconds('SCTP, established.', 3600),
              other: seconds('ICMP echo and other protocols.', 30),
            },
            [],
            { typeName: 'FirewallTimeouts', default: {} },
          ),
        },
        [],
        { typeName: 'FirewallSessions', default: {} },
      ),
    },
    [],
    { typeName: 'Firewall' },
  ),
  ports: {
    fixed: [
      { name: 'outside', description: 'What comes in here is ingress.' },
      { name: 'inside', description: 'What comes in here is egress.' },
    ],
    named: 'None: a firewall has the two fixed ports.',
    max: 2,
    addresses: false,
  },
  tables: ['Rule', 'Policy', 'Identity'],
  hooks: ['TC'],
  rules: [
    outsideOrInside({
      id: 'FirewallPort',
      message: 'a firewall has the ports outside and inside only',
      remedy: 'name the port towards the network outside, the one towards what is protected inside',
    }),
  ],
  dropReasons: [
    {
      id: 32,
      name: 'DroppedByRule',
      description:
        'A rule with the action Drop matched, or no entry of the network policies that isolate a pod allows the packet.',
      remedy:
        'Nothing, if it is meant; `cubeplane drops` and `cubeplane trace --dry-run` name the rule or policy.',
    },
    {
      id: 33,
      name: 'RejectedByRule',
      description: 'A rule with the action Reject matched. The sender is told by a RST or an ICMP error.',
      remedy: 'Nothing, if the rule is meant; `cubeplane drops` names it.',
    },
    {
      id: 34,
      name: 'DroppedByDefault',
      description: 'No rule matched and the default action of the direction is Drop.',
      remedy: 'Add a rule that allows it, if it should pass.',
    },
    {
      id: 35,
      name: 'RejectedByDefault',
      description: 'No rule matched and the default action of the direction is Reject.',
      remedy: 'Add a rule that allows it, if it should pass.',
    },
    {
      id: 36,
      name: 'InvalidState',
      description:
        'The packet belongs to no known connection and opens none: an ICMP error or echo reply to nothing, a RST or ABORT, flags that contradict each other, or with handshake Strict the middle of a connection.',
      remedy:
        'Normal after an idle timeout; set handshake to Loose, or allow it by a rule that names the state Invalid.',
    },
    {
      id: 37,
      name: 'FragmentRefused',
      description:
        'A later fragment of a datagram whose first fragment was not let through, or was of no connection, as ICMP messages other than echo are.',
      remedy: 'See why the first one was refused.',
    },
    {
      id: 38,
      name: 'NotIp',
      description: 'The frame is neither IP nor ARP.',
      remedy: 'Set otherFrames to Allow if such frames should pass.',
    },
    {
      id: 39,
      name: 'SessionTableFull',
      description: 'The session could not be stored.',
      remedy: 'Raise sessions.maxEmbryonic.',
    },
    {
      id: 40,
      name: 'RuleSetBroken',
      description: 'A table of the rules is not whole.',
      remedy: 'Restart the agent of the node, which writes the tables again, and report it.',
    },
  ],
  counters: [
    { id: 0, name: 'newSessions', description: 'Connections that were let through.' },
    { id: 1, name: 'promoted', description: 'Sessions that became established.' },
    { id: 2, name: 'known', description: 'Packets of known sessions.' },
    { id: 3, name: 'related', description: 'ICMP errors about known sessions.' },
    { id: 4, name: 'classified', description: 'Packets for which the rules were asked.' },
    { id: 5, name: 'reclassified', description: 'Sessions that changed rules allow again.' },
    { id: 6, name: 'revoked', description: 'Sessions that ended because changed rules refuse them.' },
    { id: 7, name: 'expired', description: 'Sessions found past their timeout.' },
    { id: 8, name: 'rejected', description: 'RSTs and ICMP errors sent.' },
    { id: 9, name: 'rejectSuppressed', description: 'RSTs and ICMP errors not sent: over the limit.' },
    { id: 10, name: 'logged', description: 'Packets to be logged, also those over the limit.' },
    { id: 11, name: 'control', description: 'ARP, neighbour discovery and, if allowed, other frames.' },
    {
      id: 12,
      name: 'audited',
      description: 'Connections that passed only because the policies that refuse them are in audit mode.',
    },
  ],
  decisions: [
    { id: 1, name: 'AllowedByRule', description: 'A new connection was let through by', object: 'rule' },
    { id: 2, name: 'DroppedByRule', description: 'The packet was dropped by', object: 'rule' },
    { id: 3, name: 'RejectedByRule', description: 'The packet was rejected by', object: 'rule' },
    { id: 4, name: 'DefaultAction', description: 'No rule matched: the default action of the direction.' },
    {
      id: 5,
      name: 'KnownSession',
      description: 'The packet belongs to a known session, which was let through by',
      object: 'rule',
    },
    {
      id: 6,
      name: 'AuditedByRule',
      description: 'Let through by audit mode, though it is refused by',
      object: 'rule',
    },
  ],
  maps: [
    {
      name: 'rule_bank',
      class: 'config',
      key: '0',
      value: 'generation of the rules, states that they name and their bank, one word',
      writer: 'agent',
      description: 'The switch from the old rules to the new ones.',
    },
    {
      name: 'rulesets',
      class: 'config',
      key: 'bank and direction',
      value: 'number of rules, default action, what to look up',
      writer: 'agent',
      description: 'What holds for a direction as a whole.',
    },
    {
      name: 'addresses',
      class: 'config',
      key: 'bank, direction, side and prefix',
      value: 'bitmap, and its only word where it has one',
      writer: 'agent',
      description: 'Prefixes that rules speak of, and markers where longer ones begin.',
    },
    {
      name: 'address_lengths',
      class: 'config',
      key: 'bank, direction, side and family',
      value: 'lengths of prefixes, bitmap of all other addresses',
      writer: 'agent',
      description: 'What is searched in addresses.',
    },
    {
      name: 'pages',
      class: 'config',
      key: 'page',
      value: '256 pages or bitmaps',
      writer: 'agent',
      description: 'Trees by port, ICMP type, protocol, TCP flags and state.',
    },
    {
      name: 'bitmaps',
      class: 'config',
      key: 'bitmap',
      value: 'a bit a rule, a summary of them',
      writer: 'agent',
      description: 'Which rules hold for packets that are alike in one dimension.',
    },
    {
      name: 'rules',
      class: 'config',
      key: 'bank, direction and rule',
      value: 'identity, action, log',
      writer: 'agent',
      description: 'What a rule does.',
    },
    {
      name: 'rule_counters',
      class: 'state',
      key: 'identity of a rule',
      value: 'packets and bytes that it decided',
      writer: 'program',
      description:
        'Counters by rule; kept while rules are replaced. Packets of known sessions are not counted here, but for the first one after a change of the rules.',
      objects: { key: 'rule' },
      counts: true,
    },
    {
      name: 'established',
      class: 'state',
      key: '5-tuple, seen from inside',
      value: 'session',
      writer: 'program',
      description: 'Sessions that their initiator has confirmed.',
    },
    {
      name: 'embryonic',
      class: 'state',
      key: '5-tuple, seen from inside',
      value: 'session',
      writer: 'program',
      description: 'Sessions before that; the oldest make room.',
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
