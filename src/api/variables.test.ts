// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { contains, parseAddress, parsePrefix } from './ip.ts';
import { ADDRESS_VARIABLES } from './schemas/template.ts';
import { fictitiousPod, gateway, nodeFacts, resolveVariables } from './variables.ts';

const node = {
  metadata: { name: 'node-a' },
  spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24', 'fd00:244:1::/64'] },
  status: {
    addresses: [
      { type: 'Hostname', address: 'node-a' },
      { type: 'ExternalIP', address: '203.0.113.9' },
      { type: 'InternalIP', address: '198.18.0.1' },
      { type: 'InternalIP', address: '198.18.0.99' },
      { type: 'InternalIP', address: '2001:db8::1' },
    ],
  },
};
const facts = nodeFacts(node);
const ipv4Only = nodeFacts({ ...node, spec: { podCIDR: '10.244.1.0/24' }, status: { addresses: [] } });

describe('facts of a node', () => {
  test('are the first of each family', () => {
    expect(facts).toEqual({
      name: 'node-a',
      internalIPs: { ipv4: '198.18.0.1', ipv6: '2001:db8::1' },
      podCIDRs: { ipv4: '10.244.1.0/24', ipv6: 'fd00:244:1::/64' },
    });
  });

  test('leave out what is no address or has no room for pods', () => {
    const odd = {
      spec: { podCIDRs: ['10.0.0.0/31', 'nonsense'] },
      status: { addresses: [{ type: 'InternalIP', address: 'x' }] },
    };
    expect(nodeFacts(odd)).toEqual({ name: '', internalIPs: {}, podCIDRs: {} });
    expect(nodeFacts({ metadata: { name: 'new' } })).toEqual({ name: 'new', internalIPs: {}, podCIDRs: {} });
  });
});

describe('variables', () => {
  test.each([
    ['$(node.name)', 'node-a'],
    ['$(node.uplink)', '$(node.uplink)'],
    ['$(node.internalIPs.ipv4)', '198.18.0.1'],
    ['$(node.internalIPs.ipv6)/128', '2001:db8::1/128'],
    ['$(node.podCIDRs.ipv4)', '10.244.1.0/24'],
    ['$(node.podCIDRs.ipv4.gateway)', '10.244.1.1/24'],
    ['$(node.podCIDRs.ipv6.gateway)', 'fd00:244:1::1/64'],
    ['$(node.podCIDRs.ipv4.fictitiousPod)', '10.244.1.254'],
    ['$(node.podCIDRs.ipv6.fictitiousPod)', 'fd00:244:1:0:ffff:ffff:ffff:ffff'],
    ['no variable', 'no variable'],
  ])('%s is %s', (variable, value) => {
    expect(resolveVariables({ it: variable }, facts)).toEqual({ ok: true, value: { it: value } });
  });

  test('that templates allow are all known', () => {
    for (const variable of ADDRESS_VARIABLES) {
      const result = resolveVariables([variable], facts);
      if (!result.ok) throw new Error(result.message);
      const [value] = result.value as [string];
      expect(parseAddress(value) ?? parsePrefix(value)).toBeDefined();
    }
  });

  test.each(['$(node.podCIDRs.ipv4.first)', '$(node.internalIPs.ipv4.gateway)', '$(pod.name)', '$()'])(
    '%s is refused with its field',
    (variable) => {
      expect(resolveVariables({ ports: [{ addresses: ['10.0.0.1/8', variable] }] }, facts)).toMatchObject({
        ok: false,
        reason: 'UnknownVariable',
        field: 'ports[0].addresses[1]',
      });
    },
  );

  test('an empty one removes the element of the list around it, no more', () => {
    const template = {
      ports: [
        { name: 'pods', addresses: ['$(node.podCIDRs.ipv4.gateway)', '$(node.podCIDRs.ipv6.gateway)'] },
      ],
      routes: [
        { destination: '$(node.podCIDRs.ipv6)', type: 'NextHop', nextHop: { address: 'fd00::1' } },
        { destination: '0.0.0.0/0', type: 'NextHop', nextHop: { address: '$(node.internalIPs.ipv4)' } },
        { destination: '$(node.podCIDRs.ipv4)', type: 'Blackhole' },
      ],
    };
    expect(resolveVariables(template, ipv4Only)).toEqual({
      ok: true,
      value: {
        ports: [{ name: 'pods', addresses: ['10.244.1.1/24'] }],
        routes: [{ destination: '10.244.1.0/24', type: 'Blackhole' }],
      },
    });
  });

  test('an empty one outside of lists cannot be resolved', () => {
    expect(resolveVariables({ hairpin: { ipv6: '$(node.internalIPs.ipv6)' } }, ipv4Only)).toMatchObject({
      ok: false,
      message: expect.stringContaining('node-a'),
    });
  });

  test('leave the template as it was', () => {
    const template = { list: ['$(node.name)'], keep: { n: 1, b: false, nothing: null } };
    const before = structuredClone(template);
    resolveVariables(template, facts);
    expect(template).toEqual(before);
  });
});

test('gateway and fictitious pod are two addresses inside of every prefix', () => {
  const prefixes = fc.oneof(
    fc
      .tuple(fc.nat(255), fc.integer({ min: 8, max: 30 }))
      .map(([third, length]) => `10.244.${third}.0/${length}`),
    fc.integer({ min: 48, max: 126 }).map((length) => `fd00:244:1::/${length}`),
  );
  fc.assert(
    fc.property(prefixes, (text) => {
      const { podCIDRs } = nodeFacts({ spec: { podCIDRs: [text] } });
      const cidr = (podCIDRs.ipv4 ?? podCIDRs.ipv6) as string;
      const around = parsePrefix(cidr);
      const own = parsePrefix(gateway(cidr));
      const pod = parseAddress(fictitiousPod(cidr));
      if (!around || !own || !pod) throw new Error(`${cidr} gave ${gateway(cidr)}, ${fictitiousPod(cidr)}`);
      expect(own.length).toBe(around.length);
      expect(contains(around, own) && contains(around, pod)).toBe(true);
      expect(own.value).not.toBe(pod.value);
      expect(own.value).not.toBe(around.value);
    }),
  );
});
