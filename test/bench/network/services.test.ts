// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { chainFor } from './cubeplane.ts';
import { fillerObjects } from './services.ts';

test('a Service that is only there has an address and a slice that name it, and two endpoints of its own', () => {
  const [first, second] = [300, 301].map((n) => fillerObjects(n, 'ipv4', '2026-01-01T00:00:00Z')) as never[];
  expect(first).toMatchObject([
    { kind: 'IPAddress', metadata: { name: '10.96.129.44' }, spec: { parentRef: { name: 'filler-00300' } } },
    {
      kind: 'EndpointSlice',
      metadata: { labels: { 'kubernetes.io/service-name': 'filler-00300' } },
      endpoints: [{ addresses: ['10.200.2.88'] }, { addresses: ['10.200.2.89'] }],
    },
    { kind: 'Service', metadata: { name: 'filler-00300' }, spec: { clusterIP: '10.96.129.44' } },
  ]);
  expect(second).toMatchObject([{}, { endpoints: [{ addresses: ['10.200.2.90'] }, {}] }, {}]);
  expect(fillerObjects(300, 'ipv6', '2026-01-01T00:00:00Z')).toMatchObject([
    { metadata: { name: 'fd00:96::812c', labels: { 'ipaddress.kubernetes.io/ip-family': 'IPv6' } } },
    {
      addressType: 'IPv6',
      endpoints: [{ addresses: ['fd00:200::259'] }, { addresses: ['fd00:200::25a'] }],
    },
    { spec: { clusterIP: 'fd00:96::812c', ipFamilies: ['IPv6'] } },
  ]);
});

test('the chain is that of the provider, for the nodes of one site', () => {
  const overlays = (isDirect: boolean): unknown[] => {
    const chain = chainFor('some-site', isDirect) as {
      metadata: { name: string };
      spec: { target: { nodes: unknown }; links: { endpoints: { overlay?: object }[] }[] };
    };
    expect(chain.metadata.name).toBe('some-site');
    expect(chain.spec.target.nodes).toEqual({
      selector: { matchLabels: { 'bench.cubeplane.io/site': 'some-site' } },
    });
    return chain.spec.links.flatMap(({ endpoints }) => endpoints.flatMap(({ overlay }) => overlay ?? []));
  };
  expect(overlays(false)).toEqual([{ protocol: 'VXLAN', vni: 1, port: 4789 }]);
  expect(overlays(true)).toEqual([{ protocol: 'VXLAN', vni: 1, port: 4789, directRouting: 'SameSubnet' }]);
});
