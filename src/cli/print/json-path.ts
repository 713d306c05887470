// SPDX-License-Identifier: Apache-2.0

/** One step of a path: a member, an element, all elements, or elements by the value of a member. */
type Step =
  | { readonly type: 'member'; readonly name: string }
  | { readonly type: 'index'; readonly index: number }
  | { readonly type: 'all' }
  | { readonly type: 'filter'; readonly name: string; readonly value: string };

const STEP =
  /\.([A-Za-z0-9_-]+(?:\\\.[A-Za-z0-9_/-]+)*)|\[(\d+)\]|\[\*\]|\[\?\(@\.([A-Za-z0-9_]+)\s*==\s*['"]([^'"]*)['"]\)\]|\['([^']+)'\]/gy;

/** Parses the part of JSONPath that printer columns use: `.status.conditions[?(@.type=='Ready')].status`. */
function parse(path: string): Step[] {
  const steps: Step[] = [];
  STEP.lastIndex = 0;
  let at = 0;
  while (at < path.length) {
    const match = STEP.exec(path);
    if (match === null)
      throw new SyntaxError(`cannot read JSONPath ${path} from ${JSON.stringify(path.slice(at))} on`);
    at = STEP.lastIndex;
    const [text, member, index, filterName, filterValue = '', quoted] = match;
    if (member !== undefined) steps.push({ type: 'member', name: member.replaceAll('\\.', '.') });
    else if (quoted !== undefined) steps.push({ type: 'member', name: quoted });
    else if (index !== undefined) steps.push({ type: 'index', index: Number(index) });
    else if (filterName !== undefined) steps.push({ type: 'filter', name: filterName, value: filterValue });
    else if (text === '[*]') steps.push({ type: 'all' });
  }
  return steps;
}

/** All values that a path leads to; none for a path that leads nowhere. */
export function valuesAt(object: unknown, path: string): unknown[] {
  let values: unknown[] = [object];
  for (const step of parse(path.startsWith('.') || path.startsWith('[') ? path : `.${path}`)) {
    values = values.flatMap((value) => follow(value, step)).filter((value) => value !== undefined);
  }
  return values;
}

function follow(value: unknown, step: Step): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  const members = Object.values(value);
  switch (step.type) {
    case 'member':
      return [(value as Record<string, unknown>)[step.name]];
    case 'index':
      return [(value as unknown[])[step.index]];
    case 'all':
      return members;
    case 'filter':
      return members.filter(
        (member) => String((member as Record<string, unknown>)?.[step.name]) === step.value,
      );
  }
}

/** Fills a template such as `{.metadata.name} {.spec.type}{"\n"}`, as `kubectl -o jsonpath=` does with one object. */
export function fillTemplate(template: string, object: unknown): string {
  return template.replace(/\{([^{}]*)\}/g, (_, inner: string) => {
    const text = inner.trim();
    if (text.startsWith('"')) return JSON.parse(text) as string;
    return valuesAt(object, text).map(plain).join(' ');
  });
}

function plain(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
