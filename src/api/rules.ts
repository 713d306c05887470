// SPDX-License-Identifier: Apache-2.0
/** Runs the twins of the CEL rules, and the checks of lists with keys, on an object that passed types and bounds. */
import { LISTS, type PlacedRule, RULES } from './generated/rules.js';
import type { Kind } from './group.ts';
import { RULE_LIBRARY } from './rule-library.ts';
import type { Failure } from './validate.ts';

interface Place {
  value: unknown;
  /** The value that stood at the same place before; undefined where there was none, or in a list without keys. */
  old: unknown;
  field: string;
}

/** Every value of the object that a path leads to. */
function places(root: unknown, old: unknown, path: string[]): Place[] {
  let found: Place[] = [{ value: root, old, field: '' }];
  for (const segment of path) {
    found = found.flatMap(({ value, old, field }): Place[] => {
      if (value === null || typeof value !== 'object') return [];
      if (segment !== '*') {
        if (!Object.hasOwn(value, segment)) return [];
        const before = (old as Record<string, unknown> | undefined)?.[segment];
        return [
          {
            value: (value as never)[segment],
            old: before,
            field: field === '' ? segment : `${field}.${segment}`,
          },
        ];
      }
      if (Array.isArray(value)) {
        return value.map((item, index) => ({ value: item, old: undefined, field: `${field}[${index}]` }));
      }
      return Object.entries(value).map(([key, item]) => ({
        value: item,
        old: undefined,
        field: `${field}.${key}`,
      }));
    });
  }
  return found;
}

export function ruleFailures(kind: Kind, object: unknown, old: unknown): Failure[] {
  return RULES[kind].flatMap((rule) =>
    places(object, old, rule.path)
      .filter((place) => !holds(rule, place))
      .map(({ field }) => ({
        reason: rule.id,
        field: `${field}${rule.field}`.replace(/^\./, ''),
        problem: rule.message,
        remedy: rule.remedy,
        rule: true,
      })),
  );
}

/** As in the API server, a rule about changes runs only where there is an old value. */
function holds(rule: PlacedRule, { value, old }: Place): boolean {
  if (rule.transition && old === undefined) return true;
  return rule.twin(value, RULE_LIBRARY, old);
}

/** Elements of a set that are equal, and elements of a map list with equal keys. */
export function duplicates(kind: Kind, object: unknown): Failure[] {
  return LISTS[kind].flatMap(({ path, keys }) =>
    places(object, undefined, path).flatMap(({ value, field }) => {
      const seen = new Set<string>();
      return (value as unknown[]).flatMap((item, index): Failure[] => {
        const key = keys.length === 0 ? item : keys.map((name) => (item as Record<string, unknown>)[name]);
        const text = JSON.stringify(key);
        if (!seen.has(text)) {
          seen.add(text);
          return [];
        }
        const what =
          keys.length === 0
            ? text
            : keys.map((name, i) => `${name} ${JSON.stringify((key as unknown[])[i])}`).join(', ');
        return [
          {
            reason: 'DuplicateItem',
            field: `${field}[${index}]`,
            problem: `${what} stands there twice`,
            remedy: 'remove one of the two or rename it',
          },
        ];
      });
    }),
  );
}
