// SPDX-License-Identifier: Apache-2.0
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { AgentLog } from '../agent-options.ts';
import { HealthServers } from './health-servers.ts';
import { byPort, healthAnswer } from './service-health.ts';

const health = (name: string, port: number, localEndpoints: number) => ({
  namespace: 'default',
  name,
  port,
  localEndpoints,
});

describe('healthAnswer', () => {
  test('is what kube-proxy says', () => {
    expect(healthAnswer(health('web', 32_100, 2), true)).toEqual({
      status: 200,
      headers: {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': '2',
      },
      body: '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
    });
  });

  test.each([
    [0, true, 503],
    [1, true, 200],
    [1, false, 503],
  ] as const)('%i backends here, proxy healthy %s: %i', (count, isHealthy, status) => {
    expect(healthAnswer(health('web', 1, count), isHealthy).status).toBe(status);
  });
});

describe('byPort', () => {
  test('a Service that several cubes tell of is one', () => {
    const { ports, problems } = byPort([health('web', 1, 3), health('web', 1, 3)]);
    expect([...ports.values()]).toEqual([health('web', 1, 3)]);
    expect(problems).toEqual([]);
  });

  test('of two Services on one port the smaller name has it, and the other is told', () => {
    const { ports, problems } = byPort([health('b', 1, 3), health('a', 1, 0)]);
    expect(ports.get(1)?.name).toBe('a');
    expect(problems).toEqual([
      'Service default/b: spec.healthCheckNodePort 1 belongs to Service default/a; give it another one',
    ]);
  });
});

describe('HealthServers', () => {
  const log: AgentLog = { debug() {}, info() {}, warn() {}, error() {} };
  let servers: HealthServers | undefined;
  afterEach(() => servers?.stop());

  /** A port that nobody has now. */
  async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }

  const ask = (port: number, host = '127.0.0.1') =>
    new Promise<{ status: number; weight: unknown } | string>((resolve) => {
      get({ host, port, path: '/', agent: false }, (response) => {
        response.resume();
        const weight = response.headers['x-load-balancing-endpoint-weight'];
        response.on('end', () => resolve({ status: response.statusCode ?? 0, weight }));
      }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });

  async function until(done: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await done())) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  test('answers on both families, follows the count, and ends with the Service', async () => {
    const port = await freePort();
    servers = new HealthServers(
      log,
      () => true,
      () => {},
    );
    servers.sync([health('web', port, 0)]);
    await until(async () => (await ask(port)) !== 'ECONNREFUSED');
    expect(await ask(port)).toEqual({ status: 503, weight: '0' });
    servers.sync([health('web', port, 2)]);
    expect(await ask(port)).toEqual({ status: 200, weight: '2' });
    expect(await ask(port, '::1')).toEqual({ status: 200, weight: '2' });
    servers.sync([]);
    expect(await ask(port)).toBe('ECONNREFUSED');
    expect(servers.problems).toEqual([]);
  });

  test('says who wants a port that another process has, and takes it when it is free', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, resolve));
    const { port } = other.address() as AddressInfo;
    let told = 0;
    servers = new HealthServers(
      log,
      () => true,
      () => told++,
    );
    servers.sync([health('web', port, 1)]);
    await until(() => told === 1);
    expect(servers.problems).toEqual([
      expect.stringMatching(new RegExp(`^Service default/web: spec.healthCheckNodePort ${port} is in use`)),
    ]);
    await new Promise((resolve) => other.close(resolve));
    await until(() => told === 2);
    expect(servers.problems).toEqual([]);
    expect(await ask(port)).toEqual({ status: 200, weight: '1' });
  }, 60_000);
});
