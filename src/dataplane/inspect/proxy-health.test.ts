// SPDX-License-Identifier: Apache-2.0
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { type ProxyHealth, proxyHealthAnswer, serveProxyHealth } from './proxy-health.ts';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const good: ProxyHealth = { servesPods: true, failingSince: undefined, taints: [], isLeaving: false };

test.each<[string, Partial<ProxyHealth>, number, number]>([
  ['all is well', {}, 200, 200],
  ['no chain serves the pods', { servesPods: false }, 503, 503],
  ['rounds have failed for a moment', { failingSince: NOW - 59_000 }, 200, 200],
  ['rounds have failed for a minute', { failingSince: NOW - 60_000 }, 503, 503],
  ['the autoscaler removes the node', { taints: ['x', 'ToBeDeletedByClusterAutoscaler'] }, 503, 200],
  ['the node is being deleted', { isLeaving: true }, 503, 200],
])('%s', (_, change, healthz, livez) => {
  const health = { ...good, ...change };
  expect(proxyHealthAnswer('/healthz', health, NOW)?.status).toBe(healthz);
  expect(proxyHealthAnswer('/livez', health, NOW)?.status).toBe(livez);
});

test('the body is that of kube-proxy', () => {
  expect(proxyHealthAnswer('/healthz', { ...good, failingSince: NOW - 1_000 }, NOW)?.body).toEqual({
    lastUpdated: '2026-11-28T11:59:59.000Z',
    currentTime: '2026-11-28T12:00:00.000Z',
    nodeEligible: true,
  });
  expect(proxyHealthAnswer('/metrics', good, NOW)).toBeUndefined();
});

test('it is served, and a wrong address is named with its flag', async () => {
  const server = await serveProxyHealth('127.0.0.1:0', () => ({ ...good, servesPods: false }));
  const { port } = server.address() as AddressInfo;
  const status = await new Promise((resolve) =>
    get({ host: '127.0.0.1', port, path: '/healthz?x' }, (answer) => resolve(answer.resume().statusCode)),
  );
  server.close();
  expect(status).toBe(503);
  await expect(serveProxyHealth('10256', () => good)).rejects.toThrow(
    '--healthz-address 10256 is not HOST:PORT',
  );
});
