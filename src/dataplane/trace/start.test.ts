// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { encodeAddress, encodePrefix, GATEWAY_MAC } from '../layout.ts';
import { startOf, type TraceWorld } from './start.ts';

const world: TraceWorld = {
  node: 'node-a',
  pods: [
    {
      namespace: 'default',
      name: 'web',
      interface: 'veth1',
      mac: '02:00:00:00:00:11',
      addresses: ['10.244.1.5'],
    },
    { namespace: 'net', name: 'in', interface: 'veth2', mac: '02:00:00:00:00:12', addresses: [] },
  ],
  cubes: [
    { key: 'net/router', slot: 3, ports: [{ name: 'pods', id: 2 }] },
    {
      key: 'other/router',
      slot: 4,
      ports: [
        { name: 'pods', id: 1 },
        { name: 'up', id: 0 },
      ],
    },
    { key: 'default/net', slot: 5, ports: [{ name: 'in', id: 0 }] },
  ],
  interfaces: new Map(
    ['eth0', 'veth1', 'veth2', 'cubevxlan', 'cube0', 'cube1'].map((name, i) => [
      name,
      { ifindex: 10 + i, mac: `02:00:00:00:00:0${i}` },
    ]),
  ),
  overlayDevice: 'cubevxlan',
  stackDevices: ['cube0', 'cube1'],
  overlaySources: new Map([[encodePrefix('10.244.2.0/24'), encodeAddress('172.18.0.3')]]),
  overlayVni: 7,
};

describe('where a dry run begins', () => {
  test.each([
    [
      'default/web',
      { ifindex: 11, macs: { src: '02:00:00:00:00:11', dst: GATEWAY_MAC }, mode: { type: 'Interface' } },
    ],
    ['web', { name: 'Pod default/web' }],
    ['eth0', { ifindex: 10, macs: { dst: '02:00:00:00:00:00' }, mode: { type: 'Interface' } }],
    ['host', { name: 'interface cube1', ifindex: 15, macs: { src: '02:00:00:00:00:04', dst: GATEWAY_MAC } }],
    ['overlay', { ifindex: 13, mode: { type: 'Tunnel', remote: '172.18.0.3', vni: 7 } }],
    ['net/router/pods', { name: 'port pods of Cube net/router', mode: { type: 'Cube', slot: 3, port: 2 } }],
    ['router/up', { mode: { type: 'Cube', slot: 4, port: 0 } }],
  ])('%s', (from, expected) => expect(startOf(from, '10.244.2.9', world)).toMatchObject(expected));

  test('a source that no node owns comes from nowhere', () => {
    expect(startOf('overlay', 'fd00::1', world).mode).toMatchObject({ remote: '192.0.2.1' });
  });

  test.each([
    ['router/pods', 'InvalidRequest', /port pods of Cube net\/router or port pods of Cube other\/router/],
    ['net/in', 'InvalidRequest', /Pod net\/in or port in of Cube default\/net/],
    ['net/router/down', 'NotFound', /no pod, interface or port of a cube/],
    ['eth9', 'NotFound', /node node-a has no pod/],
  ])('%s is refused', (from, code, message) => {
    expect(() => startOf(from, '', world)).toThrow(message);
    expect(() => startOf(from, '', world)).toThrow(expect.objectContaining({ code }) as unknown as Error);
  });
});
