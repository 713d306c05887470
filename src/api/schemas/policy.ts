// SPDX-License-Identifier: Apache-2.0
/** Rows of the table types that a later release uses: policies, identities, firewall rules, prefixes. */
import {
  atomicList,
  choice,
  cidr,
  dnsLabel,
  dnsSubdomain,
  integer,
  ip,
  labelSelector,
  object,
  setOf,
  text,
} from './build.ts';
import type { Schema } from './schema.ts';

const portRange = object(
  'Ports of one protocol.',
  {
    protocol: choice('Transport protocol.', ['TCP', 'UDP', 'SCTP'], { default: 'TCP' }),
    port: integer('First port. Without it all ports.', 1, 65535),
    endPort: integer('Last port. Without it the first.', 1, 65535),
  },
  [],
  {
    typeName: 'PortRange',
    rules: [
      {
        id: 'PortRangeReversed',
        cel: '!has(self.endPort) || (has(self.port) && self.endPort >= self.port)',
        message: 'endPort is below port, or port is missing',
        remedy: 'set port and an endPort that is not below it',
        field: '.endPort',
        twin: (self) => self.endPort === undefined || (self.port !== undefined && self.endPort >= self.port),
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
  { typeName: 'PolicyPeer' },
);

const direction = (description: string): Schema =>
  atomicList(
    description,
    object(
      'Packets that one entry allows.',
      {
        peers: atomicList('The other side. Empty: anybody.', peer, 32),
        ports: atomicList('Destination ports. Empty: all.', portRange, 64),
      },
      [],
      { typeName: 'PolicyEntry' },
    ),
    32,
  );

export const policy: Schema = object(
  'A network policy.',
  {
    namespace: dnsLabel('Namespace of the policy.'),
    name: dnsSubdomain('Name of the policy.'),
    uid: text('UID of the policy.', 63),
    podSelector: labelSelector('Pods that the policy is for. Empty: all of the namespace.'),
    types: setOf('Directions that the policy isolates.', choice('Direction.', ['Ingress', 'Egress']), 2),
    ingress: direction('What may come in.'),
    egress: direction('What may go out.'),
  },
  ['namespace', 'name'],
  { typeName: 'Policy' },
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
    addresses: setOf('Addresses of the pods.', ip('Address of a pod.'), 500),
  },
  ['id', 'namespace'],
  { typeName: 'Identity' },
);

export const rule: Schema = object(
  'A firewall rule.',
  {
    priority: integer('Rules are tried from the lowest to the highest.', 0, 65535),
    action: choice('What happens to a packet that matches.', ['Allow', 'Drop', 'Reject']),
    sources: atomicList('Prefixes of senders. Empty: all.', cidr('Prefix.'), 32),
    destinations: atomicList('Prefixes of receivers. Empty: all.', cidr('Prefix.'), 32),
    ports: atomicList('Destination ports. Empty: all.', portRange, 64),
  },
  ['priority', 'action'],
  { typeName: 'FirewallRule' },
);

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
