// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { fillTemplate, valuesAt } from './json-path.ts';

const CUBE = {
  metadata: { name: 'r', labels: { 'cubeplane.io/chain': 'net' } },
  spec: { endpoints: [{ type: 'Pods' }, { type: 'Cube' }] },
  status: {
    conditions: [
      { type: 'Accepted', status: 'True' },
      { type: 'Ready', status: 'False' },
    ],
  },
};

test.each([
  ['.metadata.name', ['r']],
  ['metadata.name', ['r']],
  [".status.conditions[?(@.type=='Ready')].status", ['False']],
  ['.spec.endpoints[1].type', ['Cube']],
  ['.spec.endpoints[*].type', ['Pods', 'Cube']],
  ["['metadata']['labels']['cubeplane.io/chain']", ['net']],
  ['.metadata.labels.cubeplane\\.io/chain', ['net']],
  ['.status.none[0].x', []],
])('%s', (path, expected) => {
  expect(valuesAt(CUBE, path)).toEqual(expected);
});

test('a path that cannot be read is an error', () => {
  expect(() => valuesAt(CUBE, '.a[?(@.b>1)]')).toThrow('[?(@.b>1)]');
});

test('templates', () => {
  expect(fillTemplate('{.metadata.name}: {.spec.endpoints[*].type}{"\\n"}', CUBE)).toBe('r: Pods Cube\n');
  expect(fillTemplate('{.metadata.labels}', CUBE)).toBe('{"cubeplane.io/chain":"net"}');
});
