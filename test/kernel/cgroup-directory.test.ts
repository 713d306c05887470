// SPDX-License-Identifier: Apache-2.0
/** Where programs at cgroups are attached: the same directory, by whatever name a node has it. */
import { symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { findCgroup } from '../../src/dataplane/kernel/cgroup.ts';

test('/sys/fs/cgroup is the root of cgroup2, or has it in its folder unified', () => {
  const root = findCgroup(undefined);
  expect(root).toBeDefined();
  expect(findCgroup('/sys/fs/cgroup')).toEqual(root);
  expect(findCgroup(root?.path)).toEqual(root);
});

test('in a container the hierarchy of the node is found at whatever place it is mounted', async () => {
  const root = findCgroup(undefined);
  const folder = await mkdtemp(join(tmpdir(), 'cubeplane-cgroup-'));
  try {
    expect(findCgroup(folder)).toBeUndefined();
    symlinkSync(root?.path ?? '', join(folder, 'unified'));
    expect(findCgroup(folder)).toEqual({ path: join(folder, 'unified'), id: root?.id });
  } finally {
    await rm(folder, { recursive: true });
  }
});
