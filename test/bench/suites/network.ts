// SPDX-License-Identifier: Apache-2.0
import type { Suite } from '../main.ts';
import { compare, type Plan } from '../network/compare.ts';
import { SUITES, WAYS } from '../network/names.ts';

const FULL: Plan = {
  family: 'ipv4',
  sizes: [1, 1_000, 10_000],
  amounts: { roundTrips: 2_000, connections: 600, bytes: '200M', floodSeconds: 0.3 },
  rounds: { short: 15, much: 5, start: 6 },
  muchWays: WAYS,
  withDirect: true,
};

const QUICK: Plan = {
  family: 'ipv4',
  sizes: [1, 1_000],
  amounts: { roundTrips: 500, connections: 200, bytes: '50M', floodSeconds: 0.1 },
  rounds: { short: 3, much: 2, start: 2 },
  muchWays: ['pod-other', 'service-other'],
  withDirect: false,
};

export const suite: Suite = {
  name: SUITES.ipv4,
  summary:
    'Cubeplane beside kube-proxy and plain routes, on two nodes: latency, rates, streams, processor time',
  run: async ({ quick, say }) => await compare(quick ? QUICK : FULL, say),
};
