// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import type { AnnouncementCubeTableSpec } from '../api/generated/types.ts';
import { validate } from '../api/validate.ts';
import { announcementOf, canAnnounce } from './announcement.ts';
import type {
  EndpointInput,
  EndpointSliceInput,
  NodeConditionInput,
  NodeInput,
  ServiceInput,
} from './inputs.ts';
import type { CubeNodeView } from './views.ts';

const NODES = ['node-a', 'node-b', 'node-c'];

function service(extra: Partial<ServiceInput> = {}, spec: ServiceInput['spec'] = {}): ServiceInput {
  return {
    metadata: { namespace: 'default', name: 'web', uid: 'u-1' },
    spec: { type: 'LoadBalancer', ...spec },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }] } },
    ownsAddresses: true,
    ...extra,
  };
}

const slice = (...endpoints: EndpointInput[]): EndpointSliceInput => ({ metadata: {}, endpoints });

function nodeOf(
  one: ServiceInput,
  options: { slices?: EndpointSliceInput[]; nodes?: string[]; before?: string } = {},
): string | undefined {
  const { slices = [], nodes = NODES, before } = options;
  const table = announcementOf(one, slices, nodes, before, { namespace: 'cubeplane-system' });
  if (table === undefined) return undefined;
  const validation = validate(table);
  if (!validation.ok) throw new Error(validation.message);
  expect(validation.object).toEqual(table);
  const { announcements } = table.spec as AnnouncementCubeTableSpec;
  expect(announcements.map(({ address }) => address)).toEqual(['192.0.2.1', '2001:db8::1']);
  expect(new Set(announcements.map(({ node }) => node)).size).toBe(1);
  return announcements[0]?.node;
}

describe('the node that answers', () => {
  test('is the same for everybody who asks, in whatever order the nodes come', () => {
    expect(nodeOf(service(), { nodes: [...NODES].reverse() })).toBe(nodeOf(service()));
    expect(NODES).toContain(nodeOf(service()));
  });

  test('goes on as long as it can; then another one does, and it stays there', () => {
    for (const before of NODES) {
      expect(nodeOf(service(), { before })).toBe(before);
      const nodes = NODES.filter((name) => name !== before);
      expect(nodes).toContain(nodeOf(service(), { before, nodes }));
    }
    expect(nodeOf(service(), { nodes: [] })).toBeUndefined();
  });

  test('is another one for other Services: each node has a share', () => {
    const chosen = Array.from({ length: 300 }, (_, index) =>
      nodeOf(service({ metadata: { namespace: 'default', name: `web-${index}` } })),
    );
    for (const node of NODES) {
      const share = chosen.filter((one) => one === node).length;
      expect(share).toBeGreaterThan(60);
      expect(share).toBeLessThan(140);
    }
  });

  test('has an endpoint that is ready where the policy is Local, else one that still serves', () => {
    const local = service({}, { type: 'LoadBalancer', externalTrafficPolicy: 'Local' });
    const on = (nodeName: string, conditions = {}): EndpointInput => ({
      addresses: ['10.0.0.1'],
      nodeName,
      conditions,
    });
    expect(nodeOf(local, { slices: [slice(on('node-b'))] })).toBe('node-b');
    expect(nodeOf(local, { slices: [slice(on('node-b'))], before: 'node-a' })).toBe('node-b');
    const ending = on('node-a', { ready: false, serving: true, terminating: true });
    expect(nodeOf(local, { slices: [slice(ending), slice(on('node-c'))] })).toBe('node-c');
    expect(nodeOf(local, { slices: [slice(ending)] })).toBe('node-a');
    expect(
      nodeOf(local, { slices: [slice(on('node-a', { ready: false, serving: false }))] }),
    ).toBeUndefined();
    expect(nodeOf(service(), { slices: [slice(on('node-b'))], before: 'node-a' })).toBe('node-a');
  });

  test('is nobody for addresses that are not the operator’s, and where there are none', () => {
    expect(nodeOf(service({ ownsAddresses: false }))).toBeUndefined();
    expect(nodeOf(service({ status: { loadBalancer: { ingress: [] } } }))).toBeUndefined();
    expect(nodeOf(service({ status: null }))).toBeUndefined();
  });
});

describe('a node can answer', () => {
  const AVAILABLE = { type: 'NetworkUnavailable', status: 'False', reason: 'ChainProgrammed' };
  const node = (conditions: NodeConditionInput[], metadata: NodeInput['metadata'] = {}): NodeInput => ({
    metadata: { name: 'node-a', ...metadata },
    status: { conditions },
  });
  const cubeNode = (reason: string) => ({ conditions: [{ reason }] }) as unknown as CubeNodeView;

  test('when its chain is in the kernel', () => {
    expect(canAnnounce(node([AVAILABLE]), cubeNode('Ready'))).toBe(true);
    expect(canAnnounce(node([]), cubeNode('Ready'))).toBe(false);
    expect(canAnnounce(node([{ ...AVAILABLE, status: 'True' }]), cubeNode('Ready'))).toBe(false);
    expect(canAnnounce(node([{ ...AVAILABLE, reason: 'FlannelIsUp' }]), cubeNode('Ready'))).toBe(false);
  });

  test('while its agent is away, as long as its kubelet speaks, and the other way round', () => {
    const ready = (status: string) => node([AVAILABLE, { type: 'Ready', status }]);
    expect(canAnnounce(ready('True'), cubeNode('AgentUnreachable'))).toBe(true);
    expect(canAnnounce(ready('Unknown'), cubeNode('Ready'))).toBe(true);
    expect(canAnnounce(ready('Unknown'), cubeNode('AgentUnreachable'))).toBe(false);
    expect(canAnnounce(node([AVAILABLE]), cubeNode('AgentUnreachable'))).toBe(false);
  });

  test('unless it goes, or no load balancer may send to it', () => {
    const excluded = { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } };
    expect(canAnnounce(node([AVAILABLE], excluded), undefined)).toBe(false);
    expect(canAnnounce(node([AVAILABLE], { deletionTimestamp: '2026-01-01T00:00:00Z' }), undefined)).toBe(
      false,
    );
  });
});
