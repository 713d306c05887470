// SPDX-License-Identifier: Apache-2.0
/** Runs the twins of the CEL rules, and the checks of lists with keys, on an object that passed types and bounds. */

import type { Failure } from './failure.ts';
import { LISTS, RULES } from './generated/rules.js';
import type { Kind } from './group.ts';
import { RULE_LIBRARY } from './rule-library.ts';

type Step = string | number;

/**
 * Called with every value that a path leads to. `old` is the value that stood there before; undefined where there was
 * none, and inside of lists and maps. `trail` changes after the call: read it at once. Most values are good, so their
 * field is made into text by those who need it only.
 */
type Visit = (value: unknown, old: unknown, trail: readonly Step[]) => void;

function walk(value: unknown, old: unknown, path: readonly string[], trail: Step[], visit: Visit): void {
  const segment = path[trail.length];
  if (segment === undefined) {
    visit(value, old, trail);
    return;
  }
  if (value === null || typeof value !== 'object') return;
  const enter = (step: Step, child: unknown, before: unknown): void => {
    trail.push(step);
    walk(child, before, path, trail, visit);
    trail.pop();
  };
  if (segment !== '*') {
    if (!Object.hasOwn(value, segment)) return;
    const before = (old as Record<string, unknown> | undefined)?.[segment];
    enter(segment, (value as Record<string, unknown>)[segment], before);
  } else if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) enter(index, value[index], undefined);
  } else {
    for (const [key, child] of Object.entries(value)) enter(key, child, undefined);
  }
}

/** `['spec', 'ports', 0]` → `spec.ports[0]`. */
function fieldOf(trail: readonly Step[]): string {
  return trail.reduce<string>((field, step) => {
    if (typeof step === 'number') return `${field}[${step}]`;
    return field === '' ? step : `${field}.${step}`;
  }, '');
}

export function ruleFailures(kind: Kind, object: unknown, old: unknown): Failure[] {
  const failures: Failure[] = [];
  for (const rule of RULES[kind]) {
    walk(object, old, rule.path, [], (value, before, trail) => {
      // As in the API server, a rule about changes runs only where there is an old value.
      if (rule.transition && before === undefined) return;
      if (rule.twin(value, RULE_LIBRARY, before)) return;
      failures.push({
        reason: rule.id,
        field: `${fieldOf(trail)}${rule.field}`.replace(/^\./, ''),
        problem: rule.message,
        remedy: rule.remedy,
        rule: true,
      });
    });
  }
  return failures;
}

/** Elements of a set that are equal, and elements of a map list with equal keys. */
export function duplicates(kind: Kind, object: unknown): Failure[] {
  const failures: Failure[] = [];
  for (const { path, keys } of LISTS[kind]) {
    walk(object, undefined, path, [], (list, _old, trail) => {
      const items = list as unknown[];
      if (items.length < 2) return;
      const seen = new Set<string>();
      for (const [index, item] of items.entries()) {
        const key = keyOf(item, keys);
        if (seen.has(key)) {
          failures.push({
            reason: 'DuplicateItem',
            field: fieldOf([...trail, index]),
            problem: `${key} stands there twice`,
            remedy: 'remove one of the two or rename it',
          });
        }
        seen.add(key);
      }
    });
  }
  return failures;
}

/** What an element is told apart by, as text for messages. */
function keyOf(item: unknown, keys: readonly string[]): string {
  if (keys.length === 0) return JSON.stringify(item);
  return keys.map((name) => `${name} ${JSON.stringify((item as Record<string, unknown>)[name])}`).join(', ');
}
