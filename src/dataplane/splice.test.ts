// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LABELS } from '../api/group.ts';
import { specHash } from '../api/hash.ts';
import type { CubeType } from '../cubes/cube-type.ts';
import { accept, advance, type EffectiveSet, NOTHING } from './committed.ts';
import { desiredState, planInstance } from './desired.ts';
import { type GraphInput, resolveGraph } from './graph.ts';
import type { Graph, WireEnd } from './graph-model.ts';
import { EdgeKind, edgeText, edgeWord, GATEWAY_MAC } from './layout.ts';
import type { CubeObject, LinkObject } from './objects.ts';
import { EMPTY_KERNEL } from './state.ts';
import { cubeStatus, endText, linkStatus } from './status.ts';

const NODE = 'node-a';
const NOW = new Date('2026-11-22T06:00:00Z');

function type(name: string, extra: Partial<CubeType>): CubeType {
  return {
    type: name,
    member: name.toLowerCase(),
    object: name.toLowerCase(),
    program: name.toLowerCase(),
    layer: 3,
    fixedPorts: {},
    firstNamedPort: 0,
    tableTypes: [],
    maps: {},
    check: () => [],
    instance: (cube) => ({ rodata: {}, sizes: {}, config: cube.ports }),
    image: () => {
      throw new Error('no image is made here');
    },
    ...extra,
  };
}

const types = new Map<string, CubeType>([
  ['Plain', type('Plain', {})],
  ['Bridge', type('Bridge', { layer: 2 })],
  [
    'Tap',
    type('Tap', {
      fixedPorts: { outside: 0, inside: 1 },
      firstNamedPort: 2,
      transparent: { outside: 'outside', inside: 'inside' },
    }),
  ],
]);

const base: Omit<GraphInput, 'cubes' | 'links'> = {
  nodeName: NODE,
  types,
  interfaces: new Map(
    ['eth0', 'eth1'].map((name, i) => [
      name,
      { name, ifindex: 2 + i, mtu: 1500, mac: '02:00:00:00:00:01', up: true },
    ]),
  ),
  uplink: 'eth0',
  overlayMtu: 1450,
};

function meta(name: string, namespace = 'ns', chain?: string) {
  return {
    namespace,
    name,
    uid: `uid-${namespace}-${name}`,
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...(chain === undefined ? {} : { labels: { [LABELS.chain]: chain } }),
  };
}

function cube(name: string, of = 'Tap', namespace?: string, chain?: string): CubeObject {
  const spec = { nodeName: NODE, type: of, hook: 'TC', [of.toLowerCase()]: {} };
  return { metadata: meta(name, namespace, chain), spec: spec as CubeObject['spec'] };
}

function link(
  name: string,
  ends: object[],
  spec: object = {},
  namespace?: string,
  chain?: string,
): LinkObject {
  return {
    metadata: meta(name, namespace, chain),
    spec: { nodeName: NODE, endpoints: ends as never, ...spec },
  };
}

const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
const next = { type: 'Next' };
const pods = { type: 'Pods' };
const eth = (name: string) => ({ type: 'Interface', interface: { name } });

/** A chain of one cube or more, spliced in at `place`: a link's name, or an endpoint. */
function chain(
  name: string,
  place: string | object,
  options: {
    cubes?: number;
    policy?: 'Open' | 'Closed';
    since?: string;
    priority?: number;
    ns?: string;
    from?: string;
  } = {},
): [CubeObject[], LinkObject[]] {
  const { cubes = 1, policy, since, priority = 500, ns, from } = options;
  const outer = { ...(typeof place === 'string' ? next : place), ...(policy && { failurePolicy: policy }) };
  const splice = {
    ...(typeof place === 'string' ? { link: place } : {}),
    ...(from === undefined ? {} : { namespace: from }),
    priority,
    ...(since === undefined ? {} : { since }),
  };
  const names = Array.from({ length: cubes }, (_, i) => (i === 0 ? name : `${name}${i}`));
  const links = [link(`${name}.head`, [outer, at(name, 'outside')], { splice }, ns, name)];
  for (const [i, one] of names.entries()) {
    const behind = names[i + 1] === undefined ? next : at(names[i + 1] as string, 'outside');
    links.push(link(`${name}.${i}`, [at(one, 'inside'), behind], {}, ns, name));
  }
  return [names.map((one) => cube(one, 'Tap', ns, name)), links];
}

/** Two plain cubes in a row between the pods and eth0. */
const line: [CubeObject[], LinkObject[]] = [
  [cube('a', 'Plain'), cube('b', 'Plain')],
  [
    link('pods', [pods, at('a', 'pods')]),
    link('ab', [at('a', 'up'), at('b', 'down')]),
    link('up', [at('b', 'up'), eth('eth0')]),
  ],
];

function graphOf(...parts: [CubeObject[], LinkObject[]][]): Graph {
  return resolveGraph({
    ...base,
    cubes: parts.flatMap(([cubes]) => cubes),
    links: parts.flatMap(([, links]) => links),
  });
}

const text = (end: WireEnd) => (end.type === 'Host' ? 'Host' : endText(end));
const wires = (graph: Graph) => graph.wires.map(({ ends: [a, b] }) => `${text(a)} - ${text(b)}`).sort();

/** The way of a packet from an end on, through what is spliced in. */
function way(graph: Graph, start: string): string[] {
  const found: string[] = [];
  for (let here: string | undefined = start; here !== undefined; ) {
    const wire = graph.wires.find(({ ends }) => ends.some((end) => text(end) === here));
    const far: WireEnd | undefined = wire?.ends.find((end) => text(end) !== here);
    if (far === undefined) return found;
    found.push(text(far));
    const isTap = far.type === 'Cube' && graph.cubes.get(far.cube)?.type.type === 'Tap';
    here = isTap ? text({ ...far, port: far.port === 'outside' ? 'inside' : 'outside' }) : undefined;
  }
  return found;
}

describe('a chain into a link', () => {
  test('stands between its first end and its second', () => {
    expect(wires(graphOf(line))).toEqual(['Pods - a/pods', 'a/up - b/down', 'b/up - Interface eth0']);
    const graph = graphOf(line, chain('t', 'ab', { cubes: 2 }));
    expect(graph.findings.size).toBe(0);
    expect(wires(graph)).toEqual([
      'Pods - a/pods',
      'a/up - t/outside',
      'b/up - Interface eth0',
      't/inside - t1/outside',
      't1/inside - b/down',
    ]);
    expect(graph.through.get('ns/ab')).toEqual(['t', 't1']);
  });

  test('changes no program of a cube that was there, and two edges', () => {
    const node = { name: NODE, gatewayMac: GATEWAY_MAC, overlayVni: 1, addresses: [], redirectPeer: true };
    const all = [
      line,
      chain('x', 'ab', { cubes: 2, priority: 600 }),
      chain('y', 'ab'),
      chain('z', eth('eth0')),
    ] as const;
    const plansOf = (graph: Graph) =>
      new Map([...graph.cubes].map(([key, one]) => [key, planInstance(one, node, 'hash')]));
    const edgesOf = (graph: Graph) => {
      const plans = plansOf(graph);
      const state = desiredState(
        {
          graph,
          node,
          observed: EMPTY_KERNEL,
          interfaces: base.interfaces,
          hostAddresses: [],
          pods: [],
          newDevices: new Set(),
          sources: {
            rows: new Map(),
            nodes: new Map(),
            lengthsV4: [],
            lengthsV6: [],
            hasIPv6Remote: false,
            problems: [],
          },
          objectHashes: new Map(),
        },
        plans,
      );
      return { plans, edges: state.edges };
    };
    const before = edgesOf(graphOf(...all.slice(0, 1)));
    for (let count = 2; count <= all.length; count++) {
      const { plans, edges } = edgesOf(graphOf(...all.slice(0, count)));
      for (const [key, { hash }] of before.plans) expect([key, plans.get(key)?.hash]).toEqual([key, hash]);
      const kept = [...before.edges].filter(([index, word]) => edges.get(index) === word);
      expect(before.edges.size - kept.length).toBe(count === 4 ? 4 : 2);
    }
    // And a chain does not depend on those that stand beside it.
    const alone = plansOf(graphOf(line, chain('y', 'ab'))).get('ns/y')?.hash;
    expect(plansOf(graphOf(...all)).get('ns/y')?.hash).toBe(alone);
  });

  test('is ordered by priority, then age, then name', () => {
    const graph = graphOf(
      line,
      chain('young', 'ab', { since: '2026-03-01T00:00:00Z' }),
      chain('last', 'ab', { priority: 1 }),
      chain('old', 'ab', { since: '2026-02-01T00:00:00Z' }),
      chain('ns2', 'ab', { since: '2026-03-01T00:00:00Z' }),
      chain('first', 'ab', { priority: 1000, since: '2026-10-01T00:00:00Z' }),
    );
    expect(graph.through.get('ns/ab')).toEqual(['first', 'old', 'ns2', 'young', 'last']);
  });

  test('may be turned round, and by its ports in and out', () => {
    const [cubes] = chain('t', 'ab');
    const head = link('t.head', [next, at('t', 'inside')], { splice: { link: 'ab', priority: 500 } });
    const graph = graphOf(line, [cubes, [head, link('t.0', [at('t', 'outside'), next])]]);
    expect(way(graph, 'a/up')).toEqual(['t/inside', 'b/down']);
    expect(wires(graph)).toContain('t/outside - b/down');
    const named = link('t.head', [next, at('t', 'in')], { splice: { link: 'ab', priority: 500 } });
    expect(way(graphOf(line, [cubes, [named, link('t.0', [at('t', 'out'), next])]]), 'a/up')).toEqual([
      't/outside',
      'b/down',
    ]);
  });

  test('may go into a link inside of another chain', () => {
    const graph = graphOf(line, chain('x', 'ab', { cubes: 2 }), chain('y', 'x.0'));
    expect(way(graph, 'a/up')).toEqual(['x/outside', 'y/outside', 'x1/outside', 'b/down']);
  });
});

describe('a chain next to an endpoint', () => {
  test.each([
    ['at the second end', line, 'b/up'],
    [
      'at the first end',
      [line[0], [...line[1].slice(0, 2), link('up', [eth('eth0'), at('b', 'up')])]],
      'b/up',
    ],
  ] as [string, [CubeObject[], LinkObject[]], string][])(
    'has its highest priority at the interface: %s',
    (_, own) => {
      const graph = graphOf(
        own,
        chain('x', eth('$(node.uplink)'), { priority: 900 }),
        chain('y', eth('eth0')),
        chain('m', 'up'),
      );
      expect(way(graph, 'Interface eth0')).toEqual([
        'x/outside',
        'y/outside',
        expect.stringContaining('m/'),
        'b/up',
      ]);
      const names = graph.through.get('ns/up');
      expect(names).toEqual(own === line ? ['m', 'y', 'x'] : ['x', 'y', 'm']);
    },
  );

  test('that no Terminating chain owns has the host behind it', () => {
    const graph = graphOf(
      line,
      chain('x', eth('eth1'), { cubes: 2 }),
      chain('y', eth('eth1'), { priority: 900 }),
    );
    expect(way(graph, 'Interface eth1')).toEqual(['y/outside', 'x/outside', 'x1/outside', 'Host']);
    // Two chains at one place do not claim it, and neither does the one that owns it later.
    expect(graph.findings.size).toBe(0);
    const owned = graphOf(line, chain('x', eth('eth1')), [
      [cube('c', 'Plain')],
      [link('late', [eth('eth1'), at('c', 'p')])],
    ]);
    expect(way(owned, 'Interface eth1')).toEqual(['x/outside', 'c/p']);
  });

  test('leaves by the interface as the cube behind it does', () => {
    const bridged = graphOf(
      [[cube('br', 'Bridge')], [link('up', [at('br', 'p'), eth('eth0')])]],
      chain('x', eth('eth0')),
    );
    const layers = (graph: Graph) => [...new Set(graph.wires.map(({ layer }) => layer))];
    expect(layers(bridged)).toEqual([2]);
    expect(
      layers(
        graphOf([[cube('b', 'Plain')], [link('up', [at('b', 'p'), eth('eth0')])]], chain('x', eth('eth0'))),
      ),
    ).toEqual([3]);
  });
});

describe('a cube that is not programmed', () => {
  const gone = (policy?: 'Open' | 'Closed', place: string | object = 'ab') => {
    const [cubes, links] = chain('t', place, { cubes: 2, ...(policy && { policy }) });
    return graphOf(line, [cubes.slice(0, 1), links]);
  };

  test.each([
    ['Closed', undefined],
    ['Closed', 'Closed'],
  ] as const)('cuts the link: %s', (_, policy) => {
    const graph = gone(policy);
    expect(wires(graph)).toContain('a/up - t1, which is not programmed');
    expect(wires(graph)).toContain('t1, which is not programmed - b/down');
    expect(graph.through.size).toBe(0);
  });

  test('is left out with its chain, when that is Open, and at an interface', () => {
    for (const graph of [gone('Open'), gone(undefined, eth('eth0'))]) {
      expect(way(graph, 'a/up')).toEqual(['b/down']);
      expect(way(graph, 'Interface eth0')).toEqual(['b/up']);
    }
    expect(wires(gone('Closed', eth('eth0')))).toContain('b/up - t1, which is not programmed');
  });

  test('that the kernel refuses cuts or leaves, where the chain has no earlier revision', () => {
    for (const policy of ['Open', 'Closed'] as const) {
      const [cubes, links] = chain('t', 'ab', { policy });
      const refused = new Map([
        ['ns/t', { uid: 'uid-ns-t', generation: 1, reason: 'ProgramRefused', message: 'it is refused' }],
      ]);
      const members = [
        ...cubes.map((one) => ({ kind: 'Cube' as const, name: one.metadata.name, hash: specHash(one) })),
        ...links.map((one) => ({ kind: 'CubeLink' as const, name: one.metadata.name, hash: specHash(one) })),
      ];
      const cubeNode = {
        metadata: { name: NODE, uid: 'n', generation: 1 },
        spec: { chains: [{ namespace: 'ns', name: 't', revision: 'r1', members }] },
      };
      const keyed = <T extends CubeObject | LinkObject>(list: T[]) =>
        new Map(list.map((one) => [`ns/${one.metadata.name}`, one]));
      let before: EffectiveSet = NOTHING;
      // Twice: what comes into force in the first round is the same in the next.
      for (let round = 0; round < 2; round++) {
        const objects = {
          cubes: keyed([...line[0], ...cubes]),
          links: keyed([...line[1], ...links]),
          cubeNode,
        };
        const { graph, set, held } = accept(advance(objects, before).set, before, { ...base, refused });
        expect(held.size).toBe(0);
        expect(way(graph, 'a/up')).toEqual([policy === 'Open' ? 'b/down' : 't, which is not programmed']);
        before = set;
      }
    }
  });
});

describe('what stands against a chain', () => {
  const cases: [string, [CubeObject[], LinkObject[]][], string, string, string, string][] = [
    [
      'its link is not there',
      [chain('t', 'nowhere')],
      't.head',
      'ResolvedRefs',
      'LinkNotFound',
      'no CubeLink ns/nowhere',
    ],
    [
      'nothing is next',
      [chain('t', { type: 'Stack' })],
      't.head',
      'ResolvedRefs',
      'NothingNext',
      'ends at Stack',
    ],
    [
      'its type',
      [[[cube('p', 'Plain')], [link('h', [next, at('p', 'x')], { splice: { link: 'ab' } })]]],
      'h',
      'Accepted',
      'NotSpliceable',
      'Cube ns/p is a Plain',
    ],
    [
      'it has no Next',
      [[[cube('t')], [link('h', [next, at('t', 'outside')], { splice: { link: 'ab' } })]]],
      'h',
      'Accepted',
      'NotAPath',
      'port inside of Cube ns/t is not linked',
    ],
    [
      'it ends elsewhere',
      [
        [
          [cube('t')],
          [
            link('h', [next, at('t', 'outside')], { splice: { link: 'ab' } }),
            link('e', [at('t', 'inside'), eth('eth1')]),
          ],
        ],
      ],
      'h',
      'Accepted',
      'NotAPath',
      'does not lead on',
    ],
    [
      'it has two heads',
      [
        [
          [cube('t')],
          [
            link('h', [next, at('t', 'outside')], { splice: { link: 'ab' } }),
            link('i', [next, at('t', 'inside')], { splice: { link: 'ab' } }),
          ],
        ],
      ],
      'i',
      'Accepted',
      'NotAPath',
      'does not lead on',
    ],
    [
      'it has no head',
      [[[cube('t')], [link('e', [at('t', 'inside'), next])]]],
      'e',
      'Accepted',
      'NotAPath',
      'to which no link with splice leads',
    ],
    [
      'it has another port',
      [[[cube('t')], [link('h', [next, at('t', 'third')], { splice: { link: 'ab' } })]]],
      'h',
      'Accepted',
      'NotAPath',
      'use its ports outside and inside',
    ],
    [
      'it comes back',
      [
        [
          [cube('t'), cube('u')],
          [
            link('h', [next, at('t', 'outside')], { splice: { link: 'ab' } }),
            link('e', [at('t', 'inside'), at('u', 'outside')]),
            link('f', [at('u', 'inside'), at('t', 'third')]),
          ],
        ],
      ],
      'h',
      'Accepted',
      'LinkCycle',
      'it comes back to Cube ns/t',
    ],
    [
      'it goes to the head of another',
      [chain('x', 'ab'), chain('t', 'x.head')],
      't.head',
      'Accepted',
      'NotSpliceable',
      'is an end of a Transparent chain',
    ],
    [
      'it goes into itself',
      [chain('t', 't.0', { cubes: 2 })],
      't.head',
      'Accepted',
      'LinkCycle',
      'go into links of each other',
    ],
    [
      'two go into each other',
      [chain('x', 't.0', { cubes: 2 }), chain('t', 'x.0', { cubes: 2 })],
      't.head',
      'Accepted',
      'LinkCycle',
      'ns/t.head, ns/x.head',
    ],
    [
      'another namespace',
      [chain('t', 'ab', { ns: 'tenant', from: 'ns' })],
      'tenant/t.head',
      'ResolvedRefs',
      'RefNotPermitted',
      'add tenant to spliceFrom',
    ],
    [
      'an interface of another namespace',
      [chain('t', eth('eth0'), { ns: 'tenant' })],
      'tenant/t.head',
      'ResolvedRefs',
      'RefNotPermitted',
      'add tenant to spliceFrom',
    ],
    [
      'its port is taken',
      [chain('t', 'ab'), [[], [link('z', [eth('eth1'), at('t', 'inside')])]]],
      'z',
      'Accepted',
      'PortLinkedTwice',
      'link another port',
    ],
    [
      'a second Terminating chain',
      [[[cube('c', 'Plain')], [link('z', [eth('eth0'), at('c', 'p')])]]],
      'z',
      'Accepted',
      'InterfaceTaken',
      'only one terminating chain',
    ],
  ];
  test.each(cases)('%s', (_, parts, name, condition, reason, message) => {
    const graph = graphOf(line, ...parts);
    const key = name.includes('/') ? name : `ns/${name}`;
    const [finding] = graph.findings.get(`CubeLink ${key}`) ?? [];
    expect(finding).toMatchObject({ condition, reason });
    expect(finding?.message).toContain(message);
    expect(graph.links.has(key)).toBe(condition !== 'Accepted');
    // The others are as they were, and a link that is not accepted gives no cube a port.
    if (condition === 'Accepted') expect(graph.cubes.get('ns/p')?.input.ports ?? []).toEqual([]);
    expect(way(graph, 'Interface eth0')).toEqual(['b/up']);
    expect(wires(graph)).toEqual(expect.arrayContaining(['Pods - a/pods']));
  });

  test('nothing, when the other namespace lets it in', () => {
    const [cubes, links] = line;
    const open = links.map((one) => ({ ...one, spec: { ...one.spec, spliceFrom: ['tenant'] } }));
    const graph = graphOf(
      [cubes, open],
      chain('t', 'ab', { ns: 'tenant', from: 'ns' }),
      chain('u', eth('eth0'), { ns: 'tenant' }),
    );
    expect(graph.findings.size).toBe(0);
    expect(way(graph, 'a/up')).toEqual(['t/outside', 'b/down']);
    expect(way(graph, 'Interface eth0')).toEqual(['u/outside', 'b/up']);
  });
});

test('status tells order and neighbours', () => {
  const [cubes, links] = chain('t', 'ab');
  const graph = graphOf(line, [cubes, links], chain('u', 'ab', { priority: 900 }));
  const verdict = { findings: [], programmed: 1, waiting: undefined, failure: undefined };
  const ports = (one: CubeObject) =>
    cubeStatus(one, verdict, graph, { tag: undefined, mode: undefined }, undefined, NOW).ports;
  expect(ports(cubes[0] as CubeObject)).toEqual([
    { name: 'inside', peer: 'b/down', state: 'Up' },
    { name: 'outside', peer: 'u/inside', state: 'Up' },
  ]);
  expect(ports(line[0][0] as CubeObject)).toEqual([
    { name: 'pods', peer: 'Pods', state: 'Up' },
    { name: 'up', peer: 'u/outside', state: 'Up' },
  ]);
  const status = (one: LinkObject) => linkStatus(one, verdict, graph, new Map(), undefined, NOW);
  expect(status(line[1][1] as LinkObject)).toMatchObject({
    through: ['u', 't'],
    endpoints: [{ peer: 'a/up' }, { peer: 'b/down' }],
  });
  expect(status(links[0] as LinkObject).endpoints).toEqual([
    { type: 'Next', peer: 'u/inside', state: 'Up' },
    { type: 'Cube', peer: 't/outside', state: 'Up' },
  ]);
  const left = graphOf(line, [[], links], [[cube('v')], []]);
  expect(
    linkStatus(links[0] as LinkObject, verdict, left, new Map(), undefined, NOW).endpoints,
  ).toMatchObject([
    { type: 'Next', peer: 'Next', state: 'Down' },
    { type: 'Cube', state: 'Down' },
  ]);
});

test('edges that pass and cut are written as such', () => {
  expect(edgeText(edgeWord(EdgeKind.Pass, 0))).toBe('pass');
  expect(edgeText(edgeWord(EdgeKind.Cut, 0))).toBe('cut');
});

test('whatever chains come together, a packet meets them in order, and back in the other', () => {
  const one = fc.record({
    place: fc.constantFrom<string | object>('ab', 'up', 'pods', eth('eth0'), eth('eth1'), pods),
    priority: fc.integer({ min: 0, max: 3 }),
    day: fc.integer({ min: 1, max: 3 }),
    cubes: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 12 }), fc.infiniteStream(fc.nat()), (list, order) => {
      const chains = list.map(({ place, priority, day, cubes }, i) =>
        chain(`c${String(i).padStart(2, '0')}x`, place, {
          priority,
          cubes,
          since: `2026-01-0${day}T00:00:00Z`,
        }),
      );
      const ranked = list
        .map((entry, i) => ({ ...entry, i }))
        .sort((x, y) => y.priority - x.priority || x.day - y.day || x.i - y.i);
      const cubesAt = (place: string | object) =>
        ranked
          .filter((entry) => JSON.stringify(entry.place) === JSON.stringify(place))
          .flatMap(({ i }) => chains[i]?.[0].map(({ metadata }) => metadata.name) ?? []);
      const shuffled = chains
        .map((entry) => [order.next().value, entry] as const)
        .sort(([x], [y]) => x - y)
        .map(([, entry]) => entry);
      const graph = graphOf(line, ...shuffled);
      expect(graph.findings.size).toBe(0);
      const names = (from: string) => way(graph, from).map((end) => end.split('/')[0]);
      expect(names('a/up')).toEqual([...cubesAt('ab'), 'b']);
      expect(names('b/down')).toEqual([...cubesAt('ab').reverse(), 'a']);
      expect(names('Pods')).toEqual([...cubesAt(pods), ...cubesAt('pods'), 'a']);
      expect(names('b/up')).toEqual([...cubesAt('up'), ...cubesAt(eth('eth0')).reverse(), 'Interface eth0']);
      expect(names('Interface eth0')).toEqual([...cubesAt(eth('eth0')), ...cubesAt('up').reverse(), 'b']);
      expect(names('Interface eth1')).toEqual(
        cubesAt(eth('eth1')).length > 0 ? [...cubesAt(eth('eth1')), 'Host'] : [],
      );
      // Every port has one neighbour.
      const ports = graph.wires.flatMap(({ ends }) => ends.map(text)).filter((end) => end !== 'Host');
      expect(new Set(ports).size).toBe(ports.length);
    }),
    { numRuns: 300 },
  );
});
