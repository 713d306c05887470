// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../connect.ts';

/** What the suite `network` puts beside each other, and between which places. */
export const ALTERNATIVES = [
  'veth',
  'plain',
  'iptables',
  'nftables',
  'cubeplane',
  'cubeplane-direct',
] as const;
export type Alternative = (typeof ALTERNATIVES)[number];

/** `same`, `other`: the backend is on the client's node, or on the other one. Clients outside ask a node port of the first node. */
export const WAYS = [
  'pod-same',
  'pod-other',
  'service-same',
  'service-other',
  'outside-local',
  'outside-cluster',
] as const;
export type Way = (typeof WAYS)[number];

/** Suite of a family, by which its measures are called. */
export const SUITES = { ipv4: 'network', ipv6: 'network-ipv6' } as const satisfies Record<Family, string>;

/** What is measured, and which direction is better. */
export const METRICS = {
  'tcp-p50': { unit: 'us', better: 'lower' },
  'tcp-p99': { unit: 'us', better: 'lower' },
  'udp-p50': { unit: 'us', better: 'lower' },
  'udp-p99': { unit: 'us', better: 'lower' },
  connects: { unit: 'connections/s', better: 'higher' },
  'first-packet': { unit: 'us', better: 'lower' },
  'cpu-packet': { unit: 'ns', better: 'lower' },
  'stream-1': { unit: 'Gbit/s', better: 'higher' },
  'stream-8': { unit: 'Gbit/s', better: 'higher' },
  'service-start': { unit: 'ms', better: 'lower' },
} as const;
export type Metric = keyof typeof METRICS;

/** One run of a client: what it saw, by metric. */
export type Sample = Partial<Readonly<Record<Metric, number>>>;
/** The same of all rounds, in their order. */
export type Samples = Partial<Readonly<Record<Alternative, readonly Sample[]>>>;
