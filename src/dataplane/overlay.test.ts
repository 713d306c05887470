// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { encodeAddress, encodePrefix } from './layout.ts';
import { overlaySources, tunnelsOf } from './overlay.ts';
import { nodeStatus } from './status.ts';

const route = (destination: string, remote: string) => ({ destination, type: 'Tunnel', tunnel: { remote } });
const facts = {
  agentVersion: '0.1.0',
  release: '6.18.0',
  features: [],
  uplink: undefined,
  chains: new Map(),
  pressure: [],
  failure: undefined,
  problems: [],
  waiting: new Map(),
};
const metadata = { name: 'node-a', uid: 'u', generation: 1 };

/** The condition Programmed of a CubeNode whose tunnel routes are these. */
function programmed(routes: readonly object[]) {
  const { problems } = overlaySources(tunnelsOf(routes));
  const status = nodeStatus(metadata as never, { ...facts, problems }, undefined, new Date(0));
  return status.conditions?.find(({ type }) => type === 'Programmed');
}

test('prefixes of more than four lengths: those that are left out are told on the CubeNode', () => {
  const lengths = (...list: number[]) => list.map((length) => route(`10.0.0.0/${length}`, '192.0.2.9'));
  expect(programmed(lengths(8, 16, 20, 24))).toMatchObject({
    status: 'True',
    message: 'The kernel holds all that is in force on the node',
  });
  const { lengthsV4 } = overlaySources(tunnelsOf(lengths(8, 16, 20, 24, 28)));
  expect(lengthsV4).toEqual([124, 120, 116, 112]);
  expect(programmed(lengths(8, 16, 20, 24, 28))).toMatchObject({
    status: 'True',
    message: expect.stringContaining(
      'but tunnel routes of IPv4 have 5 prefix lengths; sources of the 4 longest are let in, packets from others are dropped',
    ),
  });
});

test('a node is a source of its own, whatever the lengths of its prefixes', () => {
  const { nodes, lengthsV4, lengthsV6 } = overlaySources([
    { prefix: '10.244.2.0/24', remote: '198.18.0.12' },
    { prefix: 'fd00:244:0:2::/64', remote: 'fd00:18::12' },
  ]);
  expect([...nodes]).toEqual([
    [encodePrefix('198.18.0.12/32'), encodeAddress('198.18.0.12')],
    [encodePrefix('fd00:18::12/128'), encodeAddress('fd00:18::12')],
  ]);
  expect({ lengthsV4, lengthsV6 }).toEqual({ lengthsV4: [120], lengthsV6: [64] });
});

test('a prefix behind two ends of a tunnel is told on the CubeNode', () => {
  const routes = [route('fd00:1::/64', 'fd00::2'), route('fd00:1::/64', 'fd00::3')];
  expect(programmed(routes)?.message).toContain(
    'fd00:1::/64 is tunnelled to fd00::2 and to fd00::3; only packets from fd00::2 are let in',
  );
});
