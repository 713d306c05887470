// SPDX-License-Identifier: Apache-2.0
/** What make builds does not tell where it was built: two checkouts of one commit give one image. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');

test('no object, addon or plugin holds the path of this checkout', () => {
  const objects = readdirSync(join(ROOT, 'build/bpf')).filter((name) => name.endsWith('.o'));
  const built = [...objects.map((name) => `bpf/${name}`), 'cubeplane.node', 'cubeplane-cni'];
  expect(objects.length).toBeGreaterThan(10);
  const telling = built.filter((name) => readFileSync(join(ROOT, 'build', name)).includes(ROOT));
  expect(telling).toEqual([]);
});
