// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import type { PathStep, ServiceChainSpec } from './generated/types.ts';
import { chainLinks, pathToLinks } from './path.ts';

const path: PathStep[] = [
  { type: 'Pods', failurePolicy: 'Open' },
  { type: 'Cube', cube: { name: 'a', in: 'pods', out: 'out' } },
  { type: 'Cube', cube: { name: 'b', in: 'in', out: 'out' } },
  { type: 'Stack' },
];

test('a path becomes one link between each two steps', () => {
  expect(pathToLinks(path)).toEqual([
    {
      name: 'path-0',
      endpoints: [
        { type: 'Pods', failurePolicy: 'Open' },
        { type: 'Cube', cube: { name: 'a', port: 'pods' } },
      ],
    },
    {
      name: 'path-1',
      endpoints: [
        { type: 'Cube', cube: { name: 'a', port: 'out' } },
        { type: 'Cube', cube: { name: 'b', port: 'in' } },
      ],
    },
    { name: 'path-2', endpoints: [{ type: 'Cube', cube: { name: 'b', port: 'out' } }, { type: 'Stack' }] },
  ]);
});

test('links win where they are given', () => {
  const links = [{ name: 'x', endpoints: [] }];
  expect(chainLinks({ links } as unknown as ServiceChainSpec)).toBe(links);
  expect(chainLinks({ path } as unknown as ServiceChainSpec)).toHaveLength(3);
});
