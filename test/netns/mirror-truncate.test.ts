// SPDX-License-Identifier: Apache-2.0
/** A mirror whose copies are cut: those who watch get the beginning of each packet, those who talk notice nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { until } from '../harness/until.ts';
import { ipBytes } from '../kernel/support/bytes.ts';
import { sniff } from './support/frames.ts';
import type { Manifest } from './support/manifests.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(180_000);

/** The cubes and wires of samples/mirror.yaml, with other rules. */
const SAMPLE = new URL('../../samples/mirror.yaml', import.meta.url).pathname;
const TAP = `${SYSTEM}/tap`;
const WEB = 8080;
/** Bytes of frame: what `probe` gets of all, and `sampler` of TCP. */
const [MOST, LEAST] = [128, 64];
/** Below that of the wires, and enough for IPv6. */
const SMALL_MTU = 1300;
const HEADERS = { ipv4: 14 + 20 + 20, ipv6: 14 + 40 + 20 };

let lab: OneNode;
let client: Host;
let server: Host;
let probe: Host;
let sampler: Host;

function write(...rules: object[]): void {
  const objects = parseAllDocuments(readFileSync(SAMPLE, 'utf8')).map(
    (document) => document.toJS() as Manifest & { spec: { mirror?: object } },
  );
  for (const { spec } of objects) if (spec.mirror) spec.mirror = { rules };
  lab.manifests.write('mirror.yaml', ...objects);
}

const CUT = [
  { name: 'all', port: 'probe', truncate: MOST },
  // of two rules the longer copy
  { name: 'shorter', port: 'probe', protocols: ['TCP'], truncate: LEAST },
  { name: 'tcp', port: 'sampler', protocols: ['TCP'], truncate: LEAST },
];

beforeAll(async () => {
  lab = await openOneNode('mirror truncate test');
  client = await lab.addHost('client', { number: 11 });
  server = await lab.addHost('server', { number: 12 });
  probe = await lab.addHost('probe', { number: 13 });
  sampler = await lab.addHost('sampler', { number: 14 });
  await startBulkServer(server.namespace, WEB);
  write(...CUT);
  await lab.untilReady(5);
});
afterAll(async () => {
  await lab?.close();
});

const events = async () => await lab.counters.events(TAP, 'Mirror');
/** Bytes of a frame by its IP header. */
const whole = (frame: Buffer) =>
  14 + (frame.readUInt16BE(12) === 0x0800 ? frame.readUInt16BE(16) : 40 + frame.readUInt16BE(18));
/** Attachments at the egress of interfaces. */
const egress = () =>
  readdirSync(join(lab.agent.bpffs, 'cubeplane', 'node-a', 'v1', 'links')).filter((pin) =>
    pin.endsWith('_out'),
  );

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test('a connection is whole, its copies end where they should', async () => {
      const before = await events();
      const match = [Buffer.concat([ipBytes(client[family]), ipBytes(server[family])])];
      const [atProbe, atSampler] = await Promise.all(
        [probe, sampler].map((host) => sniff(host.namespace, 'eth0', { match, count: 30, seconds: 60 })),
      );
      const report = await transfer(client.namespace, server[family], WEB, 3_000_000);
      expect(report).toMatchObject({ take: true, give: true });
      const long = (await atProbe?.frames()) ?? [];
      const short = (await atSampler?.frames()) ?? [];
      expect([long.length, short.length]).toEqual([30, 30]);
      for (const frame of long) expect(frame.length).toBe(Math.min(whole(frame), MOST));
      for (const frame of short)
        expect(frame.length).toBe(Math.min(whole(frame), Math.max(LEAST, HEADERS[family])));
      // segments that the kernel sends as one are one copy
      expect(long.some((frame) => whole(frame) > 1514)).toBe(offload);
      const after = await events();
      expect(after.copyFailures).toBe(before.copyFailures);
      expect((after.copies ?? 0) - (before.copies ?? 0)).toBeGreaterThanOrEqual(60);
    });

    test('datagrams and fragments come whole, and their copies are their beginning', async () => {
      expect(await echoDatagram(client.namespace, server[family], WEB, 1200)).toMatchObject({ whole: true });
      expect(await pings(client.namespace, server[family], { size: 3000 })).toBe(3);
      const pattern = Buffer.from('a ping to be cut').toString('hex');
      const [atServer, atProbe] = await Promise.all(
        [
          { at: server, count: 4 },
          { at: probe, count: 8 },
        ].map(({ at, count }) =>
          sniff(at.namespace, 'eth0', { match: [Buffer.from(pattern, 'hex')], count, seconds: 60 }),
        ),
      );
      const argv = ['ping', '-n', '-c', '4', '-i', '0.05', '-W', '5', '-s', '1000', '-p', pattern];
      expect((await client.namespace.exec([...argv, server[family]])).stdout).toContain('4 received');
      const copies = (await atProbe?.frames()) ?? [];
      expect(copies.map(({ length }) => length)).toEqual(new Array(8).fill(MOST));
      const asked = (await atServer?.frames()) ?? [];
      expect(asked).toHaveLength(4);
      expect(copies.map(String)).toEqual(
        expect.arrayContaining(asked.map((frame) => String(frame.subarray(0, MOST)))),
      );
    });
  });
});

test('large segments become one frame that the interface takes', async () => {
  await lab.setOffload(true);
  await lab.node.namespace.ip(`link set sampler mtu ${SMALL_MTU}`);
  write({ name: 'long', port: 'sampler', protocols: ['TCP'], truncate: 9000 });
  await until('the other rule is in force', async () => egress().join() === 'sampler_out');
  await lab.untilReady(5);
  for (const family of FAMILIES) {
    const before = await events();
    const match = [Buffer.concat([ipBytes(client[family]), ipBytes(server[family])])];
    const atSampler = await sniff(sampler.namespace, 'eth0', { match, count: 30, seconds: 60 });
    expect(await transfer(client.namespace, server[family], WEB, 3_000_000)).toMatchObject({
      take: true,
      give: true,
    });
    const large = (await atSampler.frames()).filter((frame) => whole(frame) > 9000);
    expect(large.length).toBeGreaterThan(0);
    expect(large.map(({ length }) => length)).toEqual(large.map(() => 14 + SMALL_MTU));
    expect((await events()).copyFailures).toBe(before.copyFailures);
  }
  write(...CUT);
  await until('both are cut again', async () => egress().length === 2);
  await lab.untilReady(5);
});

test('other traffic of the interface is not cut, and after the last such rule nothing is attached', async () => {
  expect(egress()).toEqual(['probe_out', 'sampler_out']);
  expect((await lab.agent.cli(['plan'])).stdout).not.toMatch(/attach|detach|load|flip/);
  await lab.agent.kill();
  await lab.agent.start();
  await lab.untilReady(5);
  expect((await lab.agent.cli(['plan'])).stdout).not.toMatch(/attach|detach|load|flip/);
  expect(egress()).toEqual(['probe_out', 'sampler_out']);
  await lab.node.namespace.ip('address add 10.99.0.1/24 dev probe');
  await probe.namespace.ip('address add 10.99.0.2/24 dev eth0');
  const [own] = [await sniff(probe.namespace, 'eth0', { match: [Buffer.alloc(900, 0x5a)], seconds: 60 })];
  await lab.node.namespace.exec(['ping', '-c', '1', '-W', '1', '-s', '1000', '-p', '5a', '10.99.0.2'], {
    anyStatus: true,
  });
  expect((await own.frames()).map(({ length }) => length)).toEqual([14 + 20 + 8 + 1000]);

  write({ name: 'all', port: 'probe' });
  await until('nothing is attached', async () => egress().length === 0);
  await lab.untilReady(5);
  const pattern = Buffer.from('a whole one here').toString('hex');
  const atProbe = await sniff(probe.namespace, 'eth0', {
    match: [Buffer.from(pattern, 'hex')],
    count: 2,
    seconds: 60,
  });
  await client.namespace.exec(['ping', '-c', '1', '-W', '5', '-s', '1000', '-p', pattern, server.ipv4]);
  expect((await atProbe.frames()).map(({ length }) => length)).toEqual([1042, 1042]);
});
