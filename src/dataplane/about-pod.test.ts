// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { aboutPod } from './about-pod.ts';

const pod = {
  metadata: {
    namespace: 'shop',
    name: 'web',
    uid: 'u-1',
    labels: { app: 'web' },
    annotations: { 'kubernetes.io/config.hash': 'from-file', other: 'x' },
  },
  spec: {
    nodeName: 'node-a',
    containers: [{ name: 'c', image: 'i', ports: [{ name: 'web', containerPort: 80, hostPort: 80 }] }],
    initContainers: [{ name: 's', restartPolicy: 'Always', ports: [{ name: 'stats', containerPort: 90 }] }],
  },
  status: { phase: 'Pending' },
};
const namespace = { metadata: { name: 'shop', labels: { team: 'a' }, uid: 'u-2' } };
const source = { readPod: async () => ({ pod, namespace }) };
const which = { namespace: 'shop', name: 'web' };

test('labels and named ports are kept, and nothing else', async () => {
  expect(await aboutPod(source, { ...which, uid: 'u-1' })).toEqual({
    pod: {
      metadata: { namespace: 'shop', name: 'web', labels: { app: 'web' } },
      spec: {
        containers: [{ ports: [{ name: 'web', protocol: undefined, containerPort: 80 }] }],
        initContainers: [
          { restartPolicy: 'Always', ports: [{ name: 'stats', protocol: undefined, containerPort: 90 }] },
        ],
      },
    },
    namespace: { metadata: { name: 'shop', labels: { team: 'a' } } },
  });
});

test('a pod of the kubelet’s own files has another UID at the API server', async () => {
  expect(await aboutPod(source, { ...which, uid: 'from-file' })).toBeDefined();
});

test('a source without pods has nothing to say', async () => {
  expect(await aboutPod({}, which)).toBeUndefined();
});

test('what was known of a pod counts while nobody can be asked, and only then', async () => {
  const recorded = { pod: { metadata: { name: 'web' } }, namespace: { metadata: {} }, isRecorded: true };
  const away = { readPod: async () => await Promise.reject(new Error('connection refused')) };
  expect(await aboutPod(away, { ...which, uid: 'u-1', recorded })).toBe(recorded);
  expect(await aboutPod(source, { ...which, uid: 'u-1', recorded })).toMatchObject({
    pod: { metadata: { labels: { app: 'web' } } },
  });
  const none = { readPod: async () => undefined };
  await expect(aboutPod(none, { ...which, uid: 'u-1', recorded })).rejects.toThrow('no such pod');
});

test.each([
  ['no such pod', { readPod: async () => undefined }, 'the API server has no such pod'],
  ['one that came in its place', source, 'the API server has one with the UID u-1, not u-0'],
  [
    'an API server that is away',
    { readPod: async () => await Promise.reject(new Error('connection refused')) },
    'connection refused',
  ],
])('%s: the pod is named, and it is tried again', async (_, from, message) => {
  await expect(aboutPod(from, { ...which, uid: 'u-0' })).rejects.toMatchObject({
    code: 'PodUnreadable',
    message: expect.stringContaining(`Pod shop/web: `),
    remedy: expect.stringContaining('tried again'),
  });
  await expect(aboutPod(from, { ...which, uid: 'u-0' })).rejects.toThrow(message);
});
