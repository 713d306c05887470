// SPDX-License-Identifier: Apache-2.0
/** Turns an error of a generated validator into a failure that people can act on. */
import type { ErrorObject } from 'ajv';
import type { Failure } from './failure.ts';
import type { ManifestReason } from './reasons.ts';

/** `/spec/ports/0/name` → `spec.ports[0].name` (RFC 6901). */
export function fieldPath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce(
      (path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`),
      '',
    );
}

function valueAt(root: unknown, pointer: string): unknown {
  return pointer
    .split('/')
    .slice(1)
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], root);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** `cube.spec.router.routes`, for `kubectl explain`. */
function explain(root: unknown, field: string): string {
  const kind = String((root as { kind?: unknown }).kind).toLowerCase();
  return `kubectl explain ${kind}.${field.replaceAll(/\[\d+\]/g, '')}`;
}

export function schemaFailure(error: ErrorObject, root: unknown): Failure {
  const at = fieldPath(error.instancePath);
  const below = (name: string): string => (at === '' ? name : `${at}.${name}`);
  const value = show(valueAt(root, error.instancePath));
  const params = error.params as {
    additionalProperty?: string;
    missingProperty?: string;
    type?: string | string[];
    allowedValues?: unknown[];
    limit?: number;
    comparison?: string;
    pattern?: string;
  };
  const make = (reason: ManifestReason, field: string, problem: string, remedy: string): Failure => ({
    reason,
    field,
    problem,
    remedy,
  });
  const types = [params.type ?? []].flat().join(' or ');
  const bound = (): string => (params.comparison === '>=' ? 'at least' : 'at most');

  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params.additionalProperty);
      const fields =
        at === ''
          ? 'the document has apiVersion, kind, metadata and spec'
          : `${explain(root, at)} lists the fields`;
      return make(
        'UnknownField',
        below(name),
        'there is no such field',
        `remove it or correct its name; ${fields}`,
      );
    }
    case 'required': {
      const field = below(String(params.missingProperty));
      return make(
        'FieldMissing',
        field,
        'the field is missing',
        `set it; ${explain(root, field)} describes it`,
      );
    }
    case 'type':
      return make('WrongType', at, `${value} is not of type ${types}`, `write a value of type ${types}`);
    case 'enum':
      return make(
        'NotOneOf',
        at,
        `${value} is not a value of the field`,
        `use one of ${(params.allowedValues ?? []).join(', ')}`,
      );
    case 'minimum':
    case 'maximum':
      return make('OutOfRange', at, `${value} is out of range`, `use ${bound()} ${params.limit}`);
    case 'minLength':
    case 'maxLength': {
      const least = error.keyword === 'minLength' ? 'at least' : 'at most';
      return make(
        'LengthOutOfRange',
        at,
        `${value} is too ${least === 'at least' ? 'short' : 'long'}`,
        `use ${least} ${params.limit} characters`,
      );
    }
    case 'minItems':
    case 'maxItems':
    case 'minProperties':
    case 'maxProperties': {
      const least = error.keyword.startsWith('min') ? 'at least' : 'at most';
      return make(
        'TooFewOrMany',
        at,
        `it has too ${least === 'at least' ? 'few' : 'many'} elements`,
        `give ${least} ${params.limit}`,
      );
    }
    default:
      return make(
        'WrongFormat',
        at,
        `${value} does not match ${String(params.pattern)}`,
        `${explain(root, at)} says what it may hold`,
      );
  }
}
