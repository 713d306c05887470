// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { cacheDirectory } from '../go-build.ts';
import { ensureKubernetes, kubernetesVersion, linkerFlags } from './build.ts';
import { isRecentEnough } from './go.ts';

test('the cache folder: CUBEPLANE_CACHE, then XDG_CACHE_HOME, then ~/.cache', () => {
  expect(cacheDirectory({ CUBEPLANE_CACHE: '/c', XDG_CACHE_HOME: '/x' })).toBe('/c');
  expect(cacheDirectory({ XDG_CACHE_HOME: '/x' })).toBe('/x/cubeplane');
  expect(cacheDirectory({})).toMatch(/\/\.cache\/cubeplane$/);
});

test('the version is the one that go.mod requires', () => {
  expect(kubernetesVersion('require (\n\tk8s.io/kubectl v0.35.4\n\tk8s.io/kubernetes v1.35.4\n)')).toBe(
    'v1.35.4',
  );
  expect(() => kubernetesVersion('k8s.io/kubernetes v1.35.4-rc.0')).toThrow(
    'no release of k8s.io/kubernetes',
  );
});

test('both copies of the version variables are set', () => {
  const flags = linkerFlags('v1.35.4');
  expect(flags).toContain('-X k8s.io/component-base/version.gitVersion=v1.35.4');
  expect(flags).toContain('-X k8s.io/client-go/pkg/version.gitMinor=35');
});

test.each([
  ['go1.24.9', false],
  ['go1.25', true],
  ['go1.26.8', true],
  ['go1.19.8', false],
  ['devel', false],
])('%s compiles Kubernetes: %s', (version, expected) => {
  expect(isRecentEnough(version)).toBe(expected);
});

test('KUBEBUILDER_ASSETS wins, and a folder without the programs is refused by name', async () => {
  const before = process.env.KUBEBUILDER_ASSETS;
  process.env.KUBEBUILDER_ASSETS = import.meta.dirname;
  try {
    await expect(ensureKubernetes(() => {})).rejects.toThrow(
      /holds no etcd, kube-apiserver, kube-controller-manager, kubectl/,
    );
  } finally {
    if (before === undefined) delete process.env.KUBEBUILDER_ASSETS;
    else process.env.KUBEBUILDER_ASSETS = before;
  }
});
