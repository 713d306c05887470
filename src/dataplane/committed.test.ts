// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { LABELS } from '../api/group.ts';
import { specHash } from '../api/hash.ts';
import type { CubeType } from '../cubes/cube-type.ts';
import { accept, advance, type EffectiveSet, fromSaved, NOTHING, toSaved } from './committed.ts';
import type { GraphInput } from './graph.ts';
import type { CubeNodeObject, CubeObject, LinkObject } from './objects.ts';

const NODE = 'node-a';

const plain: CubeType = {
  type: 'Plain',
  member: 'plain',
  object: 'plain',
  program: 'plain',
  layer: 3,
  fixedPorts: { server: 0 },
  firstNamedPort: 1,
  tableTypes: ['Route'],
  maps: {},
  check: ({ spec }) =>
    (spec as { bad?: boolean }).bad
      ? [{ reason: 'AddressConflict', message: 'it is bad', field: 'spec.plain.bad' }]
      : [],
  instance: () => ({ rodata: {}, sizes: {}, config: null }),
  image: () => {
    throw new Error('no image is made here');
  },
};

const input: Omit<GraphInput, 'cubes' | 'links'> = {
  nodeName: NODE,
  types: new Map([['Plain', plain]]),
  interfaces: new Map([['eth0', { name: 'eth0', ifindex: 2, mtu: 1500, mac: '', up: true }]]),
  uplink: 'eth0',
  overlayMtu: 1450,
};

interface Options {
  chain?: string;
  generation?: number;
  created?: string;
  spec?: object;
}

function meta(name: string, { chain, generation = 1, created = '2026-01-01T00:00:00Z' }: Options) {
  const labels = chain === undefined ? {} : { labels: { [LABELS.chain]: chain } };
  return { namespace: 'ns', name, uid: `uid-${name}`, generation, creationTimestamp: created, ...labels };
}

function cube(name: string, options: Options = {}): CubeObject {
  return {
    metadata: meta(name, options),
    spec: { nodeName: NODE, type: 'Plain', hook: 'TC', plain: {}, ...options.spec } as CubeObject['spec'],
  };
}

function link(name: string, ends: object[], options: Options = {}): LinkObject {
  return {
    metadata: meta(name, options),
    spec: { nodeName: NODE, endpoints: ends as never, ...options.spec },
  };
}

const at = (name: string, port: string) => ({ type: 'Cube', cube: { name, port } });
const keyed = <T extends CubeObject | LinkObject>(...objects: T[]) =>
  new Map(objects.map((object) => [`ns/${object.metadata.name}`, object]));

function node(
  ...chains: { name: string; revision: string; cubes?: CubeObject[]; links?: LinkObject[] }[]
): CubeNodeObject {
  const member = (kind: 'Cube' | 'CubeLink') => (object: CubeObject | LinkObject) => ({
    kind,
    name: object.metadata.name,
    hash: specHash(object),
  });
  return {
    metadata: { name: NODE, uid: 'n', generation: 1 },
    spec: {
      chains: chains.map(({ name, revision, cubes = [], links = [] }) => ({
        namespace: 'ns',
        name,
        revision,
        members: [...cubes.map(member('Cube')), ...links.map(member('CubeLink'))],
      })),
    },
  };
}

/** Both steps, as the agent does them. */
function round(before: EffectiveSet, cubes: CubeObject[], links: LinkObject[], cubeNode?: CubeNodeObject) {
  const { set, waiting } = advance({ cubes: keyed(...cubes), links: keyed(...links), cubeNode }, before);
  return { waiting, ...accept(set, before, input) };
}

describe('a chain on a node', () => {
  const chain = 'c';
  const first = cube('one', { chain });
  const second = cube('two', { chain });
  const wire = link('wire', [at('one', 'server'), at('two', 'server')], { chain });
  const out = link('out', [at('one', 'x'), { type: 'Interface', interface: { name: 'eth0' } }], { chain });
  const record = { name: chain, revision: 'r1', cubes: [first, second], links: [wire, out] };

  test('comes into force when its last member has arrived, and not before', () => {
    const members: [CubeObject[], LinkObject[]][] = [
      [[], []],
      [[first], []],
      [[first, second], [wire]],
    ];
    for (const [cubes, links] of members) {
      const { set, waiting } = round(NOTHING, cubes, links, node(record));
      expect([set.cubes.size, set.links.size]).toEqual([0, 0]);
      expect(waiting.get('ns/c')).toContain('revision r1 waits');
    }
    const { set } = round(NOTHING, [first, second], [wire, out], node(record));
    expect([...set.cubes.keys()]).toEqual(['ns/one', 'ns/two']);
    expect(set.chains.get('ns/c')).toBe('r1');
  });

  test('stays at its last revision while the next one is incomplete, also when members were overwritten', () => {
    const { set } = round(NOTHING, [first, second], [wire, out], node(record));
    const newer = cube('one', { chain, generation: 2, spec: { plain: { changed: true } } });
    const next = { name: chain, revision: 'r2', cubes: [newer, cube('three', { chain })], links: [out] };
    const during = round(set, [newer, second], [wire, out], node(next));
    expect(during.set.chains.get('ns/c')).toBe('r1');
    expect(during.set.cubes.get('ns/one')).toBe(first);
    expect(during.waiting.get('ns/c')).toBe('revision r2 waits: Cube ns/three is not there');
    const after = round(during.set, [newer, second, cube('three', { chain })], [wire, out], node(next));
    expect(after.set.chains.get('ns/c')).toBe('r2');
    expect([...after.set.cubes.keys()].sort()).toEqual(['ns/one', 'ns/three']);
  });

  test('stays as a whole when one member of the next revision is not accepted', () => {
    const { set } = round(NOTHING, [first, second], [wire, out], node(record));
    const good = cube('one', { chain, generation: 2, spec: { plain: { changed: true } } });
    const bad = cube('two', { chain, generation: 2, spec: { plain: { bad: true } } });
    const next = { ...record, revision: 'r2', cubes: [good, bad] };
    const after = round(set, [good, bad], [wire, out], node(next));
    expect(after.set.chains.get('ns/c')).toBe('r1');
    expect([after.set.cubes.get('ns/one'), after.set.cubes.get('ns/two')]).toEqual([first, second]);
    expect(after.held.get('ns/c')).toBe('Cube ns/two is not accepted');
    expect(after.findings.get('Cube ns/two')).toEqual([
      { condition: 'Accepted', reason: 'AddressConflict', message: 'spec.plain.bad: it is bad' },
    ]);
  });

  test('goes when the record no longer names it, and stays when the CubeNode is gone', () => {
    const { set } = round(NOTHING, [first, second], [wire, out], node(record));
    expect(round(set, [first, second], [wire, out], node()).set.cubes.size).toBe(0);
    const without = round(set, [], [], undefined);
    expect(without.set.cubes.size).toBe(2);
    expect(without.waiting.get('ns/c')).toContain('the CubeNode of this node is gone');
  });

  test('survives a restart in the middle of a rollout', () => {
    const { set } = round(NOTHING, [first, second], [wire, out], node(record));
    const read = fromSaved(JSON.parse(JSON.stringify(toSaved(set))));
    expect([...read.cubes.keys()]).toEqual([...set.cubes.keys()]);
    const next = { ...record, revision: 'r2', cubes: [first, second, cube('late', { chain })] };
    expect(round(read, [first, second], [wire, out], node(next)).set.chains.get('ns/c')).toBe('r1');
    expect(() => fromSaved({ version: 2 })).toThrow('not a committed set');
  });
});

describe('objects without a chain', () => {
  test('come into force by themselves, and keep their last accepted generation', () => {
    const one = cube('one');
    const { set } = round(NOTHING, [one], [], node());
    expect(set.cubes.get('ns/one')).toBe(one);
    const bad = cube('one', { generation: 2, spec: { plain: { bad: true } } });
    const after = round(set, [bad], [], node());
    expect(after.set.cubes.get('ns/one')).toBe(one);
    expect(after.findings.get('Cube ns/one')?.[0]?.reason).toBe('AddressConflict');
    const anew = { ...bad, metadata: { ...bad.metadata, uid: 'another' } };
    expect(round(set, [anew], [], node()).set.cubes.size).toBe(0);
  });

  const refusals: [string, CubeObject[], LinkObject[], string, string, string][] = [
    [
      'a cube of another node',
      [cube('one', { spec: { nodeName: 'b' } })],
      [],
      'Cube ns/one',
      'Conflict',
      'spec.nodeName is b',
    ],
    [
      'a cube of no known type',
      [cube('one', { spec: { type: 'X' } })],
      [],
      'Cube ns/one',
      'NotSupported',
      'it has Plain',
    ],
    [
      'a cube at XDP',
      [cube('one', { spec: { hook: 'XDP' } })],
      [],
      'Cube ns/one',
      'NotSupported',
      'spec.hook',
    ],
    [
      'a MAC of a port',
      [cube('one', { spec: { ports: [{ name: 'a', mac: '02:00:00:00:00:01' }] } })],
      [],
      'Cube ns/one',
      'NotSupported',
      'spec.ports[0].mac',
    ],
    [
      'tables it has no use for',
      [cube('one', { spec: { tables: [{ type: 'Rule' }] } })],
      [],
      'Cube ns/one',
      'NotSupported',
      'spec.tables[0].type',
    ],
    [
      'a link of another node',
      [],
      [link('l', [at('one', 'a'), { type: 'Pods' }], { spec: { nodeName: 'b' } })],
      'CubeLink ns/l',
      'Conflict',
      'spec.nodeName',
    ],
    [
      'Next outside a path',
      [cube('one')],
      [link('l', [at('one', 'a'), { type: 'Next' }])],
      'CubeLink ns/l',
      'NotAPath',
      'delete the link',
    ],
    [
      'a selection of pods',
      [cube('one')],
      [link('l', [at('one', 'a'), { type: 'Pods', pods: { selector: {} } }])],
      'CubeLink ns/l',
      'NotSupported',
      'spec.endpoints[1].pods.selector',
    ],
    [
      'a port that is linked already',
      [cube('one'), cube('two')],
      [
        link('l1', [at('one', 'a'), { type: 'Pods' }]),
        link('l2', [at('one', 'a'), at('two', 'a')], { created: '2026-02-01T00:00:00Z' }),
      ],
      'CubeLink ns/l2',
      'PortLinkedTwice',
      'port a of Cube ns/one is already linked by CubeLink ns/l1',
    ],
    [
      'an interface that has an owner',
      [cube('one'), cube('two')],
      [
        link('newer', [at('one', 'a'), { type: 'Interface', interface: { name: 'eth0' } }], {
          created: '2026-02-01T00:00:00Z',
        }),
        link('older', [at('two', 'a'), { type: 'Interface', interface: { name: '$(node.uplink)' } }]),
      ],
      'CubeLink ns/newer',
      'InterfaceTaken',
      'interface eth0 is already linked by CubeLink ns/older',
    ],
    [
      'the pods for a second chain',
      [cube('one'), cube('two')],
      [link('l1', [at('one', 'a'), { type: 'Pods' }]), link('l2', [at('two', 'a'), { type: 'Pods' }])],
      'CubeLink ns/l2',
      'EndpointTaken',
      'the Pods endpoint of the node is already linked',
    ],
    [
      'a ring that nothing enters',
      [cube('one'), cube('two')],
      [link('l1', [at('one', 'a'), at('two', 'a')]), link('l2', [at('one', 'b'), at('two', 'b')])],
      'CubeLink ns/l1',
      'LinkCycle',
      'the cubes ns/one, ns/two are linked in a ring',
    ],
  ];

  test.each(refusals)('are refused: %s', (_, cubes, links, ref, reason, message) => {
    const { findings, graph } = round(NOTHING, cubes, links, node());
    const [finding] = findings.get(ref) ?? [];
    expect(finding).toMatchObject({ condition: 'Accepted', reason });
    expect(finding?.message).toContain(message);
    const key = ref.split(' ')[1] ?? '';
    expect(graph.cubes.has(key) || graph.links.has(key)).toBe(false);
  });

  test('of a new cube stay linked but unresolved while an interface is missing', () => {
    const end = { type: 'Interface', interface: { name: 'eth9' } };
    const { findings, graph } = round(NOTHING, [cube('one')], [link('l', [at('one', 'a'), end])], node());
    expect(findings.get('CubeLink ns/l')).toEqual([
      expect.objectContaining({ condition: 'ResolvedRefs', reason: 'InterfaceNotFound' }),
    ]);
    expect(graph.links.has('ns/l')).toBe(true);
  });

  const missing: [string, object[], string][] = [
    ['a cube', [at('absent', 'a'), { type: 'Interface', interface: { name: 'eth0' } }], 'CubeNotFound'],
    [
      'an interface',
      [at('one', 'b'), { type: 'Interface', interface: { name: 'eth9' } }],
      'InterfaceNotFound',
    ],
  ];

  test.each(missing)('to what is in force stay out while %s is missing', (_, ends, reason) => {
    const one = cube('one');
    const { set } = round(NOTHING, [one], [], node());
    const { findings, graph } = round(set, [one], [link('l', ends)], node());
    expect(findings.get('CubeLink ns/l')).toEqual([
      expect.objectContaining({ condition: 'ResolvedRefs', reason }),
    ]);
    expect(graph.links.size).toBe(0);
    expect([...graph.cubes.keys()]).toEqual(['ns/one']);
  });

  test('a link that a cube in force cannot have is refused, not the cube', () => {
    const tight: CubeType = {
      ...plain,
      check: ({ ports }) =>
        ports.length > 2 ? [{ reason: 'TooManyPorts', message: 'it has room for one port' }] : [],
    };
    const types = { ...input, types: new Map([['Plain', tight]]) };
    const one = cube('one', { chain: 'c' });
    const first = link('first', [at('one', 'a'), { type: 'Pods' }], { chain: 'c' });
    const second = link('second', [at('one', 'b'), { type: 'Stack' }]);
    const cubeNode = node({ name: 'c', revision: 'r1', cubes: [one], links: [first] });
    const decide = (before: EffectiveSet, links: LinkObject[]) =>
      accept(advance({ cubes: keyed(one), links: keyed(...links), cubeNode }, before).set, before, types);
    const { set } = decide(NOTHING, [first]);
    const { findings, graph, set: after } = decide(set, [first, second]);
    expect(findings.get('Cube ns/one')).toBeUndefined();
    expect(findings.get('CubeLink ns/second')).toEqual([
      expect.objectContaining({ condition: 'Accepted', reason: 'TooManyPorts' }),
    ]);
    expect(findings.get('CubeLink ns/second')?.[0]?.message).toContain('it has room for one port');
    expect([...graph.cubes.keys()]).toEqual(['ns/one']);
    expect([...after.links.keys()]).toEqual(['ns/first']);
  });

  test('a new cube that its links make impossible is not in force without them either, round after round', () => {
    const lonely: CubeType = {
      ...plain,
      check: ({ ports }) =>
        ports.length > 1 ? [{ reason: 'TooManyPorts', message: 'it can have no links' }] : [],
    };
    const types = { ...input, types: new Map([['Plain', lonely]]) };
    const objects = {
      cubes: keyed(cube('one'), cube('two')),
      links: keyed(link('l', [at('one', 'a'), { type: 'Pods' }])),
      cubeNode: node(),
    };
    let before = NOTHING;
    for (let round = 0; round < 3; round++) {
      const { findings, graph, set } = accept(advance(objects, before).set, before, types);
      expect(findings.get('Cube ns/one')?.[0]).toMatchObject({
        condition: 'Accepted',
        reason: 'TooManyPorts',
      });
      expect(findings.get('CubeLink ns/l')?.[0]).toMatchObject({ reason: 'CubeNotAccepted' });
      expect([...graph.cubes.keys()]).toEqual(['ns/two']);
      expect([...set.cubes.keys()]).toEqual(['ns/two']);
      before = set;
    }
  });

  test('get port numbers by name, after the fixed ports of the type', () => {
    const { graph } = round(
      NOTHING,
      [cube('one', { spec: { ports: [{ name: 'zeta', addresses: ['10.0.0.1/24'], mtu: 1400 }] } })],
      [link('l', [at('one', 'alpha'), { type: 'Interface', interface: { name: 'eth0' } }])],
      node(),
    );
    expect(graph.cubes.get('ns/one')?.input.ports).toEqual([
      { name: 'server', id: 0, addresses: [] },
      { name: 'alpha', id: 1, addresses: [], mtu: 1500, endpoint: 'Interface' },
      { name: 'zeta', id: 2, addresses: ['10.0.0.1/24'], mtu: 1400 },
    ]);
  });
});
