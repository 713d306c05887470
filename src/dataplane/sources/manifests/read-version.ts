// SPDX-License-Identifier: Apache-2.0
import type { CubeplaneObject } from '../../../api/generated/types.ts';
import { API_VERSION, GROUP, KINDS } from '../../../api/group.ts';
import { lineOfField, parseManifest, type RawDocument } from '../../../api/manifest-text.ts';
import { isDnsLabel, isDnsSubdomain } from '../../../api/names.ts';
import { validate } from '../../../api/validate.ts';
import { CORE_KINDS, checkCoreObject, type FieldProblem } from './core-kinds.ts';
import type { FileVersion } from './file-set.ts';
import { type KubeManifest, keyOfObject, type ManifestObject, objectText } from './manifest-object.ts';
import type { ManifestProblem } from './problem.ts';

/** Where versions before this one are looked up, for rules about changes; by {@link ManifestObject.key}. */
export type OldObjects = (key: string) => KubeManifest | undefined;

/** What one object was found to be: valid with its defaults, or what is wrong with it. */
export type ObjectCheck =
  | { readonly ok: true; readonly object: KubeManifest }
  | { readonly ok: false; readonly object: string; readonly problems: readonly FieldProblem[] };

/** Reads and checks a whole file. Any problem refuses all of it: half a file is nothing that somebody meant. */
export function readVersion(file: string, text: string, old: OldObjects): FileVersion {
  const parsed = parseManifest(text);
  const problems: ManifestProblem[] = parsed.problems.map((problem) => ({
    file,
    ...problem,
    reason: 'Syntax',
    remedy: 'correct the YAML or JSON',
  }));
  const objects: ManifestObject[] = [];
  const places = new Map<string, number>();
  for (const document of parsed.documents) {
    const result = checkObject(document.value, old);
    if (!result.ok) {
      problems.push(...result.problems.map((problem) => place(file, text, document, result.object, problem)));
      continue;
    }
    const key = keyOfObject(result.object);
    const first = places.get(key);
    if (first !== undefined) {
      problems.push(duplicate(file, document.line, result.object, first));
      continue;
    }
    places.set(key, document.line);
    objects.push({ key, object: result.object, file, line: document.line, document: document.document });
  }
  return problems.length > 0 ? { objects: [], problems } : { objects, problems: [] };
}

/** Objects of the parts of a file, by their text: what {@link readParts} need not read again. */
export type Parts = Map<string, readonly ManifestObject[]>;

/**
 * The same for a large file of which little changes: documents whose text was in the last version are taken from there.
 * `parts` is replaced by those of this version.
 */
export function readParts(file: string, text: string, old: OldObjects, parts: Parts): FileVersion {
  // Directives and document ends belong to more than one document.
  if (/^(\.\.\.|%)/m.test(text)) return readVersion(file, text, old);
  const objects: ManifestObject[] = [];
  const problems: ManifestProblem[] = [];
  const next: Parts = new Map();
  const places = new Map<string, number>();
  let above = 0;
  // Three hyphens at the start of a line begin a document wherever they stand (YAML 1.2.2, 9.1.2).
  for (const [document, part] of text.split(/^(?=---(?:\s|$))/m).entries()) {
    let known = parts.get(part);
    if (known === undefined) {
      const version = readVersion(file, part, old);
      for (const problem of version.problems) problems.push({ ...problem, line: problem.line + above });
      known = version.objects;
    }
    next.set(part, known);
    for (const entry of known) {
      const line = entry.line + above;
      const first = places.get(entry.key);
      if (first !== undefined) problems.push(duplicate(file, line, entry.object, first));
      places.set(entry.key, line);
      objects.push({ ...entry, line, document });
    }
    for (let at = part.indexOf('\n'); at >= 0; at = part.indexOf('\n', at + 1)) above += 1;
  }
  if (problems.length > 0) return { objects: [], problems };
  parts.clear();
  for (const [part, entries] of next) parts.set(part, entries);
  return { objects, problems: [] };
}

function duplicate(file: string, line: number, object: KubeManifest, first: number): ManifestProblem {
  return {
    file,
    line,
    object: textOf(object),
    reason: 'DuplicateObject',
    message: `the same object stands in line ${first}`,
    remedy: 'remove one of the two',
  };
}

/** Checks one object as an API server would, and fills in defaults. `old` is asked for the version before. */
export function checkObject(value: unknown, old: OldObjects): ObjectCheck {
  const head = value as { apiVersion?: unknown; kind?: unknown } | null;
  const core = typeof head?.kind === 'string' ? CORE_KINDS[head.kind] : undefined;
  if (core !== undefined && head?.apiVersion === core.apiVersion)
    return checkCore(value as KubeManifest, core.namespaced);
  // Of another version of our group validate() says so.
  const ours = String(head?.apiVersion).startsWith(`${GROUP}/`);
  if (typeof head === 'object' && head !== null && !Array.isArray(head) && !ours) return unknownKind(head);
  let result = validate(value);
  if (!result.ok) return { ok: false, object: calledSo(value), problems: result.failures.map(asProblem) };
  const before = old(keyOfObject(result.object as unknown as KubeManifest));
  if (before !== undefined) result = validate(value, before as unknown as CubeplaneObject);
  if (!result.ok) return { ok: false, object: calledSo(value), problems: result.failures.map(asProblem) };
  return { ok: true, object: result.object as unknown as KubeManifest };
}

function asProblem(failure: {
  reason: string;
  field: string;
  problem: string;
  remedy: string;
}): FieldProblem {
  return { field: failure.field, reason: failure.reason, message: failure.problem, remedy: failure.remedy };
}

function unknownKind(head: { apiVersion?: unknown; kind?: unknown }): ObjectCheck {
  const known = [...Object.entries(CORE_KINDS).map(([kind, core]) => `${kind} (${core.apiVersion})`)];
  const problem: FieldProblem = {
    field: typeof head.kind === 'string' && Object.hasOwn(CORE_KINDS, head.kind) ? 'apiVersion' : 'kind',
    reason: 'UnknownKind',
    message: `no object of kind ${JSON.stringify(head.kind)} and apiVersion ${JSON.stringify(head.apiVersion)} is used here`,
    remedy: `use ${KINDS.join(', ')} (${API_VERSION}), ${known.join(', ')}, or move it to another directory`,
  };
  return { ok: false, object: calledSo(head), problems: [problem] };
}

function checkCore(value: KubeManifest, namespaced: boolean): ObjectCheck {
  const problems: FieldProblem[] = [];
  const add = (field: string, reason: string, message: string, remedy: string) =>
    problems.push({ field, reason, message, remedy });
  const metadata = value.metadata as Record<string, unknown> | undefined;
  const { name, namespace } = (typeof metadata === 'object' && metadata !== null ? metadata : {}) as Record<
    string,
    unknown
  >;
  if (name === undefined) add('metadata.name', 'NameMissing', 'the object has no name', 'set metadata.name');
  else if (typeof name !== 'string' || !isDnsSubdomain(name)) {
    add(
      'metadata.name',
      'NameInvalid',
      `${JSON.stringify(name)} is not a DNS subdomain`,
      'use lower-case letters, digits, hyphens and dots',
    );
  }
  if (!namespaced && namespace !== undefined) {
    add(
      'metadata.namespace',
      'NamespaceNotAllowed',
      `a ${value.kind} belongs to no namespace`,
      'remove metadata.namespace',
    );
  }
  if (namespaced && namespace !== undefined && (typeof namespace !== 'string' || !isDnsLabel(namespace))) {
    add(
      'metadata.namespace',
      'NamespaceInvalid',
      `${JSON.stringify(namespace)} is not a DNS label`,
      'use at most 63 lower-case letters, digits and hyphens',
    );
  }
  for (const member of ['labels', 'annotations'] as const) {
    for (const [key, label] of Object.entries(metadata?.[member] ?? {})) {
      if (typeof label !== 'string') {
        add(
          `metadata.${member}[${key}]`,
          'LabelInvalid',
          `${JSON.stringify(label)} is no text`,
          'put it in quotes',
        );
      }
    }
  }
  problems.push(...checkCoreObject(value.kind, value));
  if (problems.length > 0) return { ok: false, object: calledSo(value), problems };
  const filled = namespaced
    ? { ...value.metadata, namespace: value.metadata.namespace ?? 'default' }
    : value.metadata;
  return { ok: true, object: { ...value, metadata: filled } };
}

function place(
  file: string,
  text: string,
  document: RawDocument,
  object: string,
  problem: FieldProblem,
): ManifestProblem {
  const { field, reason, message, remedy } = problem;
  return {
    file,
    line: field === '' ? document.line : lineOfField(text, document, field),
    object,
    ...(field === '' ? {} : { field }),
    reason,
    message,
    remedy,
  };
}

/** What to call an object that may be anything. */
function calledSo(value: unknown): string {
  const { kind, metadata } = (value ?? {}) as {
    kind?: unknown;
    metadata?: { name?: unknown; namespace?: unknown };
  };
  const name = typeof metadata?.name === 'string' ? metadata.name : '(without name)';
  const namespace = typeof metadata?.namespace === 'string' ? metadata.namespace : undefined;
  return objectText(typeof kind === 'string' ? kind : 'object', namespace, name);
}

function textOf({ kind, metadata }: KubeManifest): string {
  return objectText(kind, metadata.namespace, metadata.name);
}
