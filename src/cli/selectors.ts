// SPDX-License-Identifier: Apache-2.0
import { CliError, EXIT } from './errors.ts';
import type { KindInfo } from './kinds.ts';
import { valuesAt } from './print/json-path.ts';

/** Says of an object's labels, or of an object, whether a selector chooses it. */
export type Predicate<T> = (value: T) => boolean;

type Labels = Readonly<Record<string, string>>;

/** `app=web,tier!=db,env in (a,b),x notin (c),role,!old`, as kubectl's `-l`. @throws CliError for what it cannot read. */
export function labelPredicate(selector: string): Predicate<Labels> {
  const requirements = selector
    .split(/,(?![^(]*\))/)
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(labelRequirement);
  return (labels) => requirements.every((holds) => holds(labels));
}

function labelRequirement(text: string): Predicate<Labels> {
  const set = /^([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    return (labels) => {
      const value = labels[key];
      return operator === 'in'
        ? value !== undefined && values.includes(value)
        : value === undefined || !values.includes(value);
    };
  }
  const equal = /^([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*)$/.exec(text);
  if (equal !== null) {
    const [, key = '', operator, value = ''] = equal;
    return (labels) => (operator === '!=' ? labels[key] !== value : labels[key] === value);
  }
  const exists = /^(!?)\s*([^\s!=(),]+)$/.exec(text);
  if (exists !== null) {
    const [, not, key = ''] = exists;
    return (labels) => (labels[key] === undefined) === (not === '!');
  }
  throw new CliError(
    EXIT.usage,
    `cannot read the label selector ${JSON.stringify(text)}`,
    'write it like app=web or env in (a,b)',
  );
}

/** `spec.nodeName=a,metadata.name!=b`, as kubectl's `--field-selector`. @throws CliError naming the fields there are. */
export function fieldPredicate(info: KindInfo, selector: string): Predicate<object> {
  const allowed = [
    'metadata.name',
    'metadata.namespace',
    ...info.selectableFields.map((field) => field.slice(1)),
  ];
  const requirements = selector
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text): Predicate<object> => {
      const [, field = '', operator, value = ''] = /^([^!=]+)(==|=|!=)(.*)$/.exec(text) ?? [];
      if (!allowed.includes(field)) {
        const remedy = `fields of ${info.kind}: ${allowed.join(', ')}`;
        throw new CliError(EXIT.usage, `cannot select ${info.plural} by ${JSON.stringify(text)}`, remedy);
      }
      return (object) => (String(valuesAt(object, `.${field}`)[0] ?? '') === value) === (operator !== '!=');
    });
  return (object) => requirements.every((holds) => holds(object));
}
