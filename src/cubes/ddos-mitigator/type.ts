// SPDX-License-Identifier: Apache-2.0

/** The DDoS mitigator as the agent knows it. */
import type { DDoSMitigator } from '../../api/generated/types.ts';
import type { CubeInput, CubeType, InstanceConfig } from '../cube-type.ts';
import { otherPorts } from '../outside-inside.ts';
import { constants, maps } from './generated/codec.ts';
import { MitigatorImage } from './image.ts';
import { bucketsFor } from './v4-buckets.ts';

/** The coarse clock moves in steps of up to 10 ms (HZ of 100): what comes within one must find its tokens. */
const TICK_NS = 10_000_000n;

/** A rate as a token bucket. Interval 0: no limit. */
function bucket(perSecond: number | undefined, burst = 1): { interval: bigint; tolerance: bigint } {
  if (perSecond === undefined) return { interval: 0n, tolerance: 0n };
  const interval = BigInt(Math.max(1, Math.round(1e9 / perSecond)));
  const tolerance = interval * BigInt(burst - 1);
  return { interval, tolerance: tolerance > TICK_NS ? tolerance : TICK_NS };
}

function instance({ spec }: CubeInput<DDoSMitigator>): InstanceConfig {
  const { sourceRate, synGuard, sizes, ...lists } = spec;
  return {
    rodata: {
      source_rate: constants.source_rate.encode(bucket(sourceRate?.packetsPerSecond, sourceRate?.burst)),
      source_v4_mask: constants.source_v4_mask.encode(bucketsFor(sizes.maxSourceHosts) - 1),
      syn_rate: constants.syn_rate.encode(bucket(synGuard?.synsPerSecond, synGuard?.burst)),
    },
    sizes: {
      source_hosts: sizes.maxSourceHosts,
      source_v4: bucketsFor(sizes.maxSourceHosts),
      source_prefixes: sizes.maxSourcePrefixes,
      destination_hosts: sizes.maxDestinationHosts,
      destination_prefixes: sizes.maxDestinationPrefixes,
      source_buckets: sizes.maxSourceBuckets,
      syn_buckets: sizes.maxSynBuckets,
    },
    config: lists,
  };
}

export const ddosMitigator: CubeType<DDoSMitigator> = {
  type: 'DDoSMitigator',
  member: 'ddosMitigator',
  object: 'ddos-mitigator',
  program: 'ddos_mitigator',
  layer: 2,
  fixedPorts: { outside: 0, inside: 1 },
  transparent: { outside: 'outside', inside: 'inside' },
  firstNamedPort: 2,
  tableTypes: ['Prefix'],
  maps: {
    lists: { class: 'config', writer: 'agent', codec: maps.lists, version: 1 },
    source_hosts: { class: 'config', writer: 'agent', codec: maps.source_hosts, version: 1 },
    source_v4: { class: 'config', writer: 'agent', codec: maps.source_v4, version: 1 },
    source_prefixes: { class: 'config', writer: 'agent', codec: maps.source_prefixes, version: 1 },
    destination_hosts: { class: 'config', writer: 'agent', codec: maps.destination_hosts, version: 1 },
    destination_prefixes: { class: 'config', writer: 'agent', codec: maps.destination_prefixes, version: 1 },
    source_buckets: { class: 'state', writer: 'program', codec: maps.source_buckets, version: 1 },
    syn_buckets: { class: 'state', writer: 'program', codec: maps.syn_buckets, version: 1 },
  },
  check: otherPorts,
  instance,
  image: ({ spec }) => new MitigatorImage(spec),
};
