// SPDX-License-Identifier: Apache-2.0
/** TypeScript types of all kinds: one interface a named schema, one case a value of a union's discriminator. */
import { compile } from 'json-schema-to-typescript';
import { API_VERSION } from '../../src/api/group.ts';
import type { KindSchema, Schema } from '../../src/api/schemas/schema.ts';
import { GENERATED } from './header.ts';

/** What json-schema-to-typescript reads. */
type Definition = Record<string, unknown>;

const METADATA: Definition = {
  type: 'object',
  description: 'metav1.ObjectMeta: the fields that Cubeplane reads or writes.',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { type: 'string' },
    namespace: { type: 'string' },
    uid: { type: 'string' },
    generation: { type: 'integer' },
    resourceVersion: { type: 'string' },
    creationTimestamp: { type: 'string' },
    deletionTimestamp: { type: 'string' },
    labels: { tsType: 'Record<string, string>' },
    annotations: { tsType: 'Record<string, string>' },
    finalizers: { type: 'array', items: { type: 'string' } },
    ownerReferences: { type: 'array', items: { tsType: 'OwnerReference' } },
    managedFields: { tsType: 'unknown[]' },
  },
};

const OWNER_REFERENCE: Definition = {
  type: 'object',
  description: 'metav1.OwnerReference.',
  additionalProperties: false,
  required: ['apiVersion', 'kind', 'name', 'uid'],
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    name: { type: 'string' },
    uid: { type: 'string' },
    controller: { type: 'boolean' },
    blockOwnerDeletion: { type: 'boolean' },
  },
};

class Definitions {
  readonly all: Record<string, Definition> = {};
  private readonly texts = new Map<string, string>();

  /** Registers a named schema and returns the reference to it; any other schema is returned inline. */
  reference(schema: Schema): Definition {
    const inline = this.inline(schema);
    if (!schema.typeName) return inline;
    // Descriptions may differ from place to place; the first one found stands on the type.
    const text = JSON.stringify(inline, (key, value) => (key === 'description' ? undefined : value));
    const known = this.texts.get(schema.typeName);
    if (known !== undefined && known !== text) {
      throw new Error(`two different schemas have the type name ${schema.typeName}; rename one`);
    }
    if (known === undefined) {
      this.texts.set(schema.typeName, text);
      if (schema.union) this.addUnion(schema.typeName, schema, inline);
      else this.all[schema.typeName] = inline;
    }
    return { tsType: schema.typeName, ...(schema.description ? { description: schema.description } : {}) };
  }

  private inline(schema: Schema): Definition {
    const base: Definition = schema.description ? { description: schema.description } : {};
    if (schema['x-kubernetes-int-or-string']) return { ...base, tsType: 'number | string' };
    if (schema.enum) return { ...base, enum: schema.enum };
    if (schema.type === 'array') return { ...base, type: 'array', items: this.reference(schema.items ?? {}) };
    if (schema.additionalProperties) return { ...base, tsType: 'Record<string, string>' };
    if (schema.type !== 'object') return { ...base, type: schema.type };
    const properties = Object.entries(schema.properties ?? {});
    return {
      ...base,
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(properties.map(([name, property]) => [name, this.reference(property)])),
      // What has a default is always there after defaulting, so readers need no second default.
      required: properties
        .filter(([name, property]) => schema.required?.includes(name) || property.default !== undefined)
        .map(([name]) => name),
    };
  }

  private addUnion(name: string, schema: Schema, inline: Definition): void {
    const { discriminator, members, optional = [] } = schema.union as NonNullable<Schema['union']>;
    const properties = inline.properties as Record<string, Definition>;
    const memberNames = new Set(Object.values(members));
    const common = `${name}Common`;
    this.all[common] = {
      ...inline,
      description: `What every ${name} has.`,
      properties: Object.fromEntries(
        Object.entries(properties).filter(([key]) => key !== discriminator && !memberNames.has(key)),
      ),
      required: (inline.required as string[]).filter((key) => key !== discriminator && !memberNames.has(key)),
    };
    const cases = Object.entries(members).map(([value, member]) => {
      const title = `${value}${name}`;
      this.all[title] = {
        type: 'object',
        additionalProperties: false,
        extends: { $ref: `#/definitions/${common}` },
        properties: {
          [discriminator]: { const: value, type: 'string' },
          ...(member ? { [member]: properties[member] } : {}),
        },
        required: member && !optional.includes(value) ? [discriminator, member] : [discriminator],
      };
      return title;
    });
    this.all[name] = { tsType: cases.join(' | '), description: schema.description };
  }
}

export async function generateTypes(kinds: KindSchema[]): Promise<string> {
  const definitions = new Definitions();
  definitions.all.OwnerReference = OWNER_REFERENCE;
  definitions.all.ObjectMeta = METADATA;
  for (const kind of kinds) {
    definitions.all[kind.kind] = {
      type: 'object',
      description: kind.description,
      additionalProperties: false,
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
      properties: {
        apiVersion: { const: API_VERSION, type: 'string' },
        kind: { const: kind.kind, type: 'string' },
        metadata: { tsType: 'ObjectMeta' },
        spec: definitions.reference(kind.spec),
        ...(kind.status ? { status: definitions.reference(kind.status) } : {}),
      },
    };
  }
  const named = Object.fromEntries(
    Object.entries(definitions.all).map(([name, definition]) => [name, { title: name, ...definition }]),
  );
  const root = {
    title: 'ObjectByKind',
    description: 'The object of each kind.',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(kinds.map(({ kind }) => [kind, { $ref: `#/definitions/${kind}` }])),
    required: kinds.map(({ kind }) => kind),
    definitions: named,
  };
  const source = await compile(root as never, root.title, {
    bannerComment: GENERATED,
    additionalProperties: false,
    unreachableDefinitions: true,
    ignoreMinAndMaxItems: true,
    strictIndexSignatures: true,
    style: { singleQuote: true, printWidth: 110 },
  });
  const union = kinds.map((kind) => kind.kind).join(' | ');
  return `${tidy(source)}
/** Any object of the API. */
export type CubeplaneObject = ${union};
`;
}

/** Takes out what the library says about itself, and puts short comments on one line. */
function tidy(source: string): string {
  return source
    .replace(
      /( \*\n)? \* This interface was referenced by `ObjectByKind`'s JSON-Schema\n \* via the `definition` "\w+"\.\n/g,
      '',
    )
    .replace(/\/\*\*\n \*\/\n/g, '')
    .replace(/^( *)\/\*\*\n *\* ([^\n]{1,95})\n *\*\/$/gm, '$1/** $2 */')
    .replace(/ \*\n *\* Items: [^\n]*\n/g, '')
    .replace(/^( *)\/\*\*\n *\* ([^\n]{1,95})\n *\*\/$/gm, '$1/** $2 */');
}
