// SPDX-License-Identifier: Apache-2.0
import type { LabelSelector, LabelSelectorRequirement } from '../api/generated/types.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { LabelSelectorInput } from './inputs.ts';

/** Bounds of the CubeTable schema, and of a label. */
const MAX_LABELS = 32;
const MAX_EXPRESSIONS = 16;
const MAX_VALUES = 64;
const MAX_VALUE_LENGTH = 63;
const MAX_KEY_LENGTH = 317;
/** Most selectors that one is cut into. */
const MAX_SELECTORS = 64;

/** How one selector of a NetworkPolicy stands in a table. */
export interface TranslatedSelector {
  /** Selectors that together match what the one matches; none when it can match nothing. */
  selectors: LabelSelector[];
  /** False when a part was not understood and left out, so that they match too much. */
  exact: boolean;
}

/**
 * A label selector within the bounds of a table. One that is larger is cut into several with the same union: `In` is a
 * union by itself, `NotIn` a conjunction.
 */
export function translateSelector(
  input: LabelSelectorInput,
  field: string,
  diagnostics: Diagnostics,
): TranslatedSelector {
  const read = requirementsOf(input, field, diagnostics);
  if (read.never) return { selectors: [], exact: true };
  const fitted = bounded(read.labels, read.expressions);
  if (fitted !== undefined) return { selectors: fitted, exact: read.exact };
  diagnostics.add(
    'TooMany',
    field,
    `the selector has more requirements than a table holds (${MAX_LABELS} labels, ${MAX_EXPRESSIONS} expressions)`,
    'use fewer labels and values, or spread them over several policies',
  );
  return { selectors: [{}], exact: false };
}

interface Requirements {
  labels: [string, string][];
  expressions: LabelSelectorRequirement[];
  exact: boolean;
  /** A requirement that no pod and no namespace can fulfil. */
  never: boolean;
}

function requirementsOf(input: LabelSelectorInput, field: string, diagnostics: Diagnostics): Requirements {
  const read: Requirements = { labels: [], expressions: [], exact: true, never: false };
  for (const [key, value] of Object.entries(input.matchLabels ?? {})) {
    if (typeof value !== 'string') {
      read.exact = false;
      const remedy = 'quote the value';
      diagnostics.add('InvalidSelector', `${field}.matchLabels[${key}]`, 'the value is no text', remedy);
    } else if (!isKey(key) || !isValue(value)) read.never = true;
    else read.labels.push([key, value]);
  }
  (input.matchExpressions ?? []).forEach((expression, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    const result = requirement(expression, at, diagnostics);
    if (result === 'Unknown') read.exact = false;
    else if (result === 'Never') read.never = true;
    else if (result !== 'Always') read.expressions.push(result);
  });
  return read;
}

type Requirement = LabelSelectorRequirement | 'Always' | 'Never' | 'Unknown';

/** Labels and values that are too long for a label stand on no object, so what asks for them is decided here. */
function requirement(
  expression: NonNullable<LabelSelectorInput['matchExpressions']>[number] | null,
  field: string,
  diagnostics: Diagnostics,
): Requirement {
  const { key, operator, values: given } = expression ?? {};
  const values = given ?? [];
  const wantsValues = operator === 'In' || operator === 'NotIn';
  const isKnown = wantsValues || operator === 'Exists' || operator === 'DoesNotExist';
  let problem: string | undefined;
  if (typeof key !== 'string') problem = 'names no label';
  else if (!isKnown) problem = `has the unknown operator ${operator ?? '(none)'}`;
  else if (wantsValues !== values.length > 0) problem = `has ${values.length} values with ${operator}`;
  else if (values.some((value) => typeof value !== 'string')) problem = 'has a value that is no text';
  if (typeof key !== 'string' || !isKnown || problem !== undefined) {
    diagnostics.add(
      'InvalidSelector',
      field,
      `the requirement ${problem}`,
      'use In or NotIn with values, Exists or DoesNotExist without',
    );
    return 'Unknown';
  }
  const absent = operator === 'In' || operator === 'Exists' ? 'Never' : 'Always';
  if (!isKey(key)) return absent;
  if (!wantsValues) return { key, operator };
  const possible = [...new Set(values.filter(isValue))];
  return possible.length === 0 ? absent : { key, operator, values: possible };
}

const isKey = (key: string): boolean => key.length > 0 && key.length <= MAX_KEY_LENGTH;
const isValue = (value: string): boolean => value.length <= MAX_VALUE_LENGTH;

/** Undefined when it is too large even so. */
function bounded(
  labels: readonly [string, string][],
  expressions: readonly LabelSelectorRequirement[],
): LabelSelector[] | undefined {
  const matchLabels: Record<string, string> = Object.create(null);
  const fixed: LabelSelectorRequirement[] = [];
  const choices: LabelSelectorRequirement[][] = [];
  for (const [key, value] of labels.slice(0, MAX_LABELS)) matchLabels[key] = value;
  for (const [key, value] of labels.slice(MAX_LABELS)) fixed.push({ key, operator: 'In', values: [value] });
  for (const one of expressions) {
    const parts = chunks(one.values ?? [], MAX_VALUES).map((values) => ({ ...one, values }));
    if (parts.length <= 1) fixed.push(one);
    else if (one.operator === 'NotIn') fixed.push(...parts);
    else choices.push(parts);
  }
  if (fixed.length + choices.length > MAX_EXPRESSIONS) return undefined;
  if (choices.reduce((product, parts) => product * parts.length, 1) > MAX_SELECTORS) return undefined;
  let all: LabelSelectorRequirement[][] = [fixed];
  for (const parts of choices) all = all.flatMap((chosen) => parts.map((part) => [...chosen, part]));
  return all.map((matchExpressions) => ({
    ...(labels.length === 0 ? {} : { matchLabels: { ...matchLabels } }),
    ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
  }));
}

/** Lists of at most `size` elements, in order. */
export function chunks<T>(list: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < list.length; at += size) parts.push(list.slice(at, at + size));
  return parts;
}
