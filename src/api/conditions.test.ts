// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { findCondition, isTrue, removeCondition, setCondition } from './conditions.ts';
import type { Condition } from './generated/types.ts';

const early = new Date('2026-01-01T00:00:00.123Z');
const late = new Date('2026-01-02T00:00:00Z');
const ready = { type: 'Ready', status: 'True', reason: 'Ready', message: '' } as const;

describe('a condition', () => {
  test('is added with time and generation', () => {
    expect(setCondition([], ready, 3, early)).toEqual([
      { ...ready, lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 3 },
    ]);
  });

  test('that says the same leaves the very same array', () => {
    const first = setCondition([], ready, 3, early);
    expect(setCondition(first, ready, 3, late)).toBe(first);
  });

  test('keeps its transition time while its status stays', () => {
    const first = setCondition([], ready, 3, early);
    const [condition] = setCondition(first, { ...ready, reason: 'Other', message: 'x' }, 4, late);
    expect(condition).toMatchObject({
      reason: 'Other',
      lastTransitionTime: '2026-01-01T00:00:00Z',
      observedGeneration: 4,
    });
  });

  test('gets a new one with a new status, and keeps its place', () => {
    const first = setCondition(setCondition([], ready, 1, early), { ...ready, type: 'Accepted' }, 1, early);
    const next = setCondition(first, { ...ready, status: 'False', reason: 'PortDown' }, 1, late);
    expect(next.map(({ type }) => type)).toEqual(['Ready', 'Accepted']);
    expect(next[0]).toMatchObject({ status: 'False', lastTransitionTime: '2026-01-02T00:00:00Z' });
    expect(next[1]).toBe(first[1]);
  });

  test('is removed, and absent ones leave the array alone', () => {
    const first = setCondition([], ready, 1, early);
    expect(removeCondition(first, 'Stalled')).toBe(first);
    expect(removeCondition(first, 'Ready')).toEqual([]);
  });

  test('is true for a generation or an older one', () => {
    const conditions: readonly Condition[] = setCondition([], ready, 3, early);
    expect([
      isTrue(conditions, 'Ready'),
      isTrue(conditions, 'Ready', 3),
      isTrue(conditions, 'Ready', 4),
    ]).toEqual([true, true, false]);
    expect(isTrue(conditions, 'Accepted')).toBe(false);
    expect(findCondition(conditions, 'Ready')?.reason).toBe('Ready');
  });
});
