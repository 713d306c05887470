// SPDX-License-Identifier: Apache-2.0
import { expect, it } from '@jest/globals';
import { billOf } from './bill.ts';

const CONTENTS = {
  version: '1.2.3',
  nodeVersion: '24.0.0',
  packages: [{ name: 'libc6', version: '2.36-9+deb12u14', architecture: 'amd64' }],
  modules: [
    { name: '@scope/module', path: 'node_modules/@scope/module', version: '1.0.0', license: 'MIT' },
    {
      ...{ name: 'choice', path: 'node_modules/choice', version: '2.0.0', license: 'MIT OR Apache-2.0' },
      integrity: `sha512-${Buffer.alloc(64, 1).toString('base64')}`,
    },
  ],
  layers: [],
};

it('names every part by its purl, with licence and hash where they are known, in one order', () => {
  const image = { name: 'localhost/cubeplane/cubeplane:1.2.3', digest: `sha256:${'0'.repeat(64)}` };
  const text = billOf(CONTENTS, image);
  expect(billOf({ ...CONTENTS, modules: CONTENTS.modules.toReversed() }, image)).toBe(text);
  const { bomFormat, specVersion, metadata, components, dependencies, ...rest } = JSON.parse(text);
  expect([bomFormat, specVersion]).toEqual(['CycloneDX', '1.6']);
  expect(metadata.component).toMatchObject({
    ...{ type: 'container', name: 'localhost/cubeplane/cubeplane', version: '1.2.3' },
    hashes: [{ alg: 'SHA-256', content: '0'.repeat(64) }],
  });
  expect(components.map(({ purl }: { purl: string }) => purl).sort()).toEqual([
    'pkg:deb/debian/libc6@2.36-9+deb12u14?arch=amd64',
    'pkg:generic/node@24.0.0',
    'pkg:npm/%40scope/module@1.0.0',
    'pkg:npm/choice@2.0.0',
  ]);
  const choice = components.find(({ name }: { name: string }) => name === 'choice');
  expect(choice).toMatchObject({
    licenses: [{ expression: 'MIT OR Apache-2.0' }],
    hashes: [{ alg: 'SHA-512', content: '01'.repeat(64) }],
  });
  expect(dependencies.some(({ dependsOn }: { dependsOn?: string[] }) => dependsOn?.length === 4)).toBe(true);
  // neither time nor serial number
  expect(Object.keys(rest).sort()).toEqual(['$schema', 'version']);
});
