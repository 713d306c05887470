// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from '@jest/globals';
import type { Condition } from '../api/generated/types.ts';
import { AgentLiveness, unreachable } from './lease.ts';

describe('liveness of agents', () => {
  it('counts from the last change seen here, not from the time in the Lease', () => {
    const liveness = new AgentLiveness(40_000);
    liveness.observe('a', 'r1', 1_000);
    liveness.observe('a', 'r1', 30_000);
    expect(liveness.leftMs('a', 40_999)).toBe(1);
    expect(liveness.leftMs('a', 41_000)).toBe(0);
    liveness.observe('a', 'r2', 50_000);
    expect(liveness.leftMs('a', 50_000)).toBe(40_000);
  });

  it('gives a node without Lease the same time from when it is first asked for', () => {
    const liveness = new AgentLiveness(40_000);
    expect(liveness.leftMs('a', 5_000)).toBe(40_000);
    expect(liveness.leftMs('a', 45_000)).toBe(0);
    liveness.forget('a');
    expect(liveness.leftMs('a', 46_000)).toBe(40_000);
  });
});

describe('what a dead agent said', () => {
  const condition = (type: string, status: Condition['status']): Condition => ({
    type,
    status,
    reason: 'X',
    message: '',
    lastTransitionTime: '2026-01-01T00:00:00Z',
    observedGeneration: 4,
  });
  const now = new Date('2026-01-02T03:04:05Z');

  it('becomes Unknown in Programmed and Ready, at the generation it was about', () => {
    const conditions = [
      condition('Accepted', 'True'),
      condition('Programmed', 'True'),
      condition('Ready', 'False'),
    ];
    expect(unreachable({ generation: 5, conditions }, 'node-a', now)).toEqual(
      ['Programmed', 'Ready'].map((type) => ({
        type,
        status: 'Unknown',
        reason: 'AgentUnreachable',
        message: expect.stringContaining('node-a'),
        lastTransitionTime: '2026-01-02T03:04:05Z',
        observedGeneration: 4,
      })),
    );
  });

  it('stays as it is where it is Unknown already, or nothing was said', () => {
    const conditions = [condition('Programmed', 'Unknown'), condition('Ready', 'Unknown')];
    expect(unreachable({ generation: 5, conditions }, 'node-a', now)).toBeUndefined();
    expect(unreachable({ generation: 5, conditions: [] }, 'node-a', now)).toBeUndefined();
  });
});
