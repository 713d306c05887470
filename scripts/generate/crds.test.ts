// SPDX-License-Identifier: Apache-2.0
/** Habits of the API, checked on every node of every CRD. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';

interface Node {
  type?: string;
  description?: string;
  format?: string;
  enum?: string[];
  properties?: Record<string, Node>;
  additionalProperties?: Node;
  items?: Node;
  maxLength?: number;
  maxItems?: number;
  maxProperties?: number;
  minimum?: number;
  maximum?: number;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-validations'?: { rule: string; message: string }[];
}

const CRDS = join(import.meta.dirname, '../../crds');
const crds = readdirSync(CRDS)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => parse(readFileSync(join(CRDS, file), 'utf8')));

function nodes(node: Node, path: string): [string, Node][] {
  const below = [
    ...Object.entries(node.properties ?? {})
      .filter(([name]) => !(path === '' && name === 'metadata'))
      .map(([name, child]): [string, Node] => [`${path}.${name}`, child]),
    ...(node.items ? [[`${path}[]`, node.items] as [string, Node]] : []),
    ...(node.additionalProperties ? [[`${path}{}`, node.additionalProperties] as [string, Node]] : []),
  ];
  return [[path, node], ...below.flatMap(([at, child]) => nodes(child, at))];
}

describe.each(crds)('$spec.names.kind', (crd) => {
  const [version] = crd.spec.versions;
  const all = nodes(version.schema.openAPIV3Schema, '');
  const breaking = (bad: (node: Node) => boolean): string[] =>
    all.filter(([, node]) => bad(node)).map(([path]) => path);

  test('describes every field in a sentence', () => {
    expect(breaking((node) => !/^\S.*\.$/s.test(node.description ?? ''))).toEqual([]);
  });

  test('bounds every text, list, map and number', () => {
    const free = breaking(
      (node) =>
        (node.type === 'string' && !node.enum && !node.format && node.maxLength === undefined) ||
        (node.type === 'array' && node.maxItems === undefined) ||
        (node.additionalProperties !== undefined && node.maxProperties === undefined) ||
        (node.type === 'integer' && (node.minimum === undefined || node.maximum === undefined)),
    );
    expect(free.filter((path) => path !== '.apiVersion' && path !== '.kind')).toEqual([]);
  });

  test('says of every list how it is merged', () => {
    expect(breaking((node) => node.type === 'array' && !node['x-kubernetes-list-type'])).toEqual([]);
  });

  test('writes enums in PascalCase', () => {
    const odd = all.flatMap(([path, node]) =>
      (node.enum ?? []).filter((v) => !/^[A-Z][A-Za-z0-9]*$/.test(v)).map((v) => `${path} ${v}`),
    );
    expect(odd).toEqual([]);
  });

  test('says in every rule what is wrong and what to do', () => {
    for (const [, node] of all) {
      for (const { message } of node['x-kubernetes-validations'] ?? [])
        expect(message).toMatch(/^\S.+; \S.+$/);
    }
  });

  test('has the category cubeplane, an age, and no short name of Kubernetes', () => {
    expect(crd.spec.names.categories).toEqual(['cubeplane']);
    expect(version.additionalPrinterColumns.map(({ name }: { name: string }) => name)).toContain('Age');
    expect(['sc', 'svc', 'no', 'po', 'cm', 'cr']).not.toContain(crd.spec.names.shortNames[0]);
  });
});
