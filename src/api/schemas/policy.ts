// SPDX-License-Identifier: Apache-2.0
/** Rows of the table types of firewalls and mitigators: policies, identities, rules, prefixes. */
import {
  atomicList,
  choice,
  cidr,
  dnsLabel,
  dnsSubdomain,
  flag,
  integer,
  ip,
  labelSelector,
  object,
  setOf,
  text,
} from './build.ts';
import type { Rule, Schema } from './schema.ts';

const transport = choice('Transport protocol.', ['TCP', 'UDP', 'SCTP'], { default: 'TCP' });
const endPort = integer('Last port. Without it the first.', 1, 65535);

const NOT_REVERSED: Rule = {
  id: 'PortRangeReversed',
  cel: '!has(self.endPort) || (has(self.port) && self.endPort >= self.port)',
  message: 'endPort is below port, or port is missing',
  remedy: 'set port and an endPort that is not below it',
  field: '.endPort',
  twin: (self) => self.endPort === undefined || (self.port !== undefined && self.endPort >= self.port),
};

export const portRange = object(
  'Ports of one protocol.',
  {
    protocol: transport,
    port: integer('First port. Without it all ports.', 1, 65535),
    endPort,
  },
  [],
  {
    typeName: 'PortRange',
    rules: [NOT_REVERSED],
  },
);

/** Named ports stand for other numbers on other pods (KEP 2079 keeps endPort for numbers). */
const policyPort = object(
  'Destination ports of one protocol, by number or by name.',
  {
    protocol: transport,
    port: integer('First port. Without it and `name` all ports.', 1, 65535),
    endPort,
    name: text('Name of a port of the receiving pods, as their containers declare it.', 63, { minLength: 1 }),
  },
  [],
  {
    typeName: 'PolicyPort',
    rules: [
      NOT_REVERSED,
      {
        id: 'PortAndName',
        cel: '!has(self.name) || !has(self.port)',
        message: 'port and name are both set',
        remedy: 'remove one of them',
        field: '.name',
        twin: (self) => self.name === undefined || self.port === undefined,
      },
    ],
  },
);

const peer = object(
  'Who is on the other side: pods by labels, or a prefix.',
  {
    namespaceSelector: labelSelector('Labels of the namespace. Without it the namespace of the policy.'),
    podSelector: labelSelector('Labels of the pods. Without it all pods.'),
    cidr: cidr('Prefix of addresses outside.'),
    except: atomicList('Prefixes left out of `cidr`.', cidr('Prefix.'), 16),
  },
  [],
  {
    typeName: 'PolicyPeer',
    rules: [
      {
        id: 'PeerOfTwoKinds',
        cel: '!has(self.cidr) || (!has(self.namespaceSelector) && !has(self.podSelector))',
        message: 'cidr stands beside a selector',
        remedy: 'make two peers of it, one with the prefix and one with the selectors',
        field: '.cidr',
        twin: (self) =>
          self.cidr === undefined || (self.namespaceSelector === undefined && self.podSelector === undefined),
      },
      {
        id: 'ExceptWithoutPrefix',
        cel: '!has(self.except) || has(self.cidr)',
        message: 'except stands there without cidr',
        remedy: 'set cidr to the prefix that they are left out of, or remove except',
        field: '.except',
        twin: (self) => self.except === undefined || self.cidr !== undefined,
      },
    ],
  },
);

const direction = (description: string): Schema =>
  atomicList(
    description,
    object(
      'Packets that one entry is for.',
      {
        name: text('Name of the rule, for people.', 100),
        action: choice(
          'What happens to the packets. Only with tier Admin or Baseline; without a tier an entry allows. Pass: the rest of the tier is skipped.',
          ['Accept', 'Deny', 'Pass'],
        ),
        peers: atomicList('The other side. Empty: anybody.', peer, 32),
        ports: atomicList('Destination ports. Empty: all.', policyPort, 64),
      },
      [],
      { typeName: 'PolicyEntry' },
    ),
    32,
  );

const CEL_OF_CLUSTER = "(has(self.tier) && self.tier != 'NetworkPolicy')";

export const policy: Schema = object(
  'A network policy: of a namespace, or, with tier Admin or Baseline, of the cluster.',
  {
    namespace: dnsLabel('Namespace of the policy, unless it is of the cluster.'),
    name: dnsSubdomain('Name of the policy.'),
    uid: text('UID of the policy.', 63),
    tier: choice(
      'When it is tried. Admin: before those of namespaces. Baseline: after them, for pods that none of them isolates. Without it NetworkPolicy.',
      ['Admin', 'NetworkPolicy', 'Baseline'],
    ),
    priority: integer('Place in the tier: the lowest is tried first. Without it 0.', 0, 1000),
    position: integer('Place of the row among those of one policy and priority. Without it 0.', 0, 9999),
    namespaceSelector: labelSelector(
      'Namespaces of the pods that a policy of the cluster is for. Empty: all of them.',
    ),
    podSelector: labelSelector('Pods that the policy is for. Empty: all of the namespace.'),
    types: setOf(
      'Directions that the policy isolates. Without any: Ingress, and Egress where egress has entries.',
      choice('Direction.', ['Ingress', 'Egress']),
      2,
    ),
    ingress: direction('What may come in; with a tier, rules in their order.'),
    egress: direction('What may go out; with a tier, rules in their order.'),
  },
  ['name'],
  {
    typeName: 'Policy',
    rules: [
      {
        id: 'PolicyOfNoNamespace',
        cel: `has(self.namespace) != ${CEL_OF_CLUSTER}`,
        message: 'a policy has either a namespace or tier Admin or Baseline',
        remedy: 'set namespace, or tier alone',
        field: '.namespace',
        twin: (self) =>
          (self.namespace !== undefined) === ((self.tier ?? 'NetworkPolicy') === 'NetworkPolicy'),
      },
      {
        id: 'ClusterPolicyMember',
        cel: `${CEL_OF_CLUSTER} || !(has(self.priority) || has(self.namespaceSelector))`,
        message: 'priority or namespaceSelector stands in a policy of a namespace',
        remedy: 'remove it, or set tier to Admin or Baseline',
        field: '.tier',
        twin: (self) =>
          (self.tier ?? 'NetworkPolicy') !== 'NetworkPolicy' ||
          (self.priority === undefined && self.namespaceSelector === undefined),
      },
      {
        id: 'EntryAction',
        cel: `(!has(self.ingress) || self.ingress.all(e, has(e.action) == ${CEL_OF_CLUSTER})) && (!has(self.egress) || self.egress.all(e, has(e.action) == ${CEL_OF_CLUSTER}))`,
        message: 'entries of a tier need an action, those of a namespace have none',
        remedy: 'write an action in every entry of a policy with tier Admin or Baseline, and in no other',
        field: '.ingress',
        twin: (self) =>
          [...(self.ingress ?? []), ...(self.egress ?? [])].every(
            (entry) => (entry.action === undefined) === ((self.tier ?? 'NetworkPolicy') === 'NetworkPolicy'),
          ),
      },
    ],
  },
);

export const identity: Schema = object(
  'A set of pods with the same namespace and policy-relevant labels.',
  {
    id: integer('Number of the identity, the same on all nodes.', 1, 4294967295),
    namespace: dnsLabel('Namespace of the pods.'),
    labels: {
      type: 'object',
      description: 'Labels that policies look at.',
      maxProperties: 64,
      additionalProperties: text('Value of the label.', 63),
    },
    namespaceLabels: {
      type: 'object',
      description: 'Labels of the namespace that policies look at.',
      maxProperties: 64,
      additionalProperties: text('Value of the label.', 63),
    },
    ports: atomicList(
      'Named ports of the pods.',
      object(
        'A port that a container declares by name.',
        {
          name: text('Name of the port.', 63, { minLength: 1 }),
          protocol: transport,
          port: integer('Number of the port.', 1, 65535),
        },
        ['name', 'port'],
        { typeName: 'NamedPort' },
      ),
      64,
    ),
    addresses: setOf('Addresses of the pods.', ip('Address of a pod.'), 500),
    audit: {
      type: 'boolean',
      description:
        'Policies but those of the tier Admin are not enforced for the pods: what they refuse passes and is told. The operator sets it for namespaces with the annotation cubeplane.io/policy-audit.',
    },
  },
  ['id', 'namespace'],
  { typeName: 'Identity' },
);

/** Protocols by name, any other by its number (IANA protocol numbers). */
export const PROTOCOL = '^(TCP|UDP|SCTP|ICMP|ICMPv6|[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$';

const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

const tcpFlags = object(
  'Flags of the TCP header. A rule with them is for TCP packets only.',
  {
    mask: setOf('Flags that are looked at.', choice('Flag.', TCP_FLAGS), 8, { minItems: 1 }),
    set: setOf('Those of them that must be set; the others must not.', choice('Flag.', TCP_FLAGS), 8, {
      default: [],
    }),
  },
  ['mask'],
  {
    typeName: 'TcpFlags',
    rules: [
      {
        id: 'TcpFlagsOutsideMask',
        cel: 'self.set.all(f, f in self.mask)',
        message: 'a flag in set is not in mask, so that no packet could match',
        remedy: 'add it to mask as well',
        field: '.set',
        twin: (self) => (self.set ?? []).every((name: string) => self.mask.includes(name)),
      },
    ],
  },
);

const icmpType = object(
  'ICMP messages of one type.',
  {
    family: choice('IPv4 for ICMP, IPv6 for ICMPv6: their types have different numbers.', ['IPv4', 'IPv6']),
    type: integer('Type of the message.', 0, 255),
    code: integer('Its code. Without it any.', 0, 255),
  },
  ['family', 'type'],
  { typeName: 'IcmpType' },
);

/** A rule of a firewall with at most so many prefixes a side and so many ports. */
export function ruleOf(prefixes: number, ports: number): Schema {
  return object(
    'A firewall rule. A packet matches when it fulfils every member that is set. `protocols`, `ports` and `icmp` together say which services: one of them is enough.',
    {
      name: dnsLabel(
        'Name of the rule in counters, logs and traces. Rules of one name are counted together. Without it the rule is known by what it says.',
      ),
      priority: integer(
        'Rules are tried from the lowest to the highest; those of one priority in their order, the ones of the spec before those of tables. Rules up to 32768 are tried before network policies, those above after them.',
        0,
        65535,
        { default: 1000 },
      ),
      direction: choice(
        'Packets that it is for. Ingress: from outside to inside. Egress: from inside to outside.',
        ['Ingress', 'Egress', 'Both'],
        { default: 'Ingress' },
      ),
      action: choice(
        'What happens to a packet that matches. Reject tells its sender by a TCP RST or an ICMP error.',
        ['Allow', 'Drop', 'Reject'],
      ),
      log: flag('Write a record of the packet to the log of the agent, as far as its rate allows.', false),
      sources: atomicList('Prefixes of senders. Empty: all.', cidr('Prefix.'), prefixes),
      destinations: atomicList('Prefixes of receivers. Empty: all.', cidr('Prefix.'), prefixes),
      protocols: setOf(
        'Protocols as a whole: TCP, UDP, SCTP, ICMP, ICMPv6, or a number such as 47.',
        text('Protocol.', 6, { pattern: PROTOCOL }),
        16,
      ),
      ports: atomicList('Destination ports. Empty: all.', portRange, ports),
      sourcePorts: atomicList('Source ports. Empty: all.', portRange, ports),
      icmp: atomicList('Types of ICMP and ICMPv6 messages.', icmpType, 16),
      tcpFlags,
      states: setOf(
        'States of the connection. Empty: New. New: the packet opens one. Established: it is of one that is known here. Related: an ICMP error about such a one. Invalid: none of these. Packets of known connections and errors about them pass unless a rule that names their state refuses them; Invalid ones are dropped unless a rule that names it allows them.',
        choice('State.', ['New', 'Established', 'Related', 'Invalid']),
        4,
      ),
    },
    ['action'],
    { typeName: 'FirewallRule' },
  );
}

export const rule: Schema = ruleOf(32, 64);

const prefixList = (description: string): Schema =>
  choice(description, ['DenySource', 'DenyDestination', 'AllowSource'], { default: 'DenySource' });

export const prefix: Schema = object(
  'A prefix of a list.',
  {
    cidr: cidr('The prefix.'),
    list: prefixList('What is done with packets from there, or to there.'),
    comment: text('What it is, for people.', 256),
  },
  ['cidr'],
  { typeName: 'Prefix' },
);

export const prefixFile: Schema = object(
  'A file of prefixes, one a line, in the directory of the manifests; `#` begins a comment, an address without length stands for itself. Only an agent on a directory of manifests can read it.',
  {
    name: text('Name of the file. It must end in .prefixes.', 253, {
      minLength: 10,
      pattern: '^[A-Za-z0-9][-A-Za-z0-9._]*\\.prefixes$',
    }),
    list: prefixList('What is done with packets from there, or to there.'),
  },
  ['name'],
  { typeName: 'PrefixFile' },
);
