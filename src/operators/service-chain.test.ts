// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { ServiceChain } from '../api/generated/types.ts';
import { specHash } from '../api/hash.ts';
import { chainLinks } from '../api/path.ts';
import { validate } from '../api/validate.ts';
import type { NodeFacts } from '../api/variables.ts';
import { refusalOf, revisionOf, type Stamp, stampChain } from './service-chain.ts';

const DUAL: NodeFacts = {
  name: 'node-a',
  internalIPs: { ipv4: '172.18.0.2', ipv6: 'fd01::2' },
  podCIDRs: { ipv4: '10.244.1.0/24', ipv6: 'fd00:244:0:1::/64' },
};
const V4: NodeFacts = {
  name: 'node-b',
  internalIPs: { ipv4: '172.18.0.3' },
  podCIDRs: { ipv4: '10.244.2.0/24' },
};

const TEMPLATE = {
  cubes: [
    { name: 'ilb', type: 'LoadBalancer', loadBalancer: {}, tables: [{ type: 'Service' }] },
    {
      name: 'router',
      type: 'Router',
      router: {},
      ports: [
        { name: 'pods', addresses: ['$(node.podCIDRs.ipv4.gateway)', '$(node.podCIDRs.ipv6.gateway)'] },
      ],
      tables: [{ type: 'Route' }],
    },
  ],
  links: [
    { name: 'pods', endpoints: [{ type: 'Pods' }, { type: 'Cube', cube: { name: 'ilb', port: 'pods' } }] },
    {
      name: 'ilb-router',
      endpoints: [
        { type: 'Cube', cube: { name: 'ilb', port: 'server' } },
        { type: 'Cube', cube: { name: 'router', port: 'pods' } },
      ],
    },
    {
      name: 'up',
      endpoints: [
        { type: 'Cube', cube: { name: 'router', port: 'up' } },
        { type: 'Interface', interface: { name: '$(node.uplink)' } },
      ],
    },
  ],
};

/** A chain with its defaults filled in, as the API server and the manifest source give it. */
function chain(spec: object = {}, metadata: object = {}): ServiceChain {
  const validation = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'ServiceChain',
    metadata: { name: 'kubernetes', namespace: 'cubeplane-system', uid: 'u-chain', ...metadata },
    // Through JSON, so that a member set to undefined is absent.
    spec: JSON.parse(JSON.stringify({ ...TEMPLATE, ...spec })),
  });
  if (!validation.ok) throw new Error(validation.message);
  return validation.object as ServiceChain;
}

function stamp(of: ServiceChain, facts: NodeFacts): Stamp {
  const result = stampChain(of, facts);
  if (!result.ok) throw new Error(result.message);
  return result;
}

describe('a ServiceChain on a node', () => {
  it('makes cubes and links named chain.part.node, labelled and owned, that the API server takes as they are', () => {
    const { cubes, links } = stamp(chain(), DUAL);
    expect(cubes.map((cube) => cube.metadata.name)).toEqual([
      'kubernetes.ilb.node-a',
      'kubernetes.router.node-a',
    ]);
    expect(links.map((link) => link.metadata.name)).toEqual([
      'kubernetes.pods.node-a',
      'kubernetes.ilb-router.node-a',
      'kubernetes.up.node-a',
    ]);
    for (const member of [...cubes, ...links]) {
      const validation = validate(member);
      if (!validation.ok) throw new Error(validation.message);
      // Nothing is left to default, so the hash that the agent computes is the one in the commit record.
      expect(validation.object.spec).toEqual(member.spec);
      expect(member.metadata).toMatchObject({
        namespace: 'cubeplane-system',
        labels: {
          'app.kubernetes.io/managed-by': 'cubeplane-operator',
          'cubeplane.io/chain': 'kubernetes',
          'cubeplane.io/node': 'node-a',
        },
        ownerReferences: [{ kind: 'ServiceChain', name: 'kubernetes', uid: 'u-chain', controller: true }],
      });
    }
    expect(links[1]?.spec).toEqual({
      nodeName: 'node-a',
      endpoints: [
        { type: 'Cube', cube: { name: 'kubernetes.ilb.node-a', port: 'server' } },
        { type: 'Cube', cube: { name: 'kubernetes.router.node-a', port: 'pods' } },
      ],
    });
  });

  it('fills in node variables, leaves out those of a family that the node lacks, and leaves the uplink to the agent', () => {
    const addresses = (facts: NodeFacts) => stamp(chain(), facts).cubes[1]?.spec.ports?.[0]?.addresses;
    expect(addresses(DUAL)).toEqual(['10.244.1.1/24', 'fd00:244:0:1::1/64']);
    expect(addresses(V4)).toEqual(['10.244.2.1/24']);
    expect(stamp(chain(), V4).links[2]?.spec.endpoints[1]).toEqual({
      type: 'Interface',
      interface: { name: '$(node.uplink)' },
    });
  });

  it('commits every member by the hash of its spec', () => {
    const { cubes, links, commit } = stamp(chain(), DUAL);
    expect(commit).toEqual({
      namespace: 'cubeplane-system',
      name: 'kubernetes',
      revision: revisionOf(chain()),
      members: [...cubes, ...links].map((member) => ({
        kind: member.kind,
        name: member.metadata.name,
        hash: specHash(member),
      })),
    });
  });

  it('has one revision on all nodes, new when the template changes and only then', () => {
    const revision = revisionOf(chain());
    expect(stamp(chain(), V4).commit.revision).toBe(revision);
    expect(revisionOf(chain({ paused: true, updateStrategy: { type: 'AllAtOnce' } }))).toBe(revision);
    expect(revisionOf(chain({ target: { nodes: { selector: { matchLabels: { a: 'b' } } } } }))).toBe(
      revision,
    );
    expect(revisionOf(chain({ failurePolicy: 'Open' }))).not.toBe(revision);
  });

  it('gives the failure policy of the chain to endpoints that have none and are no cube', () => {
    const links = structuredClone(TEMPLATE.links) as { endpoints: object[] }[];
    (links[2] as { endpoints: object[] }).endpoints[1] = { type: 'Stack', failurePolicy: 'Open' };
    const ends = stamp(chain({ failurePolicy: 'Closed', links }), DUAL).links.map(
      (link) => link.spec.endpoints,
    );
    expect(ends[0]?.[0]).toEqual({ type: 'Pods', failurePolicy: 'Closed' });
    expect(ends[0]?.[1]).not.toHaveProperty('failurePolicy');
    expect(ends[2]?.[1]).toEqual({ type: 'Stack', failurePolicy: 'Open' });
  });

  it('turns a path into links from each step to the next', () => {
    const path = [
      { type: 'Pods' },
      { type: 'Cube', cube: { name: 'ilb', in: 'pods', out: 'server' } },
      { type: 'Cube', cube: { name: 'router' } },
      { type: 'Overlay' },
    ];
    const whole = chain({ links: undefined, path });
    expect(
      chainLinks(whole.spec).map((link) => [
        link.name,
        ...link.endpoints.map((end) =>
          end.type === 'Cube' ? `${end.cube.name}/${end.cube.port}` : end.type,
        ),
      ]),
    ).toEqual([
      ['path-0', 'Pods', 'ilb/pods'],
      ['path-1', 'ilb/server', 'router/in'],
      ['path-2', 'router/out', 'Overlay'],
    ]);
    expect(stamp(whole, DUAL).links.map((link) => link.metadata.name)).toContain('kubernetes.path-2.node-a');
  });

  it('names the field and the node where a variable has no value outside of a list', () => {
    const cubes = structuredClone(TEMPLATE.cubes) as { router?: object; loadBalancer?: object }[];
    (cubes[0] as { loadBalancer: object }).loadBalancer = {
      hairpin: { ipv4: '$(node.podCIDRs.ipv4.fictitiousPod)', ipv6: '$(node.podCIDRs.ipv6.fictitiousPod)' },
    };
    expect(stampChain(chain({ cubes }), DUAL)).toMatchObject({ ok: true });
    const result = stampChain(chain({ cubes }), V4);
    expect(result).toMatchObject({ ok: false, reason: 'UnknownVariable', field: 'spec.cubes[ilb]' });
    expect(result).toMatchObject({
      message: expect.stringContaining(
        'ServiceChain cubeplane-system/kubernetes: spec.cubes[ilb]: on node node-b',
      ),
    });
  });

  it('refuses what this release does not do', () => {
    expect(refusalOf(chain())).toBeUndefined();
    for (const spec of [{ target: { type: 'Pods' } }, { updateStrategy: { type: 'OnDelete' } }]) {
      const refused = chain(spec);
      expect(refusalOf(refused)).toMatchObject({ reason: 'NotSupported' });
      expect(stampChain(refused, DUAL)).toMatchObject({ ok: false, reason: 'NotSupported' });
    }
  });
});
