// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { CniError } from './cni-error.ts';
import { commandOf, targetOf } from './environment.ts';
import type { Command } from './versions.ts';
import type { CniCall } from './wire.ts';

const CALL: CniCall = {
  command: 'ADD',
  containerId: 'abc',
  netns: '/run/netns/abc',
  ifname: 'eth0',
  args: '',
  path: '/opt/cni/bin',
  config: '{}',
};

function refusal(work: () => unknown): CniError {
  try {
    work();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error('it was taken');
}

test('what a runtime gives', () => {
  const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;OTHER=a=b';
  const target = targetOf('ADD', { ...CALL, args });
  expect(target).toMatchObject({ containerId: 'abc', ifname: 'eth0', netns: '/run/netns/abc' });
  expect(Object.fromEntries(target.args)).toMatchObject({ K8S_POD_NAME: 'web-0', OTHER: 'a=b' });
});

test.each<[string, Command, Partial<CniCall>, string]>([
  ['no container', 'ADD', { containerId: '' }, 'CNI_CONTAINERID: not set'],
  ['a container with a slash', 'DEL', { containerId: '../a' }, 'CNI_CONTAINERID'],
  ['a container of 600 letters', 'ADD', { containerId: 'a'.repeat(600) }, 'CNI_CONTAINERID'],
  ['no interface', 'CHECK', { ifname: '' }, 'CNI_IFNAME: not set'],
  ['a long interface', 'ADD', { ifname: 'a'.repeat(16) }, 'CNI_IFNAME'],
  ['an interface with a slash', 'DEL', { ifname: 'a/b' }, 'CNI_IFNAME'],
  ['an interface of two words', 'ADD', { ifname: 'a b' }, 'CNI_IFNAME'],
  ['an interface of two lines', 'ADD', { ifname: 'a\nlink' }, 'CNI_IFNAME'],
  ['an interface that looks like an option', 'ADD', { ifname: '-all' }, 'CNI_IFNAME'],
  ['the interface .', 'ADD', { ifname: '.' }, 'CNI_IFNAME'],
  ['no namespace', 'ADD', { netns: '' }, 'CNI_NETNS: not set'],
  ['a relative namespace', 'CHECK', { netns: 'run/netns/a' }, 'CNI_NETNS'],
  ['a namespace of two lines', 'DEL', { netns: '/run\nlink delete eth0' }, 'CNI_NETNS'],
  ['an argument without value', 'ADD', { args: 'K8S_POD_NAME' }, 'CNI_ARGS'],
  ['an argument that means nothing', 'ADD', { args: 'IP=10.1.1.1' }, 'CNI_ARGS: "IP"'],
])('%s is code 4, by its name', (_, command, members, names) => {
  const error = refusal(() => targetOf(command, { ...CALL, ...members }));
  expect(error.code).toBe(4);
  expect(error.message).toContain(names);
  expect(error.remedy).not.toBe('');
});

test('a DEL does with less', () => {
  expect(targetOf('DEL', { ...CALL, netns: '', args: 'nonsense;IP=1' })).toMatchObject({ netns: '' });
});

test('commands', () => {
  expect(commandOf(CALL)).toBe('ADD');
  expect(refusal(() => commandOf({ ...CALL, command: 'add' }))).toMatchObject({ code: 4 });
});
