// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { hierarchiesOf } from './hierarchies.ts';

test('a unified system has one hierarchy', () => {
  const mounts = 'proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n';
  expect(hierarchiesOf(mounts)).toEqual([{ type: 'cgroup2', path: '/sys/fs/cgroup', options: '' }]);
});

test('of a hybrid one each hierarchy is there once, as mount(8) wants it', () => {
  const mounts = [
    'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0',
    'cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0',
    'cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0',
    'cgroup2 /elsewhere cgroup2 rw,relatime 0 0',
  ].join('\n');
  expect(hierarchiesOf(mounts)).toEqual([
    { type: 'cgroup', path: '/sys/fs/cgroup/cpu,cpuacct', options: 'cpu,cpuacct' },
    { type: 'cgroup', path: '/sys/fs/cgroup/systemd', options: 'none,name=systemd' },
    { type: 'cgroup2', path: '/sys/fs/cgroup/unified', options: '' },
  ]);
});
