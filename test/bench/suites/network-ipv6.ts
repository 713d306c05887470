// SPDX-License-Identifier: Apache-2.0
import type { Suite } from '../main.ts';
import { compare, type Plan } from '../network/compare.ts';
import { SUITES } from '../network/names.ts';

/** Less than of IPv4: what is to be seen is whether the other family differs. */
const FULL: Plan = {
  family: 'ipv6',
  sizes: [1, 1_000],
  amounts: { roundTrips: 2_000, connections: 600, bytes: '200M', floodSeconds: 0.3 },
  rounds: { short: 11, much: 5, start: 4 },
  muchWays: ['pod-other', 'service-other'],
  withDirect: false,
};

const QUICK: Plan = {
  ...FULL,
  sizes: [1],
  amounts: { roundTrips: 500, connections: 200, bytes: '50M', floodSeconds: 0.1 },
  rounds: { short: 3, much: 2, start: 2 },
};

export const suite: Suite = {
  name: SUITES.ipv6,
  summary: 'the same as network for IPv6, with fewer Services and ways',
  run: async ({ quick, say }) => await compare(quick ? QUICK : FULL, say),
};
