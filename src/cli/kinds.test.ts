// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { cubeKind } from '../api/schemas/cube.ts';
import { cubeLink } from '../api/schemas/cube-link.ts';
import { cubeNode } from '../api/schemas/cube-node.ts';
import { cubeTable } from '../api/schemas/cube-table.ts';
import { serviceChainKind } from '../api/schemas/service-chain.ts';
import { infoOfKind, kindsOf, qualifiedName } from './kinds.ts';

test.each([cubeKind([]), cubeLink, cubeNode, cubeTable, serviceChainKind([])])(
  '$kind is as its schema says',
  (schema) => {
    const { plural, singular, shortNames, selectableFields, scope } = schema;
    const namespaced = scope === 'Namespaced';
    expect(infoOfKind(schema.kind)).toMatchObject({
      plural,
      singular,
      shortNames,
      selectableFields,
      namespaced,
    });
  },
);

test.each([
  ['cb', ['Cube']],
  ['Cubes', ['Cube']],
  ['cube.cubeplane.io', ['Cube']],
  ['cubes.v1alpha1.cubeplane.io', ['Cube']],
  ['svc', ['Service']],
  ['cubeplane', ['ServiceChain', 'Cube', 'CubeLink', 'CubeTable', 'CubeNode']],
  ['pods', []],
])('%s means %j', (word, kinds) => {
  expect(kindsOf(word).map((info) => info.kind)).toEqual(kinds);
});

test('qualified names', () => {
  const [cube] = kindsOf('cube');
  const [service] = kindsOf('service');
  expect(cube && qualifiedName(cube, 'a')).toBe('cube.cubeplane.io/a');
  expect(service && qualifiedName(service, 'a')).toBe('service/a');
});
