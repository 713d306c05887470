// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { ServiceChain } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import type { NodeFacts } from '../api/variables.ts';
import { chainStatus } from './chain-status.ts';
import { type ChainLookup, selectsNode, targetOf } from './chain-target.ts';
import { revisionOf, stampChain } from './service-chain.ts';

const NODE: NodeFacts = {
  name: 'node-a',
  internalIPs: { ipv4: '172.18.0.2', ipv6: 'fd01::2' },
  podCIDRs: { ipv4: '10.244.1.0/24', ipv6: 'fd00:244:0:1::/64' },
};

function chain(name: string, spec: object, namespace = 'system', metadata: object = {}): ServiceChain {
  const validation = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'ServiceChain',
    metadata: { name, namespace, uid: `u-${name}`, ...metadata },
    spec: JSON.parse(JSON.stringify(spec)),
  });
  if (!validation.ok) throw new Error(validation.message);
  return validation.object as ServiceChain;
}

const router = { name: 'router', type: 'Router', router: {} };
const mitigator = (name: string) => ({ name, type: 'DDoSMitigator', ddosMitigator: {} });
const step = (name: string) => ({ type: 'Cube', cube: { name } });

const net = (more: object = {}) =>
  chain('net', {
    target: { type: 'Nodes', nodes: { selector: { matchLabels: { zone: 'a' } } } },
    cubes: [router],
    links: [
      { name: 'pods', endpoints: [{ type: 'Pods' }, { type: 'Cube', cube: { name: 'router', port: 'p' } }] },
    ],
    ...more,
  });

function guard(name: string, link: object, namespace = 'system', more: object = {}): ServiceChain {
  const spec = {
    mode: 'Transparent',
    target: { type: 'Link', link },
    cubes: [mitigator('a'), mitigator('b')],
    path: [step('a'), step('b'), { type: 'Next' }],
    ...more,
  };
  return chain(name, spec, namespace, { creationTimestamp: '2026-11-22T06:00:00Z' });
}

const lookup = (...chains: ServiceChain[]): ChainLookup => {
  const byKey = new Map(chains.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]));
  return (key) => byKey.get(key);
};

describe('a chain that targets a link', () => {
  const on = guard('guard', { chain: 'net', name: 'pods' });

  it('goes to the nodes of the chain that has the link', () => {
    expect(selectsNode(on, { zone: 'a' }, lookup(net(), on))).toBe(true);
    expect(selectsNode(on, { zone: 'b' }, lookup(net(), on))).toBe(false);
    expect(selectsNode(on, { zone: 'a' }, lookup(on))).toBe(false);
    const inside = guard('inside', { chain: 'guard', name: 'path-1' });
    expect(selectsNode(inside, { zone: 'a' }, lookup(net(), on, inside))).toBe(true);
  });

  it.each([
    ['no chain', on, [], 'LinkNotFound', 'there is no ServiceChain system/net'],
    [
      'a chain that is being deleted',
      on,
      [{ ...net(), metadata: { ...net().metadata, deletionTimestamp: 'now' } }],
      'LinkNotFound',
      'there is no ServiceChain',
    ],
    [
      'no such link',
      guard('guard', { chain: 'net', name: 'up' }),
      [net()],
      'LinkNotFound',
      'has no link up that a chain could go into; it has pods',
    ],
    [
      'the head of a chain',
      guard('x', { chain: 'guard', name: 'path-0' }),
      [net(), on],
      'LinkNotFound',
      'it has path-1',
    ],
    ['its own link', guard('x', { chain: 'x', name: 'path-1' }), [], 'LinkNotFound', 'in a cycle'],
    [
      'another namespace',
      guard('x', { chain: 'net', namespace: 'system', name: 'pods' }, 'tenant'),
      [net()],
      'RefNotPermitted',
      'add tenant to its spec.spliceFrom',
    ],
  ] as [string, ServiceChain, ServiceChain[], string, string][])(
    'is told of %s',
    (_, one, others, reason, message) => {
      const target = targetOf(one, lookup(one, ...others));
      expect(target).toMatchObject({ ok: false, reason });
      expect(target.ok ? '' : target.message).toContain(message);
      const status = chainStatus(one, [], new Date('2026-11-22T06:00:00Z'), target);
      const brief = status.conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`);
      expect(brief).toContain(`ResolvedRefs=False/${reason}`);
      expect(brief).toContain('Ready=False/RefsNotResolved');
    },
  );

  it('may be of another namespace that is let in', () => {
    const foreign = guard('x', { chain: 'net', namespace: 'system', name: 'pods' }, 'tenant');
    expect(targetOf(foreign, lookup(net({ spliceFrom: ['tenant'] }))).ok).toBe(true);
  });
});

describe('the stamp of a Transparent chain', () => {
  const stamped = (one: ServiceChain) => {
    const stamp = stampChain(one, NODE);
    if (!stamp.ok) throw new Error(stamp.message);
    return stamp.links.map(({ metadata, spec }) => ({ name: metadata.name, ...spec }));
  };
  const cube = (name: string, port: string) => ({
    type: 'Cube',
    cube: { name: `guard.${name}.node-a`, port },
  });

  it('has the place at its head, and Next at its tail', () => {
    const link = { chain: 'net', name: 'pods' };
    expect(stamped(guard('guard', link, 'system', { priority: 700, failurePolicy: 'Open' }))).toEqual([
      {
        name: 'guard.path-0.node-a',
        nodeName: 'node-a',
        endpoints: [{ type: 'Next', failurePolicy: 'Open' }, cube('a', 'in')],
        splice: { link: 'net.pods.node-a', priority: 700, since: '2026-11-22T06:00:00Z' },
      },
      { name: 'guard.path-1.node-a', nodeName: 'node-a', endpoints: [cube('a', 'out'), cube('b', 'in')] },
      { name: 'guard.path-2.node-a', nodeName: 'node-a', endpoints: [cube('b', 'out'), { type: 'Next' }] },
    ]);
  });

  it('has the endpoint at its head that the path begins with', () => {
    const one = chain('guard', {
      mode: 'Transparent',
      failurePolicy: 'Closed',
      cubes: [mitigator('a')],
      path: [{ type: 'Interface', interface: { name: '$(node.uplink)' } }, step('a'), { type: 'Next' }],
    });
    expect(stamped(one)[0]).toMatchObject({
      endpoints: [{ type: 'Interface', failurePolicy: 'Closed' }, cube('a', 'in')],
      splice: { priority: 500 },
    });
  });

  it('is another revision for another link, and lets the links of a chain say who may come in', () => {
    const [a, b] = ['pods', 'up'].map((name) => revisionOf(guard('guard', { chain: 'net', name })));
    expect(a).not.toBe(b);
    expect(stamped(net({ spliceFrom: ['tenant'] }))[0]).toMatchObject({ spliceFrom: ['tenant'] });
  });
});
