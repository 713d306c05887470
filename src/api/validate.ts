// SPDX-License-Identifier: Apache-2.0
/**
 * What the API server does with an object on create and update, for a directory of manifests: types, bounds, unknown
 * fields, defaults, lists with keys, and the twins of the CEL rules. Pure.
 */
import type { ErrorObject } from 'ajv';
import type { Failure } from './failure.ts';
import type { CubeplaneObject } from './generated/types.ts';
import { VALIDATORS } from './generated/validators.js';
import { API_VERSION, CLUSTER_SCOPED, GROUP, isKind, KINDS, type Kind } from './group.ts';
import { isObject } from './is-object.ts';
import { describeObject, isDnsLabel, isDnsSubdomain } from './names.ts';
import type { ManifestReason } from './reasons.ts';
import { duplicates, ruleFailures } from './rules.ts';
import { schemaFailure } from './schema-failure.ts';

export type { Failure } from './failure.ts';

export type Validation =
  | { ok: true; object: CubeplaneObject }
  | {
      ok: false;
      /** Of the first failure. */
      reason: string;
      /** Object, field, what is wrong, what to do; of the first failure, and how many more there are. */
      message: string;
      field: string;
      failures: Failure[];
    };

type Plain = Record<string, unknown>;

/**
 * Checks one manifest and fills in its defaults; the argument is left as it was. With `old`, the object that was in
 * force before, rules about changes are checked as well.
 */
export function validate(manifest: unknown, old?: CubeplaneObject): Validation {
  if (!isObject(manifest)) {
    return refuse('document', [
      failure(
        'NotAnObject',
        '',
        'the document is not a mapping',
        'write apiVersion, kind, metadata and spec',
      ),
    ]);
  }
  // What is filled in below goes into copies: of metadata here, of the spec by withoutNulls.
  const object: Plain = { ...manifest, metadata: structuredClone(manifest.metadata) };
  const head = checkHead(object);
  const called = nameOf(object);
  if (head.length > 0) return refuse(called, head);

  const kind = object.kind as Kind;
  if (object.spec !== undefined) object.spec = withoutNulls(object.spec);
  const validator = VALIDATORS[kind];
  if (!validator(object))
    return refuse(
      called,
      (validator.errors as ErrorObject[]).map((e) => schemaFailure(e, object)),
    );
  const failures = [
    ...duplicates(kind, object),
    ...ruleFailures(kind, object, old?.kind === kind ? old : undefined),
  ];
  if (failures.length > 0) return refuse(called, failures);
  return { ok: true, object: object as unknown as CubeplaneObject };
}

function checkHead(object: Plain): Failure[] {
  const { apiVersion, kind } = object;
  if (apiVersion !== API_VERSION) {
    const remedy = `set apiVersion to ${API_VERSION}`;
    return [
      failure('UnknownVersion', 'apiVersion', `${show(apiVersion)} is not read by this release`, remedy),
    ];
  }
  if (typeof kind !== 'string' || !isKind(kind)) {
    return [
      failure(
        'UnknownKind',
        'kind',
        `${show(kind)} is not a kind of ${GROUP}`,
        `use one of ${KINDS.join(', ')}`,
      ),
    ];
  }
  const { metadata } = object;
  if (!isObject(metadata)) {
    return [failure('NameMissing', 'metadata.name', 'the object has no name', 'set metadata.name')];
  }
  return [
    ...checkName(kind, metadata),
    ...checkLabels('labels', metadata),
    ...checkLabels('annotations', metadata),
  ];
}

/** Fills in the namespace `default` as kubectl does. */
function checkName(kind: Kind, metadata: Plain): Failure[] {
  const { name, namespace } = metadata;
  if (name === undefined)
    return [failure('NameMissing', 'metadata.name', 'the object has no name', 'set metadata.name')];
  if (typeof name !== 'string' || !isDnsSubdomain(name)) {
    const remedy =
      'use at most 253 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends';
    return [failure('NameInvalid', 'metadata.name', `${show(name)} is not a DNS subdomain`, remedy)];
  }
  if (CLUSTER_SCOPED.includes(kind)) {
    // The API server drops it without a word, and so does this.
    delete metadata.namespace;
    return [];
  }
  if (namespace === undefined) {
    metadata.namespace = 'default';
    return [];
  }
  if (typeof namespace !== 'string' || !isDnsLabel(namespace)) {
    const remedy = 'use at most 63 lower-case letters, digits and hyphens';
    return [
      failure('NamespaceInvalid', 'metadata.namespace', `${show(namespace)} is not a DNS label`, remedy),
    ];
  }
  return [];
}

const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
const LABEL_KEY = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

function checkLabels(member: 'labels' | 'annotations', metadata: Plain): Failure[] {
  const map = metadata[member];
  if (map === undefined) return [];
  const place = `metadata.${member}`;
  if (!isObject(map)) {
    return [
      failure(
        'LabelInvalid',
        place,
        'it is not a mapping of names to texts',
        'write one NAME: "value" a line',
      ),
    ];
  }
  return Object.entries(map).flatMap(([key, value]) => {
    const good =
      LABEL_KEY.test(key) &&
      typeof value === 'string' &&
      (member === 'annotations' || (value.length <= 63 && LABEL_VALUE.test(value)));
    if (good) return [];
    const remedy =
      'quote numbers and booleans; values of labels hold at most 63 letters, digits, hyphens, dots';
    return [failure('LabelInvalid', `${place}.${key}`, `${show(value)} does not fit`, remedy)];
  });
}

function failure(reason: ManifestReason, field: string, problem: string, remedy: string): Failure {
  return { reason, field, problem, remedy };
}

function refuse(called: string, failures: Failure[]): Validation {
  const [first] = failures as [Failure];
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  const place = first.field === '' ? called : `${called}: ${first.field}`;
  const message = `${place}: ${first.problem}; ${first.remedy}${more}`;
  return { ok: false, reason: first.reason, message, field: first.field, failures };
}

function nameOf(object: Plain): string {
  const kind = typeof object.kind === 'string' ? object.kind : 'object';
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const name = typeof metadata.name === 'string' ? metadata.name : '(without name)';
  return describeObject({
    kind,
    metadata: { name, namespace: typeof metadata.namespace === 'string' ? metadata.namespace : undefined },
  });
}

/** A member without value, as in `ports:`, counts as absent, as in the API server; in a list it stays, and is refused. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(members.map(([key, member]) => [key, withoutNulls(member)]));
}

/** A value in a message, short. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
