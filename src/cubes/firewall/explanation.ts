// SPDX-License-Identifier: Apache-2.0
/** What a rule that decided is to people and programs. Pure. */
import type { Explanation } from '../cube-type.ts';
import { Action, type RuleMeaning } from './rule-meaning.ts';

const NAMES: Readonly<Record<number, Explanation['action']>> = {
  [Action.Drop]: 'Drop',
  [Action.Reject]: 'Reject',
  [Action.Audit]: 'Audit',
};

/** `isolators`: policies that isolate the pod, where the rule drops what none of them allows. */
export function explanationOf(
  { title, action, origin }: Pick<RuleMeaning, 'title' | 'action' | 'origin'>,
  isolators: readonly string[],
): Explanation {
  const base = { action: NAMES[action] ?? 'Allow' };
  if (isolators.length === 0) return { ...base, text: title, origin };
  const mode = action === Action.Audit ? ', in audit mode' : '';
  const text = `default deny of NetworkPolicy ${isolators.join(', ')}${mode}`;
  return { ...base, text, origin: { ...origin, defaultDenyOf: isolators } };
}
