// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import { validate } from '../api/validate.ts';
import type { NodeInput } from './inputs.ts';
import { tablesOfNode } from './node.ts';

const internal = (...addresses: string[]): NodeInput['status'] => ({
  addresses: [
    { type: 'Hostname', address: 'node-a' },
    { type: 'ExternalIP', address: '203.0.113.1' },
    ...addresses.map((address) => ({ type: 'InternalIP', address })),
  ],
});

function routes(
  spec: NodeInput['spec'],
  status: NodeInput['status'],
): { routes: string[]; problems: string[] } {
  const node = { metadata: { name: 'node-a', uid: 'u-1' }, spec, status };
  const { tables, diagnostics } = tablesOfNode(node, { namespace: 'cubeplane-system' });
  const lines: string[] = [];
  for (const table of tables) {
    const validation = validate(table);
    if (!validation.ok) throw new Error(validation.message);
    expect(validation.object).toEqual(table);
    expect(table.metadata).toMatchObject({
      name: 'node.node-a.0',
      labels: { 'cubeplane.io/node': 'node-a', 'cubeplane.io/owner-uid': 'u-1' },
    });
    if (table.spec.type !== 'Route') throw new Error(`a table of type ${table.spec.type}`);
    for (const route of table.spec.routes) {
      lines.push(`${route.destination} ${route.type === 'Tunnel' ? route.tunnel.remote : route.type}`);
    }
  }
  return { routes: lines, problems: diagnostics.map(({ reason, field }) => `${reason} ${field}`) };
}

describe('routes to a node', () => {
  it('sends each family through the tunnel to the address of its family', () => {
    const spec = { podCIDRs: ['10.244.1.0/24', 'FD00:244:0:1::/64'] };
    expect(routes(spec, internal('172.18.0.2', 'fd01::2'))).toEqual({
      routes: ['10.244.1.0/24 172.18.0.2', 'fd00:244:0:1::/64 fd01::2'],
      problems: [],
    });
  });

  it('uses the only address for both families', () => {
    const spec = { podCIDRs: ['fd00:244:0:1::/64', '10.244.1.0/24'] };
    expect(routes(spec, internal('172.18.0.2')).routes).toEqual([
      '10.244.1.0/24 172.18.0.2',
      'fd00:244:0:1::/64 172.18.0.2',
    ]);
  });

  it('takes the first address of a family, and podCIDR where podCIDRs is absent', () => {
    expect(routes({ podCIDR: '10.244.1.0/24' }, internal('172.18.0.2', '172.18.0.3')).routes).toEqual([
      '10.244.1.0/24 172.18.0.2',
    ]);
  });

  it('reports a node without pod prefix and one without address, and makes no table', () => {
    expect(routes({}, internal('172.18.0.2'))).toEqual({
      routes: [],
      problems: ['MissingField spec.podCIDRs'],
    });
    expect(routes({ podCIDRs: ['10.244.1.0/24'] }, internal())).toEqual({
      routes: [],
      problems: ['MissingField status.addresses'],
    });
  });

  it('reports what is wrong and keeps the rest', () => {
    const spec = { podCIDRs: ['10.244.1.0/33', '10.244.1.0/24', '10.244.2.0/24'] };
    expect(routes(spec, internal('nonsense', '127.0.0.1', '172.18.0.2'))).toEqual({
      routes: ['10.244.1.0/24 172.18.0.2'],
      problems: [
        'InvalidCIDR spec.podCIDRs[0]',
        'Duplicate spec.podCIDRs[2]',
        'InvalidAddress status.addresses[2].address',
        'InvalidAddress status.addresses[3].address',
      ],
    });
  });
});
