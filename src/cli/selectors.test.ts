// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { infoOfKind, type KindInfo } from './kinds.ts';
import { fieldPredicate, labelPredicate } from './selectors.ts';

test.each([
  ['app=web', true],
  ['app==web,tier=front', true],
  ['app!=web', false],
  ['missing!=x', true],
  ['app in (db, web)', true],
  ['app notin (db, web),tier=front', false],
  ['missing notin (a)', true],
  ['app,!missing', true],
  ['!app', false],
])('%s', (selector, expected) => {
  expect(labelPredicate(selector)({ app: 'web', tier: 'front' })).toBe(expected);
});

test.each(['app=(a)', 'a b', 'app in a'])('%s cannot be read', (selector) => {
  expect(() => labelPredicate(selector)).toThrow('label selector');
});

test('fields', () => {
  const cube = { metadata: { name: 'r' }, spec: { nodeName: 'a', type: 'Router' } };
  const info = infoOfKind('Cube') as KindInfo;
  expect(fieldPredicate(info, 'spec.nodeName=a,spec.type!=LoadBalancer')(cube)).toBe(true);
  expect(fieldPredicate(info, 'metadata.name=x')(cube)).toBe(false);
  expect(() => fieldPredicate(info, 'spec.hook=TC')).toThrow('spec.hook=TC');
});
