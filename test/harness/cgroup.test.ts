// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { cgroup2Mount } from './cgroup.ts';

test.each([
  ['unified', 'proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n', '/sys/fs/cgroup'],
  [
    'hybrid',
    'cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n',
    '/sys/fs/cgroup/unified',
  ],
  ['legacy', 'cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n', undefined],
])('finds the cgroup2 mount of a %s system', (_, mounts, expected) => {
  expect(cgroup2Mount(mounts)).toBe(expected);
});
