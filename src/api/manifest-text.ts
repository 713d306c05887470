// SPDX-License-Identifier: Apache-2.0
import { type Document, isNode, LineCounter, parseAllDocuments } from 'yaml';

/** One object of a file, before anything about it was checked. */
export interface RawDocument {
  readonly value: unknown;
  /** Number of its YAML document in the file, from 0. */
  readonly document: number;
  /** Members of a `kind: List` have their place in front of their fields' paths: `items[2]`. */
  readonly prefix: string;
  /** Of its first line, from 1. */
  readonly line: number;
}

export interface SyntaxProblem {
  readonly line: number;
  readonly message: string;
}

export interface ParsedFile {
  readonly documents: readonly RawDocument[];
  readonly problems: readonly SyntaxProblem[];
}

/** Reads a text of YAML or JSON (which is YAML too), several documents one after another; `kind: List` is taken apart. */
export function parseManifest(text: string): ParsedFile {
  const { documents, lines } = parse(text);
  const problems: SyntaxProblem[] = [];
  const result: RawDocument[] = [];
  for (const [index, document] of documents.entries()) {
    for (const error of document.errors) {
      const line = lines.linePos(error.pos[0]).line;
      problems.push({ line, message: (error.message.split('\n')[0] ?? '').replace(/ at line \d+.*$/, '') });
    }
    if (document.errors.length > 0) continue;
    let value: unknown;
    try {
      value = document.toJS();
    } catch (failure) {
      // Aliases that lead nowhere or multiply without bound.
      problems.push({ line: 1, message: (failure as Error).message });
      continue;
    }
    if (value === null || value === undefined) continue; // nothing but comments
    const line = lineOfNode(document.contents, lines);
    const items = (value as { kind?: unknown; items?: unknown }).items;
    if ((value as { kind?: unknown }).kind === 'List' && Array.isArray(items)) {
      for (const [place, item] of items.entries()) {
        const at = lineOfPath(document, ['items', place], lines);
        result.push({ value: item, document: index, prefix: `items[${place}]`, line: at });
      }
    } else {
      result.push({ value, document: index, prefix: '', line });
    }
  }
  return { documents: result, problems };
}

/** Line of a field such as `spec.ports[0].port`, or of the nearest thing around it that is there. From 1. */
export function lineOfField(text: string, at: RawDocument, field: string): number {
  const { documents, lines } = parse(text);
  const document = documents[at.document];
  if (document === undefined) return at.line;
  const path = fieldPath(at.prefix === '' ? field : `${at.prefix}.${field}`);
  return lineOfPath(document, path, lines);
}

function parse(text: string): { documents: Document.Parsed[]; lines: LineCounter } {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  return { documents: Array.isArray(parsed) ? (parsed as Document.Parsed[]) : [], lines };
}

/** `spec.ports[0].port` → ['spec', 'ports', 0, 'port']; a name with dots stands as `labels[a.b/c]`. */
export function fieldPath(field: string): (string | number)[] {
  const path: (string | number)[] = [];
  for (const match of field.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)) {
    const inner = match[1];
    if (inner === undefined) path.push(match[0]);
    else path.push(/^\d+$/.test(inner) ? Number(inner) : inner.replace(/^["']|["']$/g, ''));
  }
  return path;
}

function lineOfPath(
  document: Document.Parsed,
  path: readonly (string | number)[],
  lines: LineCounter,
): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lineOfNode(node, lines);
  }
  return lineOfNode(document.contents, lines);
}

function lineOfNode(node: unknown, lines: LineCounter): number {
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : 1;
}
