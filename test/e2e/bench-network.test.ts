// SPDX-License-Identifier: Apache-2.0
/** The suite `network` of the benchmark, as small as it gets: all alternatives carry all that it sends. Its figures say nothing here. */
import { expect, jest, test } from '@jest/globals';
import { compare } from '../bench/network/compare.ts';
import { SUITES, WAYS } from '../bench/network/names.ts';

jest.setTimeout(600_000);

const KUBE = ['iptables', 'nftables', 'cubeplane', 'cubeplane-direct'];

test.each([
  ['ipv4', [1, 60]],
  ['ipv6', [1]],
] as const)(
  '%s: kube-proxy and Cubeplane answer in all ways, with few Services and with more',
  async (family, sizes) => {
    const measures = await compare(
      {
        family,
        sizes,
        amounts: { roundTrips: 20, connections: 8, bytes: '16M', floodSeconds: 0.1 },
        rounds: { short: 1, much: 1, start: 1 },
        muchWays: ['service-other'],
        withDirect: true,
      },
      () => undefined,
    );
    const names = new Set(measures.map(({ name }) => name));
    // ten a site, and `kubernetes`
    for (const size of sizes.map((one) => Math.max(one, 41))) {
      for (const way of WAYS) {
        for (const name of ['plain', ...KUBE])
          expect(names).toContain(`${SUITES[family]}.${size}.${way}.tcp-p50.${name}`);
        expect(names).toContain(`${SUITES[family]}.${size}.${way}.connects.cubeplane/iptables`);
      }
      for (const name of ['plain', ...KUBE])
        expect(names).toContain(`${SUITES[family]}.${size}.service-other.stream-8.${name}`);
      for (const name of KUBE)
        expect(names).toContain(`${SUITES[family]}.${size}.service.service-start.${name}`);
      expect(names).toContain(`${SUITES[family]}.${size}.pod-same.udp-p50.veth`);
    }
    for (const { name, value } of measures)
      expect({ name, isFigure: value > 0 }).toEqual({ name, isFigure: true });
  },
);
