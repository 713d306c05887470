// SPDX-License-Identifier: Apache-2.0
/** Validators of types, bounds and unknown fields as standalone code: one function a kind, without ajv at run time. */
import { createHash } from 'node:crypto';
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import type { KindSchema, Schema } from '../../src/api/schemas/schema.ts';
import { CONSTRAINTS } from './constraints.ts';
import { GENERATED } from './header.ts';

type Plain = Record<string, unknown>;

const KEYWORDS = ['type', ...CONSTRAINTS] as const;

/** JSON schemas with one definition a named schema, so that a shared schema is one function. */
class JsonSchemas {
  readonly definitions: Record<string, Plain> = {};

  /** The default stands beside the reference: ajv reads it from the parent's properties. */
  of(schema: Schema): Plain {
    const plain = this.inline(schema);
    const fallback = schema.default === undefined ? {} : { default: schema.default };
    if (!schema.typeName) return { ...plain, ...fallback };
    const hash = createHash('sha256').update(JSON.stringify(plain)).digest('hex').slice(0, 8);
    const name = `${schema.typeName}_${hash}`;
    this.definitions[name] = plain;
    return { $ref: `#/definitions/${name}`, ...fallback };
  }

  private inline(schema: Schema): Plain {
    if (schema['x-kubernetes-int-or-string']) {
      const { minimum, pattern, maxLength } = schema;
      return {
        type: ['integer', 'string'],
        ...(minimum === undefined ? {} : { minimum }),
        ...(pattern === undefined ? {} : { pattern }),
        ...(maxLength === undefined ? {} : { maxLength }),
      };
    }
    const plain: Plain = {};
    for (const keyword of KEYWORDS) if (schema[keyword] !== undefined) plain[keyword] = schema[keyword];
    if (schema.items) plain.items = this.of(schema.items);
    if (schema.additionalProperties) plain.additionalProperties = this.of(schema.additionalProperties);
    if (schema.properties) {
      plain.properties = Object.fromEntries(
        Object.entries(schema.properties).map(([name, property]) => [name, this.of(property)]),
      );
      plain.additionalProperties = false;
    }
    return plain;
  }
}

export interface ValidatorFiles {
  code: string;
  declarations: string;
}

export function generateValidators(kinds: KindSchema[]): ValidatorFiles {
  const ajv = new Ajv({
    allErrors: true,
    useDefaults: true,
    strict: false,
    logger: false,
    // Lengths are those of UTF-16; every text that could hold other characters is checked by the API server as well.
    unicode: false,
    code: { source: true, esm: true, lines: true },
  } as never);
  for (const kind of kinds) {
    const schemas = new JsonSchemas();
    const spec = schemas.of(kind.spec);
    ajv.addSchema(
      {
        $id: kind.kind,
        type: 'object',
        required: ['spec'],
        properties: {
          apiVersion: { type: 'string' },
          kind: { type: 'string' },
          metadata: { type: 'object' },
          spec,
          // A status in a manifest has no effect, as on create by the API server: it is not checked.
          ...(kind.status ? { status: { type: 'object' } } : {}),
        },
        additionalProperties: false,
        definitions: schemas.definitions,
      },
      kind.kind,
    );
  }
  const names = Object.fromEntries(kinds.map(({ kind }) => [kind, kind]));
  const code = (standalone as unknown as { default: (ajv: Ajv, names: object) => string }).default(
    ajv,
    names,
  );
  if (/\brequire\(/.test(code))
    throw new Error('the validators need a module at run time; avoid the keyword that does');
  return {
    code: `${GENERATED}\n${code}\nexport const VALIDATORS = { ${kinds.map(({ kind }) => kind).join(', ')} };\n`,
    declarations: `${GENERATED}
import type { ErrorObject } from 'ajv';
import type { Kind } from '../group.ts';

/** Checks types, bounds and unknown fields, and fills in defaults in place. */
interface Validator {
  (object: unknown): boolean;
  errors: ErrorObject[] | null;
}

export const VALIDATORS: Record<Kind, Validator>;
`,
  };
}
