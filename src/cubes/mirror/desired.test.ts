// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { MirrorRule } from '../../api/generated/types.ts';
import type { CubePort } from '../cube-type.ts';
import { desired } from './desired.ts';
import { MirrorImage } from './image.ts';
import { mirror } from './type.ts';

const NODE = {
  name: 'node-a',
  gatewayMac: '02:00:00:00:00:01',
  overlayVni: 1,
  addresses: [],
  redirectPeer: true,
};

function cube(rules: Partial<MirrorRule>[], probe: CubePort['endpoint'] = 'Interface') {
  return {
    namespace: 'net',
    name: 'tap',
    uid: 'u',
    spec: {
      rules: rules.map((rule): MirrorRule => ({ direction: 'Both', oneIn: 1, port: 'probe', ...rule })),
    },
    ports: ['outside', 'inside', 'probe'].map(
      (name, id): CubePort => ({
        name,
        id,
        addresses: [],
        ...(name === 'probe' ? { endpoint: probe } : { endpoint: 'Cube' }),
      }),
    ),
  };
}

const problems = (...given: Parameters<typeof cube>) =>
  mirror.check(cube(...given)).map(({ reason, field }) => `${reason} ${field}`);

test('copies go to a port for copies that is linked to an interface or a cube', () => {
  expect(problems([{ port: 'inside' }, { port: 'elsewhere' }, {}])).toEqual([
    'UnknownPort spec.mirror.rules[0].port',
    'UnknownPort spec.mirror.rules[1].port',
  ]);
  expect(problems([{}], 'Cube')).toEqual([]);
  expect(problems([{ truncate: 128 }], 'Cube')).toEqual(['NotSupported spec.mirror.rules[0].truncate']);
  expect(problems([{}], 'Pods')).toEqual(['NotSupported spec.ports[probe]']);
});

test('what no packet matches and what is too much is refused', () => {
  expect(problems([{ sources: ['10.0.0.0/8'], destinations: ['fd00::/8'] }])).toEqual([
    'Invalid spec.mirror.rules[0]',
  ]);
  const many = {
    sources: ['10.0.0.0/8', '11.0.0.0/8', '12.0.0.0/8', '13.0.0.0/8'],
    destinations: ['20.0.0.0/8', '21.0.0.0/8', '22.0.0.0/8', '23.0.0.0/8'],
  };
  expect(problems(Array.from({ length: 16 }, () => many))).toEqual([]);
  expect(problems(Array.from({ length: 17 }, () => many))).toEqual(['Invalid spec.mirror.rules']);
});

test('directions are ports, shares are bounds of a random number', () => {
  const { rows } = desired(
    cube([{ direction: 'Ingress' }, { direction: 'Egress', oneIn: 2 }, { oneIn: 1000000 }]),
  );
  expect(rows.map(({ rule, match, sample, port }) => [rule, match.ports, sample, port])).toEqual([
    [0, 1n, 0xffffffff, 2],
    [1, 2n, 0x7fffffff, 2],
    [2, 3n, 4293, 2],
  ]);
});

test('what is cut, and where', () => {
  const input = cube([{ truncate: 64 }, { truncate: 65535 }, {}]);
  expect(desired(input).rows.map(({ last }) => last)).toEqual([63, 65534, 0xffff]);
  expect(mirror.instance(input, NODE).copyPorts).toEqual(['probe', 'probe']);
  expect(mirror.instance(cube([{}]), NODE).copyPorts).toEqual([]);
});

test('an agent that starts again finds nothing to do, and names rules for people', () => {
  const input = cube([{ name: 'web' }, {}]);
  const first = new MirrorImage(input);
  const { writes } = first.take();
  const again = new MirrorImage(input);
  for (const { map, count, keys, values } of writes) again.adopt(map, count, keys, values);
  expect(again.take().writes).toHaveLength(0);
  expect([0n, 1n, 2n].map((id) => again.nameObject('rule', id))).toEqual([
    'rule web',
    'rule rules[1]',
    undefined,
  ]);
});
