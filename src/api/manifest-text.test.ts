// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { fieldPath, lineOfField, parseManifest } from './manifest-text.ts';

const TWO = `# a comment
kind: Service
metadata:
  name: web
---
kind: Node
metadata: {name: a}
spec:
  podCIDRs:
  - 10.1.0.0/24
  - bad
---
# nothing
`;

test('several documents, with the line of each; comments alone are none', () => {
  const { documents, problems } = parseManifest(TWO);
  expect(problems).toEqual([]);
  expect(documents.map(({ line, document }) => [line, document])).toEqual([
    [2, 0],
    [6, 1],
  ]);
});

test('the line of a field, or of what is nearest to it', () => {
  const [service, node] = parseManifest(TWO).documents;
  if (service === undefined || node === undefined) throw new Error('two documents');
  expect(lineOfField(TWO, node, 'spec.podCIDRs[1]')).toBe(11);
  expect(lineOfField(TWO, node, 'spec.podCIDRs[1].none')).toBe(11);
  expect(lineOfField(TWO, service, 'metadata.namespace')).toBe(4);
});

test('a List is taken apart', () => {
  const text =
    '{"kind": "List",\n "items": [\n {"kind": "Node"},\n {"kind": "Service", "spec": {\n "type": 1}}]}';
  const { documents } = parseManifest(text);
  expect(documents.map((document) => [document.prefix, document.line])).toEqual([
    ['items[0]', 3],
    ['items[1]', 4],
  ]);
  expect(documents[1] && lineOfField(text, documents[1], 'spec.type')).toBe(5);
});

test.each([
  ['a: [1', 1],
  ['a: 1\na: 2\n', 2],
  ['a: 1\nb: "x\n', 3],
])('syntax errors have their line: %j', (text, line) => {
  const { documents, problems } = parseManifest(text);
  expect(documents).toEqual([]);
  expect(problems[0]?.line).toBe(line);
  expect(problems[0]?.message).not.toContain('\n');
});

test('paths with numbers and with dots in names', () => {
  expect(fieldPath('spec.ports[10].port')).toEqual(['spec', 'ports', 10, 'port']);
  expect(fieldPath('metadata.labels[a.b/c]')).toEqual(['metadata', 'labels', 'a.b/c']);
});
