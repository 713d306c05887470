// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { LabelSelector } from './generated/types.ts';
import { matches } from './selector.ts';

const LABELS = { os: 'linux', zone: 'z1' };

describe('label selectors', () => {
  it.each<[string, LabelSelector | undefined, boolean]>([
    ['no selector', undefined, true],
    ['empty', {}, true],
    ['labels', { matchLabels: { os: 'linux' } }, true],
    ['other value', { matchLabels: { os: 'linux', zone: 'z2' } }, false],
    ['In', { matchExpressions: [{ key: 'zone', operator: 'In', values: ['z1', 'z2'] }] }, true],
    ['In without the label', { matchExpressions: [{ key: 'rack', operator: 'In', values: ['z1'] }] }, false],
    ['NotIn', { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['z1'] }] }, false],
    [
      'NotIn without the label',
      { matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['z1'] }] },
      true,
    ],
    ['Exists', { matchExpressions: [{ key: 'zone', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] }, false],
  ])('%s', (_, selector, wanted) => {
    expect(matches(selector, LABELS)).toBe(wanted);
  });
});

it('does not take a member of every object for a label', () => {
  expect(matches({ matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, {})).toBe(false);
});
