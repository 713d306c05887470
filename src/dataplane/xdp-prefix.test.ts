// SPDX-License-Identifier: Apache-2.0
/** Cubes at XDP in the graph: what TC sees of them, which edges they get, and where they cannot be. */
import { describe, expect, test } from '@jest/globals';
import { CUBES } from '../cubes/generated/registry.ts';
import { desiredState, planInstance } from './desired.ts';
import { type GraphInput, resolveGraph } from './graph.ts';
import type { InterfaceInfo } from './graph-model.ts';
import { EdgeKind, edgeIndex, edgeWord, XDP_SLOT } from './layout.ts';
import type { CubeObject, LinkObject } from './objects.ts';
import { EMPTY_KERNEL } from './state.ts';

const ETH: InterfaceInfo = { name: 'eth0', ifindex: 7, mtu: 1500, mac: '02:00:00:00:00:07', up: true };
const metadata = (name: string) => ({ namespace: 'ns', name, uid: name, generation: 1 });

const SIZES = {
  maxSourceHosts: 16,
  maxSourcePrefixes: 16,
  maxDestinationHosts: 16,
  maxDestinationPrefixes: 16,
  maxSourceBuckets: 16,
  maxSynBuckets: 16,
};

function mitigator(name: string, hook: 'TC' | 'XDP' = 'XDP'): CubeObject {
  const ddosMitigator = { denySources: [], denyDestinations: [], allowSources: [], sizes: SIZES };
  return {
    metadata: metadata(name),
    spec: { nodeName: 'n', type: 'DDoSMitigator', hook, ddosMitigator },
  } as never;
}

const router: CubeObject = {
  metadata: metadata('router'),
  spec: {
    nodeName: 'n',
    type: 'Router',
    hook: 'TC',
    router: { routes: [], icmp: { errorsPerSecond: 1, burst: 1 }, maxRoutes: 16 },
  },
} as never;

type End = object;
const at = (name: string, port: string): End => ({ type: 'Cube', cube: { name, port } });
const eth = (failurePolicy?: string): End => ({
  type: 'Interface',
  interface: { name: 'eth0' },
  ...(failurePolicy === undefined ? {} : { failurePolicy }),
});
const link = (name: string, a: End, b: End): LinkObject =>
  ({ metadata: metadata(name), spec: { nodeName: 'n', endpoints: [a, b] } }) as never;

function resolve(cubes: CubeObject[], links: LinkObject[], info: InterfaceInfo = ETH) {
  const input: GraphInput = {
    nodeName: 'n',
    cubes,
    links,
    types: CUBES,
    interfaces: new Map([['eth0', info]]),
    uplink: 'eth0',
    overlayMtu: 1450,
  };
  const graph = resolveGraph(input);
  const node = {
    name: 'n',
    gatewayMac: '02:c0:be:00:00:01',
    overlayVni: 1,
    addresses: [],
    redirectPeer: true,
  };
  const plans = new Map([...graph.cubes].map(([key, one]) => [key, planInstance(one, node, 'hash')]));
  const desired = desiredState(
    {
      graph,
      node,
      observed: EMPTY_KERNEL,
      interfaces: input.interfaces,
      hostAddresses: [],
      pods: [],
      newDevices: new Set(),
      sources: { rows: new Map(), nodes: new Map(), lengthsV4: [], lengthsV6: [], problems: [] } as never,
      objectHashes: new Map([
        ['tcx', 'e1'],
        ['xdp', 'x1'],
      ]),
    },
    plans,
  );
  const slot = (name: string) =>
    [...desired.instances.values()].find(({ cubeKey }) => cubeKey === `ns/${name}`)?.slot ?? -1;
  return { graph, desired, slot };
}

/** Port of slot 0 of the first interface. */
const PORT = 8;
const toCube = (slot: number, port: number) => edgeWord(EdgeKind.Cube, slot, port);

const CHAIN = [
  link('a', eth(), at('one', 'outside')),
  link('b', at('one', 'inside'), at('two', 'outside')),
  link('c', at('two', 'inside'), at('router', 'up')),
];

describe('two cubes before a router', () => {
  const { graph, desired, slot } = resolve([mitigator('one'), mitigator('two'), router], CHAIN);

  test('TC sees the router at the interface', () => {
    expect(graph.findings.size).toBe(0);
    expect(graph.cubes.get('ns/router')?.input.ports).toMatchObject([{ name: 'up', endpoint: 'Interface' }]);
    expect(desired.edges.get(edgeIndex(0, PORT))).toBe(toCube(slot('router'), 0));
    expect(desired.edges.get(edgeIndex(slot('router'), 0))).toBe(edgeWord(EdgeKind.Neigh, 7));
    expect([...desired.links.keys()]).toEqual(['eth0']);
  });

  test('XDP has edges of its own, and ends in TC', () => {
    const [one, two] = [slot('one'), slot('two')];
    expect(desired.edges.get(edgeIndex(XDP_SLOT, PORT))).toBe(toCube(one, 0));
    expect(desired.edges.get(edgeIndex(one, 1))).toBe(toCube(two, 0));
    expect(desired.edges.get(edgeIndex(two, 1))).toBe(edgeWord(EdgeKind.Pass, 0));
    expect(desired.edges.get(edgeIndex(two, 0))).toBe(toCube(one, 1));
    expect(desired.edges.get(edgeIndex(one, 0))).toBe(edgeWord(EdgeKind.Device, 7));
    expect(desired.xdp).toEqual({ entry: 'x1', links: new Map([['eth0', { ifindex: 7, name: 'eth0' }]]) });
    const hooks = [...desired.instances.values()].map(({ cubeKey, hook, object }) => [cubeKey, hook, object]);
    expect(hooks.sort()).toEqual([
      ['ns/one', 'XDP', 'ddos-mitigator-xdp'],
      ['ns/router', 'TC', 'router'],
      ['ns/two', 'XDP', 'ddos-mitigator-xdp'],
    ]);
  });
});

test('before the Stack the interface is the host’s: nothing of ours sits at TC', () => {
  const { graph, desired, slot } = resolve(
    [mitigator('one')],
    [link('a', eth(), at('one', 'outside')), link('b', at('one', 'inside'), { type: 'Stack' })],
  );
  expect(graph).toMatchObject({ stack: false });
  expect(desired.links.size).toBe(0);
  expect(desired.xdp.links.size).toBe(1);
  expect(desired.edges.get(edgeIndex(slot('one'), 1))).toBe(edgeWord(EdgeKind.Pass, 0));
});

test('without a cube at XDP nothing of it is made', () => {
  const { desired } = resolve(
    [mitigator('one', 'TC'), router],
    [link('a', eth(), at('one', 'outside')), link('c', at('one', 'inside'), at('router', 'up'))],
  );
  expect(desired.xdp).toEqual({ entry: undefined, links: new Map() });
});

describe('somebody else’s program at XDP', () => {
  const foreign = { ...ETH, xdp: { id: 12, name: 'theirs', mode: 'Native', isForeign: true } } as const;
  const cubes = [mitigator('one'), mitigator('two'), router];

  test('is not replaced, and named by each cube; TC goes on', () => {
    const { graph, desired, slot } = resolve(cubes, CHAIN, foreign);
    expect(desired.xdp.links.size).toBe(0);
    expect([...graph.findings.keys()]).toEqual(['Cube ns/one', 'Cube ns/two']);
    expect(graph.findings.get('Cube ns/one')).toEqual([
      expect.objectContaining({
        condition: 'ResolvedRefs',
        reason: 'ForeignXDPProgram',
        message: expect.stringContaining('theirs (id 12)'),
      }),
    ]);
    expect(desired.edges.get(edgeIndex(0, PORT))).toBe(toCube(slot('router'), 0));
  });

  test('ends what comes in where the interface is Closed', () => {
    const [, ...rest] = CHAIN;
    const { desired } = resolve(cubes, [link('a', eth('Closed'), at('one', 'outside')), ...rest], foreign);
    expect(desired.edges.get(edgeIndex(0, PORT))).toBeUndefined();
  });

  test('of which the agent is the owner is its own', () => {
    const own = { ...ETH, xdp: { ...foreign.xdp, isForeign: false } };
    expect(resolve(cubes, CHAIN, own).desired.xdp.links.size).toBe(1);
  });
});

describe('a cube at XDP is refused', () => {
  const one = mitigator('one');
  const cases: [string, CubeObject[], LinkObject, string, string][] = [
    ['before pods', [one], link('a', { type: 'Pods' }, at('one', 'outside')), 'XDPOnPods', 'Cube one runs'],
    ['behind pods', [one], link('a', at('one', 'inside'), { type: 'Pods' }), 'XDPOnPods', 'uplink'],
    [
      'at the overlay',
      [one],
      link('a', { type: 'Overlay' }, at('one', 'outside')),
      'XDPNotAtInterface',
      'outside',
    ],
    [
      'behind a cube in TC',
      [one, router],
      link('a', at('router', 'up'), at('one', 'outside')),
      'XDPNotAtInterface',
      'Interface',
    ],
    [
      'back to back with another',
      [one, mitigator('two')],
      link('a', at('one', 'inside'), at('two', 'inside')),
      'XDPNotAtInterface',
      'inside',
    ],
    [
      'between two interfaces',
      [one],
      link('a', at('one', 'inside'), eth()),
      'XDPNotAtInterface',
      'goes on to TC',
    ],
  ];

  test.each(cases)('%s', (_, cubes, wrong, reason, says) => {
    const { graph, desired } = resolve(cubes, [wrong]);
    expect(graph.findings.get('CubeLink ns/a')).toEqual([
      expect.objectContaining({ condition: 'Accepted', reason, message: expect.stringContaining(says) }),
    ]);
    expect(graph.links.size).toBe(0);
    expect(desired.xdp.links.size).toBe(0);
  });

  test('at the interface of a pod', () => {
    const { graph } = resolve([one], [link('a', eth(), at('one', 'outside'))], { ...ETH, isPod: true });
    expect(graph.findings.get('CubeLink ns/a')).toEqual([expect.objectContaining({ reason: 'XDPOnPods' })]);
  });
});
