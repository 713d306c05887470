// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { chainPicture } from './chain-picture.ts';

const cube = (name: string, type: string) => ({ metadata: { name: `demo.${name}.node-a` }, spec: { type } });
const port = (name: string, of: string) => ({
  type: 'Cube',
  cube: { name: `demo.${name}.node-a`, port: of },
});
const link = (...endpoints: { type: string }[]) => ({ spec: { endpoints } });

const CUBES = [cube('ilb', 'LoadBalancer'), cube('router', 'Router')];

test('a line from the pods to the overlay, whatever the order of links and ends', () => {
  const links = [
    link(port('router', 'overlay'), { type: 'Overlay' }),
    link(port('router', 'pods'), port('ilb', 'server')),
    link(port('ilb', 'pods'), { type: 'Pods' }),
  ];
  const line = 'Pods ──pods─[ilb LoadBalancer]─server──pods─[router Router]─overlay── Overlay';
  expect(chainPicture(CUBES, links)).toEqual([line]);
  expect(chainPicture(CUBES, [...links].reverse())).toEqual([line]);
});

test('a second way out of a cube has a line of its own below it', () => {
  const lines = chainPicture(CUBES, [
    link({ type: 'Pods' }, port('router', 'pods')),
    link(port('router', 'overlay'), { type: 'Overlay' }),
    link(port('router', 'host'), { type: 'Stack' }),
  ]);
  expect(lines).toEqual([
    'Pods ──pods─[router Router]─overlay── Overlay',
    '                          └─host── Stack',
  ]);
});

test('a chain without pods starts at another end', () => {
  expect(
    chainPicture(CUBES, [
      link(port('router', 'up'), { type: 'Interface', interface: { name: 'eth0' } } as never),
    ]),
  ).toEqual(['Interface eth0 ──up─[router Router]']);
});
