// SPDX-License-Identifier: Apache-2.0
import { atomicList, cidr, integer, object } from '../../api/schemas/build.ts';
import type { CubeTypeSchema } from '../../api/schemas/cube-type.ts';
import type { Schema } from '../../api/schemas/schema.ts';
import { outsideOrInside } from '../outside-inside.ts';

const list = (description: string): Schema =>
  atomicList(description, cidr('Prefix; a single address has the length 32 or 128.'), 500, { default: [] });

const capacity = (description: string, maximum: number, value: number): Schema =>
  integer(description, 16, maximum, { default: value, unit: 'entries' });

export const schema: CubeTypeSchema = {
  type: 'DDoSMitigator',
  member: 'ddosMitigator',
  folder: 'ddos-mitigator',
  description: 'refuses listed sources and destinations, and sources and SYNs that come too fast.',
  schema: object(
    'Refuses packets that come in by the port outside, before they cost anything further: by lists of prefixes, by a rate a source, and by a rate of SYNs a destination. What comes in by inside passes unchecked. Of the prefixes of sources that hold an address the longest decides; where it is both denied and allowed, it is allowed.',
    {
      denySources: list('Sources that are refused, in addition to rows DenySource of Prefix tables.'),
      denyDestinations: list(
        'Destinations that are refused, in addition to rows DenyDestination of Prefix tables.',
      ),
      allowSources: list(
        'Sources that pass everything, also the rates, in addition to rows AllowSource of Prefix tables.',
      ),
      sourceRate: object(
        'Limit on the packets of one source: an IPv4 address, an IPv6 /64. Without it there is none.',
        {
          packetsPerSecond: integer('Packets in a second in the long run.', 1, 10000000, {
            unit: 'packets a second',
          }),
          burst: integer(
            'Packets that may come at once after a silence; at least what 10 ms of the rate allow.',
            1,
            10000000,
            { default: 1000, unit: 'packets' },
          ),
        },
        ['packetsPerSecond'],
        { typeName: 'SourceRate' },
      ),
      synGuard: object(
        'Limit on the SYNs to one destination address and port, so that a flood of them fills no table behind. Without it there is none. SYNs above it are dropped whoever sends them; allowed sources are not counted.',
        {
          synsPerSecond: integer('SYNs in a second in the long run.', 1, 10000000, {
            unit: 'packets a second',
          }),
          burst: integer(
            'SYNs that may come at once after a silence; at least what 10 ms of the rate allow.',
            1,
            10000000,
            { default: 1000, unit: 'packets' },
          ),
        },
        ['synsPerSecond'],
        { typeName: 'SynGuard' },
      ),
      sizes: object(
        'How much the tables in the kernel hold. Lists take memory as they fill, beside 8 to 16 bytes for each of maxSourceHosts; buckets have it from the start.',
        {
          maxSourceHosts: capacity(
            'Sources of full length (/32, /128), denied and allowed together.',
            16777216,
            131072,
          ),
          maxSourcePrefixes: capacity('Shorter prefixes of sources.', 4194304, 65536),
          maxDestinationHosts: capacity('Destinations of full length.', 16777216, 16384),
          maxDestinationPrefixes: capacity('Shorter prefixes of destinations.', 4194304, 16384),
          maxSourceBuckets: capacity(
            'Sources whose rate is known at a time; the one that was quiet longest makes room.',
            16777216,
            65536,
          ),
          maxSynBuckets: capacity(
            'Destinations whose rate of SYNs is known at a time; the one that was quiet longest makes room.',
            16777216,
            16384,
          ),
        },
        [],
        { typeName: 'MitigatorSizes', default: {} },
      ),
    },
    [],
    { typeName: 'DDoSMitigator' },
  ),
  ports: {
    fixed: [
      { name: 'outside', description: 'Where attacks come from: packets that come in here are checked.' },
      { name: 'inside', description: 'What is protected: packets that come in here pass.' },
    ],
    named: 'No others.',
    max: 2,
    addresses: false,
  },
  tables: ['Prefix'],
  hooks: ['TC', 'XDP'],
  rules: [
    outsideOrInside({
      id: 'UnknownPort',
      message: 'a DDoSMitigator has the ports outside and inside, and no others',
      remedy: 'name the ports outside and inside',
    }),
  ],
  dropReasons: [
    {
      id: 32,
      name: 'SourceDenied',
      description: 'The longest prefix of a list that holds the source denies it.',
      remedy: 'Nothing, if it is meant; otherwise remove it from denySources or its table, or allow it.',
    },
    {
      id: 33,
      name: 'DestinationDenied',
      description: 'A prefix of a list denies the destination.',
      remedy: 'Nothing, if it is meant; otherwise remove it from denyDestinations or its table.',
    },
    {
      id: 34,
      name: 'SourceRateExceeded',
      description: 'The source sent more packets than sourceRate allows.',
      remedy: 'Raise sourceRate, or allow the source if it may send that much.',
    },
    {
      id: 35,
      name: 'SynRateExceeded',
      description: 'More SYNs came for the destination address and port than synGuard allows.',
      remedy:
        'A flood, if it goes on: deny its sources, limit them by sourceRate, allow the clients that must get through. Otherwise raise synGuard.',
    },
  ],
  counters: [
    { id: 0, name: 'passed', description: 'Packets from outside that passed, allowed ones included.' },
    { id: 1, name: 'allowed', description: 'Packets of allowed sources.' },
    { id: 2, name: 'syns', description: 'SYNs that the guard looked at.' },
  ],
  decisions: [
    { id: 1, name: 'SourceAllowed', description: 'The source passes everything, by', object: 'source' },
    { id: 2, name: 'SourceDenied', description: 'The source is refused, by', object: 'source' },
    {
      id: 3,
      name: 'DestinationDenied',
      description: 'The destination is refused, by',
      object: 'destination',
    },
    { id: 4, name: 'Unlisted', description: 'No list says anything of the packet.' },
  ],
  maps: [
    {
      name: 'lists',
      class: 'config',
      key: '0',
      value: 'which of the lists hold anything, as bits',
      writer: 'agent',
      description: 'Saves the lookups in empty lists.',
    },
    {
      name: 'source_hosts',
      class: 'config',
      key: 'address',
      value: '1 denied, 2 allowed',
      writer: 'agent',
      description: 'Sources of full length.',
    },
    {
      name: 'source_v4',
      class: 'config',
      key: 'hash of an IPv4 address',
      value: '15 denied sources, and how many more have this hash',
      writer: 'agent',
      description:
        'The denied IPv4 sources of source_hosts, a cache line a hash: what most packets of a long list meet.',
    },
    {
      name: 'source_prefixes',
      class: 'config',
      key: 'prefix',
      value: '1 denied, 2 allowed',
      writer: 'agent',
      description: 'Shorter prefixes of sources.',
    },
    {
      name: 'destination_hosts',
      class: 'config',
      key: 'address',
      value: '1',
      writer: 'agent',
      description: 'Destinations of full length.',
    },
    {
      name: 'destination_prefixes',
      class: 'config',
      key: 'prefix',
      value: '1',
      writer: 'agent',
      description: 'Shorter prefixes of destinations.',
    },
    {
      name: 'source_buckets',
      class: 'state',
      key: 'source, of IPv6 its /64',
      value: 'time when the bucket is full again',
      writer: 'program',
      description: 'Token buckets of sourceRate.',
    },
    {
      name: 'syn_buckets',
      class: 'state',
      key: 'destination address and port',
      value: 'time when the bucket is full again',
      writer: 'program',
      description: 'Token buckets of synGuard.',
    },
  ],
};
