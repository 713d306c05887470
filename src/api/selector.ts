// SPDX-License-Identifier: Apache-2.0
import type { LabelSelector } from './generated/types.ts';

/** Whether labels match a metav1.LabelSelector; an absent or empty one matches everything. */
export function matches(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    if (labelOf(labels, key) !== value) return false;
  }
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    const value = labelOf(labels, key);
    const holds = {
      In: value !== undefined && values.includes(value),
      // As in Kubernetes, an absent label is not in any set.
      NotIn: value === undefined || !values.includes(value),
      Exists: value !== undefined,
      DoesNotExist: value === undefined,
    }[operator];
    if (!holds) return false;
  }
  return true;
}

/** Only what the object itself holds: `constructor` is a name that a label may have. */
function labelOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
