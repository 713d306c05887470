// SPDX-License-Identifier: Apache-2.0
/** Looking inside a node: tables, drops, top and metrics of a real agent say what packets really did. */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { TableInfo, TablePage } from '../../src/dataplane/inspect/tables.ts';
import { ask } from '../harness/traffic.ts';
import { openTrafficLab, PORT, type TrafficLab, VIPS } from './support/services.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const METRICS = '127.0.0.1:9465';
const ILB = `${SYSTEM}/kubernetes.ilb.node-a`;
const ROUTER = `${SYSTEM}/kubernetes.router.node-a`;

let t: TrafficLab;
beforeAll(async () => {
  t = await openTrafficLab('inspection test', { flags: ['--metrics-address', METRICS] });
  for (const family of FAMILIES) {
    const report = await ask(t.client.namespace, VIPS.near[family], PORT, { count: 10, udp: false });
    expect(report.failures).toEqual([]);
    await ask(t.client.namespace, VIPS.none[family], PORT, { count: 2, udp: false });
  }
});
afterAll(async () => {
  await t?.lab.close();
});

async function cli(...args: string[]): Promise<string> {
  return (await t.lab.worker(0).agent.cli(args)).stdout;
}

async function json<T>(...args: string[]): Promise<T> {
  return JSON.parse(await cli(...args, '-o', 'json')) as T;
}

describe('tables', () => {
  test('which there are, and how full', async () => {
    const list = await json<TableInfo[]>('tables');
    expect(list.map(({ cube, table }) => `${cube} ${table}`)).toEqual(
      expect.arrayContaining([`${ILB} frontends`, `${ROUTER} routes_hash`, 'node pods']),
    );
    expect(list.find(({ table }) => table === 'frontends')?.max).toBeGreaterThan(0);
    expect(list.filter(({ table }) => table.endsWith('scratch'))).toEqual([]);
    expect(await cli('tables', 'kubernetes.ilb.node-a')).toMatch(/^CUBE +TABLE +ROWS +DESCRIPTION\n/);
  });

  test.each(FAMILIES)('sessions of a client, with the name of the backend: %s', async (family) => {
    const client = t.client.addresses[family] ?? '';
    const page = await json<TablePage>('tables', ILB, 'established', '--match', client, '--limit', '1000');
    const forward = page.rows.filter(({ src, dst }) => src === client && dst === VIPS.near[family]);
    expect(forward.length).toBeGreaterThanOrEqual(10);
    const at = (address = '') => (family === 'ipv6' ? `[${address}]` : address);
    expect(forward[0]).toMatchObject({
      dport: PORT,
      proto: 6,
      backendName: `${at(t.near.addresses[family])}:8080/TCP of Service default/near`,
    });
  });

  test('a page at a time', async () => {
    const all = await json<TablePage>('tables', ILB, 'frontends');
    expect(all).toMatchObject({ more: false, offset: 0 });
    const pages: unknown[] = [];
    for (let offset = 0; ; offset += 7) {
      const page = await json<TablePage>('tables', ILB, 'frontends', '--offset', `${offset}`, '--limit', '7');
      pages.push(...page.rows);
      if (!page.more) break;
    }
    expect(pages).toEqual(all.rows);
    const { stdout, stderr } = await t.lab.worker(0).agent.cli(['tables', ILB, 'frontends', '--limit', '2']);
    expect(stdout.split('\n')).toHaveLength(4);
    expect(stderr).toContain('--offset 2');
  });

  test('routes, backends and pods', async () => {
    const routes = await json<TablePage>('tables', ROUTER, 'routes_hash');
    expect(routes.rows).toContainEqual(expect.objectContaining({ addr: '10.244.2.0', length: 120, kind: 3 }));
    const backends = await json<TablePage>('tables', ILB, 'backends');
    expect(backends.rows).toContainEqual(
      expect.objectContaining({
        addr: t.near.addresses.ipv4,
        port: 8080,
        backend: expect.stringContaining('Service'),
        sessions: expect.any(Number),
      }),
    );
    const near = backends.rows.filter(({ addr, port, proto }) => {
      return Object.values(t.near.addresses).includes(String(addr)) && port === 8080 && proto === 6;
    });
    const sessions = near.reduce((sum, row) => sum + Number(row.sessions), 0);
    expect(sessions).toBeGreaterThanOrEqual(10 * FAMILIES.length);
    const pods = await json<TablePage>('tables', 'node', 'pods');
    expect(pods.rows).toContainEqual(
      expect.objectContaining({ key: t.client.addresses.ipv4, mac: t.client.mac }),
    );
  });

  test('what is not there is refused with what there is', async () => {
    const { agent } = t.lab.worker(0);
    const fails = async (...args: string[]) => await agent.cli(['tables', ...args], { anyStatus: true });
    expect(await fails('nothing')).toMatchObject({ status: 3, stderr: expect.stringContaining(ILB) });
    expect(await fails(ILB, 'routes')).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('frontends'),
    });
    expect(await fails(ILB, 'frontends', '--limit', 'x')).toMatchObject({ status: 2 });
    expect(await fails(ILB, 'frontends', '--limit', '0')).toMatchObject({ status: 4 });
  });
});

interface Dropped {
  by: string;
  reason: string;
  packets: number;
  remedy: string;
}

describe('drops', () => {
  test('by cube and reason, with what to do', async () => {
    const list = await json<Dropped[]>('drops');
    const refused = list.find(({ by, reason }) => by === ILB && reason === 'NoBackend');
    expect(refused?.packets).toBeGreaterThanOrEqual(4);
    expect(refused?.remedy).not.toBe('');
    const text = await cli('drops', '--cube', 'kubernetes.ilb.node-a');
    expect(text).toMatch(/^BY +REASON +PACKETS\n/);
    expect(text).toMatch(/NoBackend: The service has no backend/);
    expect(text).not.toContain('entry');
  });

  test('new ones, as they come', async () => {
    const { agent, node } = t.lab.worker(0);
    const argv = [process.execPath, 'src/cli/main.ts', 'drops', '--watch', '-o', 'json', '--cube', ILB];
    const watch = await node.namespace.start('drops', [
      'env',
      `CUBEPLANE_STATE=${agent.stateDir}`,
      ...argv,
      '--node',
      'node-a',
    ]);
    const seen = watch.waitForOutput(/"reason":"NoBackend"/, 60_000);
    let isSeen = false;
    void seen.then(
      () => (isSeen = true),
      () => (isSeen = true),
    );
    while (!isSeen) await ask(t.client.namespace, VIPS.none.ipv4, PORT, { count: 1, udp: false });
    await seen;
    await watch.stop();
  });
});

interface Rate {
  cube: string;
  port: string;
  rxPackets: number;
  rxBytes: number;
}

test('top: packets a second by cube and port', async () => {
  // As long as top needs for its two looks, the client asks.
  let rates: Rate[] | undefined;
  const looking = json<Rate[]>('top', '--once', '--interval', '1').then((found) => {
    rates = found;
  });
  while (rates === undefined) await ask(t.client.namespace, VIPS.near.ipv4, PORT, { count: 50, udp: false });
  await looking;
  const pods = rates.find(({ cube, port }) => cube === ILB && port === 'pods');
  expect(pods?.rxPackets).toBeGreaterThan(1);
  expect(pods?.rxBytes).toBeGreaterThan((pods?.rxPackets ?? 0) * 14);
  expect(
    rates.find(({ cube, port }) => cube === 'entry' && port === t.client.hostDevice)?.rxPackets,
  ).toBeGreaterThan(1);
  expect(await cli('top', '--once', '--interval', '0.2')).toMatch(/^CUBE +PORT +RX PACKETS\/S/);
});

describe('metrics', () => {
  async function scrape(path = '/metrics'): Promise<{ status: number; type: string; text: string }> {
    const script = `const r = await fetch('http://${METRICS}${path}'); console.log(JSON.stringify({ status: r.status, type: r.headers.get('content-type'), text: await r.text() }))`;
    const { stdout } = await t.lab
      .worker(0)
      .node.namespace.exec([process.execPath, '--input-type=module', '-e', script]);
    return JSON.parse(stdout) as { status: number; type: string; text: string };
  }

  test('every line is in the format, and what was counted is there', async () => {
    const { status, type, text } = await scrape();
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    const lines = text.trimEnd().split('\n');
    const sample =
      /^([a-z_]+)(\{[a-z]+="([^"\\]|\\.)*"(,[a-z]+="([^"\\]|\\.)*")*\})? \d+(\.\d+)?(e[+-]\d+)?$/;
    expect(lines.filter((line) => !line.startsWith('# ') && !sample.test(line))).toEqual([]);
    const typed = new Map(
      lines
        .flatMap((line) => /^# TYPE (\S+) (\S+)$/.exec(line)?.slice(1, 3) ?? [])
        .map((_, i, all) => [all[i], all[i + 1]]),
    );
    for (const line of lines.filter((one) => !one.startsWith('#'))) {
      const name = sample.exec(line)?.[1] ?? '';
      expect([name, typed.get(name)]).toEqual([name, name.endsWith('_total') ? 'counter' : 'gauge']);
    }
    const value = (name: string) =>
      Number(
        lines
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')
          .pop(),
      );
    const cube = `namespace="${SYSTEM}",cube="kubernetes.ilb.node-a"`;
    expect(value(`cubeplane_cube_drops_total{${cube},reason="NoBackend"}`)).toBeGreaterThanOrEqual(4);
    expect(value(`cubeplane_cube_events_total{${cube},event="newSessions"}`)).toBeGreaterThanOrEqual(20);
    expect(value(`cubeplane_port_receive_packets_total{${cube},port="pods"}`)).toBeGreaterThan(20);
    expect(value(`cubeplane_map_max_entries{${cube},map="frontends"}`)).toBeGreaterThan(0);
    const server = `kind="server",object="${t.near.addresses.ipv4}:8080/TCP"`;
    expect(value(`cubeplane_object_sessions_total{${cube},${server}}`)).toBeGreaterThanOrEqual(10);
    expect(value('cubeplane_agent_synced')).toBe(1);
    expect(text).toContain('cubeplane_agent_info{node="node-a",');
  });

  test('other paths', async () => {
    expect(await scrape('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    expect(await scrape('/nothing')).toMatchObject({ status: 404 });
  });
});
