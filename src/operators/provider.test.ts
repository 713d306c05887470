// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { readProvider } from './provider.ts';

const SHIPPED = readFileSync(new URL('../../config/provider/kubernetes.yaml', import.meta.url), 'utf8');
const read = (files: Record<string, string>) =>
  readProvider(new Map(Object.entries(files)), 'cubeplane-system');

test('the chain of the provider, as it was written', () => {
  const { chains, problems } = read({ 'kubernetes.yaml': SHIPPED, 'empty.yaml': '---\n# nothing\n' });
  expect(problems).toEqual([]);
  expect([...chains.keys()]).toEqual(['kubernetes']);
  // a default that is filled in would belong to the operator from then on
  expect(JSON.stringify(chains.get('kubernetes'))).not.toContain('failurePolicy');
});

const CHAIN = (name: string, more = '') => `apiVersion: cubeplane.io/v1alpha1
kind: ServiceChain
metadata: {name: ${name}, namespace: cubeplane-system}
spec:
  target: {type: Nodes, nodes: {}}
  cubes: [{name: r, type: Router, router: {}}]
  links: [{name: host, endpoints: [{type: Cube, cube: {name: r, port: host}}, {type: Stack}]}]
${more}`;

test.each([
  ['no YAML', 'a: [', /bad.yaml: /],
  ['an alias that leads nowhere', 'a: *b', /bad.yaml: /],
  ['no object', '- 1', /bad.yaml: document: the document is not a mapping/],
  ['another kind', 'kind: Service\napiVersion: v1\nmetadata: {name: a}', /bad.yaml: .*Service/],
  [
    'a kind that is not brought here',
    'apiVersion: cubeplane.io/v1alpha1\nkind: CubeTable\nmetadata: {name: t, namespace: cubeplane-system}\nspec: {type: AddressPool, addressPool: {ranges: [{prefix: 198.18.0.0/24}]}}',
    /CubeTable cubeplane-system\/t: only ServiceChains can be brought here; apply it by kubectl/,
  ],
  [
    'another namespace',
    CHAIN('c').replace('namespace: cubeplane-system', 'namespace: other'),
    /ServiceChain other\/c: metadata.namespace: the operator writes chains in cubeplane-system only/,
  ],
  ['an unknown field', CHAIN('c', '  more: 1\n'), /ServiceChain cubeplane-system\/c: spec.more/],
  ['one that is there already', CHAIN('good'), /ServiceChain good stands there twice/],
])('%s is a problem that names the file, and the others count', (_what, text, message) => {
  const { chains, problems } = read({ 'a.yaml': CHAIN('good'), 'bad.yaml': text });
  expect(problems).toEqual([expect.stringMatching(message)]);
  expect([...chains.keys()]).toEqual(['good']);
});
