// SPDX-License-Identifier: Apache-2.0
/** The twins of the CEL rules and the keys of lists, each with the place where it holds. */
import ts from 'typescript';
import type { KindSchema, Rule, Schema } from '../../src/api/schemas/schema.ts';
import { GENERATED } from './header.ts';

/** Segment of a path: a property; `*` for every element of a list or value of a map. */
type Path = string[];

interface Found {
  rules: { path: Path; rule: Rule }[];
  lists: { path: Path; keys: string[] }[];
}

function collect(schema: Schema, path: Path, found: Found): void {
  for (const rule of schema.rules ?? []) found.rules.push({ path, rule });
  if (schema['x-kubernetes-list-type'] === 'set') found.lists.push({ path, keys: [] });
  if (schema['x-kubernetes-list-type'] === 'map') {
    found.lists.push({ path, keys: schema['x-kubernetes-list-map-keys'] ?? [] });
  }
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    collect(property, [...path, name], found);
  if (schema.items) collect(schema.items, [...path, '*'], found);
  if (schema.additionalProperties) collect(schema.additionalProperties, [...path, '*'], found);
}

export function generateRules(kinds: KindSchema[]): { code: string; declarations: string } {
  const twins = new Map<string, string>();
  const twinName = (twin: Rule['twin']): string => {
    const text = twin.toString();
    const known = twins.get(text) ?? `twin${twins.size}`;
    twins.set(text, known);
    return known;
  };
  const tables = kinds.map((kind) => {
    const found: Found = { rules: (kind.rules ?? []).map((rule) => ({ path: [], rule })), lists: [] };
    collect(kind.spec, ['spec'], found);
    const rules = found.rules.map(({ path, rule }) => {
      const { id, message, remedy, field = '', transition = false } = rule;
      const plain = JSON.stringify({ path, id, message, remedy, field, transition });
      return `    { ${plain.slice(1, -1)}, twin: ${twinName(rule.twin)} },`;
    });
    const lists = found.lists.map((list) => `    ${JSON.stringify(list)},`);
    return { kind: kind.kind, rules: rules.join('\n'), lists: lists.join('\n') };
  });
  const source = `
${[...twins].map(([text, name]) => `const ${name} = ${text};`).join('\n')}
export const RULES = {
${tables.map(({ kind, rules }) => `  ${kind}: [\n${rules}\n  ],`).join('\n')}
};
export const LISTS = {
${tables.map(({ kind, lists }) => `  ${kind}: [\n${lists}\n  ],`).join('\n')}
};
`;
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2024, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  return {
    code: `${GENERATED}\n${outputText}`,
    declarations: `${GENERATED}
import type { Kind } from '../group.ts';
import type { Rule } from '../schemas/schema.ts';

/** A rule with the place where it holds; \`*\` in the path stands for every element. */
export interface PlacedRule {
  path: string[];
  id: string;
  message: string;
  remedy: string;
  /** Field below the place that a refusal names, with a leading dot; empty for the place itself. */
  field: string;
  transition: boolean;
  twin: Rule['twin'];
}

/** A list whose elements must differ: in the keys, or as a whole where there are none. */
export interface PlacedList {
  path: string[];
  keys: string[];
}

export const RULES: Record<Kind, PlacedRule[]>;
export const LISTS: Record<Kind, PlacedList[]>;
`,
  };
}
