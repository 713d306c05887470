// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { problemText } from './problem.ts';
import { type Parts, readParts, readVersion } from './read-version.ts';

const NONE = () => undefined;
const CUBE = `apiVersion: cubeplane.io/v1alpha1
kind: Cube
metadata:
  name: r
spec:
  nodeName: a
  type: Router
  router: {}
`;

test('a good file: defaults are filled in, also the namespace', () => {
  const { objects, problems } = readVersion('r.yaml', CUBE, NONE);
  expect(problems).toEqual([]);
  expect(objects[0]).toMatchObject({
    key: 'Cube/default/r',
    file: 'r.yaml',
    line: 1,
    object: { spec: { hook: 'TC', router: { routes: [] } } },
  });
});

test.each([
  [
    'a field of ours',
    CUBE.replace('router: {}', 'router: {maxRoutes: 1}'),
    'r.yaml:8: Cube r: spec.router.maxRoutes: ',
    'OutOfRange',
  ],
  [
    'an unknown field',
    CUBE.replace('router: {}', 'router: {}\n  colour: red'),
    'r.yaml:9: Cube r: spec.colour',
    'UnknownField',
  ],
  [
    'an unknown kind',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n',
    'r.yaml:2: Deployment x: kind: ',
    'UnknownKind',
  ],
  [
    'another version of our own group',
    'apiVersion: cubeplane.io/v9\nkind: Cube\nmetadata: {name: x}\n',
    'r.yaml:1: Cube x: apiVersion: ',
    'UnknownVersion',
  ],
  [
    'a port out of range',
    'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - port: 70000\n',
    'r.yaml:6: Service web: spec.ports[0].port: ',
    'OutOfRange',
  ],
  [
    'a text where a list belongs',
    'apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {podCIDRs: 10.0.0.0/24}\n',
    'r.yaml:4: Node a: spec.podCIDRs: ',
    'WrongType',
  ],
  [
    'no name',
    'apiVersion: v1\nkind: Node\nmetadata: {}\n',
    'r.yaml:3: Node (without name): metadata.name: ',
    'NameMissing',
  ],
  ['no object', '- 1\n- 2\n', 'r.yaml:1: ', 'NotAnObject'],
  ['broken YAML', 'a: [1\n', 'r.yaml:2: ', 'Syntax'],
  ['the same object twice', `${CUBE}---\n${CUBE}`, 'r.yaml:10: Cube default/r: ', 'DuplicateObject'],
])('%s is refused with file, line, object, field and remedy', (_, text, start, reason) => {
  const { objects, problems } = readVersion('r.yaml', text, NONE);
  expect(objects).toEqual([]);
  expect(problems[0]?.reason).toBe(reason);
  expect(problems[0] && problemText(problems[0])).toContain(start);
  expect(problems[0]?.remedy).not.toBe('');
});

test('rules about changes see the version before', () => {
  const [before] = readVersion('r.yaml', CUBE, NONE).objects;
  const { problems } = readVersion('r.yaml', CUBE.replace('nodeName: a', 'nodeName: b'), (key) =>
    key === before?.key ? before.object : undefined,
  );
  expect(problems[0]).toMatchObject({ line: 6, field: 'spec.nodeName', reason: 'Immutable' });
});

const TWO = `# first\n${CUBE}---\n${CUBE.replace('name: r', 'name: s')}`;

test('in parts a file reads as it does in one piece, and documents that stay are the same objects', () => {
  const parts: Parts = new Map();
  const first = readParts('r.yaml', TWO, NONE, parts);
  expect(first).toEqual(readVersion('r.yaml', TWO, NONE));
  const changed = TWO.replace('# first\n', '# first\n# and more\n');
  const second = readParts('r.yaml', changed, NONE, parts);
  expect(second).toEqual(readVersion('r.yaml', changed, NONE));
  expect(second.objects[1]?.object).toBe(first.objects[1]?.object);
});

test('in parts, problems have the lines of the file, and the good parts are kept', () => {
  const parts: Parts = new Map();
  const first = readParts('r.yaml', TWO, NONE, parts);
  const broken = `${TWO.slice(0, -'router: {}\n'.length)}router: {mtu: 1}\n`;
  const { objects, problems } = readParts('r.yaml', broken, NONE, parts);
  expect({ objects, problems }).toEqual(readVersion('r.yaml', broken, NONE));
  expect(problems[0]).toMatchObject({ line: 18, field: 'spec.router.mtu' });
  expect(readParts('r.yaml', TWO, NONE, parts).objects[1]?.object).toBe(first.objects[1]?.object);
  expect(readParts('r.yaml', `${TWO}---\n${CUBE}`, NONE, parts).problems[0]).toMatchObject({
    line: 20,
    reason: 'DuplicateObject',
  });
});
