// SPDX-License-Identifier: Apache-2.0
/** Conditions of a status: written on transitions only, so that a status that says the same stays the same. */
import type { Condition } from './generated/types.ts';
import type { ConditionName } from './schemas/conditions.ts';

export interface NewCondition {
  type: ConditionName;
  status: Condition['status'];
  reason: string;
  message: string;
}

/**
 * The conditions with one set. `lastTransitionTime` changes only with `status`; where nothing but the generation would
 * change nothing else does. Returns the same array when nothing changes at all.
 */
export function setCondition(
  conditions: readonly Condition[],
  next: NewCondition,
  observedGeneration: number,
  now: Date,
): readonly Condition[] {
  const current = conditions.find((condition) => condition.type === next.type);
  if (
    current?.status === next.status &&
    current.reason === next.reason &&
    current.message === next.message &&
    current.observedGeneration === observedGeneration
  ) {
    return conditions;
  }
  const condition: Condition = {
    type: next.type,
    status: next.status,
    reason: next.reason,
    message: next.message,
    lastTransitionTime:
      current?.status === next.status ? current.lastTransitionTime : `${now.toISOString().slice(0, 19)}Z`,
    observedGeneration,
  };
  return current
    ? conditions.map((other) => (other === current ? condition : other))
    : [...conditions, condition];
}

/** The conditions without one; the same array when it is not there. Reconciling and Stalled are absent when untrue. */
export function removeCondition(conditions: readonly Condition[], type: ConditionName): readonly Condition[] {
  return conditions.some((condition) => condition.type === type)
    ? conditions.filter((condition) => condition.type !== type)
    : conditions;
}

export function findCondition(conditions: readonly Condition[], type: ConditionName): Condition | undefined {
  return conditions.find((condition) => condition.type === type);
}

/** True when the condition is True, and, where a generation is given, for that generation or a newer one. */
export function isTrue(conditions: readonly Condition[], type: ConditionName, generation = 0): boolean {
  const condition = findCondition(conditions, type);
  return condition?.status === 'True' && (condition.observedGeneration ?? 0) >= generation;
}
