// SPDX-License-Identifier: Apache-2.0
/** Why a NAT drops packets, what it counts and what it tells a trace. Append only: an id never changes its meaning. */
import type { Counter, Decision, DropReason } from '../../api/schemas/cube-type.ts';

export const dropReasons: DropReason[] = [
  {
    id: 32,
    name: 'PortsExhausted',
    description: 'No free outside port was found for a new session within 32 tries.',
    remedy:
      'Give the port outside more addresses, widen portRange, or shorten timeouts; see the counter portConflicts.',
  },
  {
    id: 33,
    name: 'NoSession',
    description:
      'A packet in the middle of a connection, an ICMP error, an echo reply or a later fragment that belongs to no session. TCP senders get a RST.',
    remedy: 'Normal after an idle timeout; if many, raise sessions.timeouts.tcpEstablished.',
  },
  {
    id: 34,
    name: 'NoMapping',
    description: 'A packet for an outside address that neither a session nor a forward rule takes.',
    remedy: 'Add a forward rule if it should reach a server; otherwise it is what a NAT keeps away.',
  },
  {
    id: 35,
    name: 'NotTranslatable',
    description:
      'The protocol cannot get another address: ICMP other than echo and errors, UDP-Lite, DCCP, AH.',
    remedy: 'Exclude its peers or its protocol from translation.',
  },
  {
    id: 36,
    name: 'ReverseConflict',
    description: 'The replies could not be told from those of another session.',
    remedy:
      'Normal, if rare. Of SCTP and protocols without ports only one session at a time fits between a target and a peer.',
  },
  {
    id: 37,
    name: 'SessionTableFull',
    description: 'The session could not be stored.',
    remedy: 'Raise sessions.maxEmbryonic.',
  },
  {
    id: 38,
    name: 'NeighbourInvalid',
    description:
      'An ARP request or neighbour solicitation at the port outside is malformed, or its sender claims an outside address.',
    remedy: 'Look for a host that uses an outside address of the NAT.',
  },
];

export const counters: Counter[] = [
  { id: 0, name: 'newSessions', description: 'Sessions that were made.' },
  { id: 1, name: 'promoted', description: 'Sessions that became established.' },
  { id: 2, name: 'translated', description: 'Packets of initiators translated.' },
  { id: 3, name: 'reverseTranslated', description: 'Replies translated back.' },
  { id: 4, name: 'passed', description: 'Packets that no session and no rule takes, crossing unchanged.' },
  {
    id: 5,
    name: 'excluded',
    description: 'Packets that cross unchanged because an exclusion or an Exclude rule says so.',
  },
  { id: 6, name: 'expired', description: 'Sessions found past their timeout.' },
  { id: 7, name: 'hairpins', description: 'Sessions from the inside to the inside by an outside address.' },
  { id: 8, name: 'portConflicts', description: 'Ports that were tried for a new session and were in use.' },
  {
    id: 9,
    name: 'sourcePortChanged',
    description: 'Forwarded sessions whose client had to get another source port.',
  },
  {
    id: 10,
    name: 'promotionsRefused',
    description:
      'Packets that confirmed a session which found no place among the established ones: raise sessions.maxEstablished.',
  },
  { id: 11, name: 'rejected', description: 'RSTs sent.' },
  { id: 12, name: 'rejectSuppressed', description: 'RSTs and echo replies not sent: over the limit.' },
  {
    id: 13,
    name: 'neighbourReplies',
    description: 'ARP replies and neighbour advertisements sent for outside addresses.',
  },
  {
    id: 14,
    name: 'host',
    description: "Role Discriminator: packets from the outside that are the host's own, left to its stack.",
  },
  {
    id: 15,
    name: 'echoReplies',
    description: 'Echo replies sent from outside addresses that the host does not have.',
  },
];

export const decisions: Decision[] = [
  {
    id: 1,
    name: 'Source',
    description: 'A new session gets an outside address and port; another one may get another port.',
    object: 'sourceRule',
  },
  { id: 2, name: 'Forward', description: 'A new session to a server on the inside.', object: 'forwardRule' },
  { id: 3, name: 'Session', description: 'The session of the connection says the addresses.' },
  { id: 4, name: 'Reply', description: 'A reply of a session: it is translated back.' },
  { id: 5, name: 'Exclusion', description: 'The peer is excluded: the packet crosses unchanged.' },
  {
    id: 6,
    name: 'ExcludeRule',
    description: 'An Exclude rule takes the packet, which crosses unchanged.',
    object: 'sourceRule',
  },
  { id: 7, name: 'NoRule', description: 'No rule takes the packet, which crosses unchanged.' },
  { id: 8, name: 'Refused', description: 'The packet becomes a RST to its sender.' },
  {
    id: 9,
    name: 'NeighbourReply',
    description: 'The packet becomes the answer to an ARP request or neighbour solicitation.',
  },
  {
    id: 10,
    name: 'Host',
    description: "Role Discriminator: for no session, rule, Service or address of the inside, so the host's.",
  },
  {
    id: 11,
    name: 'Service',
    description: 'The answer of a Service, which a LoadBalancer gave its address back: it crosses unchanged.',
  },
  {
    id: 12,
    name: 'Direct',
    description:
      'Role Discriminator: a client outside opens a session with an address of the inside itself. Both directions cross unchanged.',
  },
  { id: 13, name: 'EchoReply', description: 'The packet becomes the answer to an echo request.' },
];
