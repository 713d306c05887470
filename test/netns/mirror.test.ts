// SPDX-License-Identifier: Apache-2.0
/** samples/mirror.yaml: client and server talk as over a wire, and those who watch get copies of what they said. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { ethernet, ip, udp } from '../kernel/support/packet.ts';
import { sendFrames, sniff } from './support/frames.ts';
import { type Host, type OneNode, openOneNode, pings } from './support/one-node.ts';
import { echoDatagram, startBulkServer, transfer } from './support/sockets.ts';
import { FAMILIES, SYSTEM } from './support/two-nodes.ts';

jest.setTimeout(120_000);

const SAMPLE = new URL('../../samples/mirror.yaml', import.meta.url).pathname;
const TAP = `${SYSTEM}/tap`;
const WEB = 8080;
const OTHER = 9090;

let lab: OneNode;
let client: Host;
let server: Host;
let probe: Host;

beforeAll(async () => {
  lab = await openOneNode('mirror test');
  client = await lab.addHost('client', { number: 11 });
  server = await lab.addHost('server', { number: 12 });
  probe = await lab.addHost('probe', { number: 13 });
  await lab.addHost('sampler', { number: 14 });
  for (const port of [WEB, OTHER]) await startBulkServer(server.namespace, port);
  lab.manifests.writeText('mirror.yaml', readFileSync(SAMPLE, 'utf8'));
  await lab.untilReady(5);
});
afterAll(async () => {
  await lab?.close();
});

const events = async () => await lab.counters.events(TAP, 'Mirror');

describe.each([true, false])('checksum offload %s', (offload) => {
  beforeAll(async () => {
    await lab.setOffload(offload);
  });

  describe.each(FAMILIES)('%s', (family) => {
    test('client and server talk, mirrored or not, with large segments, datagrams and pings', async () => {
      for (const port of [WEB, OTHER]) {
        const report = await transfer(client.namespace, server[family], port, 3_000_000);
        expect(report).toMatchObject({ take: true, give: true });
        expect(await echoDatagram(client.namespace, server[family], port, 1200)).toMatchObject({
          whole: true,
        });
      }
      expect(await pings(client.namespace, server[family], { size: 3000 })).toBe(3);
    });

    test('each ping is copied, question and answer, as it was', async () => {
      const match = [Buffer.from('a ping to be seen')];
      const pattern = Buffer.concat(match).toString('hex').slice(0, 32);
      const [atServer, atProbe] = await Promise.all(
        [
          { at: server, count: 4 },
          { at: probe, count: 8 },
        ].map(({ at, count }) =>
          sniff(at.namespace, 'eth0', { match: [Buffer.from(pattern, 'hex')], count, seconds: 30 }),
        ),
      );
      const argv = ['ping', '-n', '-c', '4', '-i', '0.05', '-W', '2', '-p', pattern, server[family]];
      expect((await client.namespace.exec(argv)).stdout).toContain('4 received');
      const copies = (await atProbe?.frames())?.map(String) ?? [];
      expect(copies).toHaveLength(8);
      const asked = (await atServer?.frames())?.map(String) ?? [];
      expect(asked).toHaveLength(4);
      expect(copies).toEqual(expect.arrayContaining(asked));
    });
  });
});

test('the bytes of a connection are all there in the copies', async () => {
  const before = await events();
  const proof = Buffer.from('GET /watched');
  const copy = await sniff(probe.namespace, 'eth0', { match: [proof], seconds: 30 });
  const frame = (dport: number, payload: Buffer) =>
    ethernet(
      { src: client.mac, dst: server.mac },
      ip({ src: client.ipv4, dst: server.ipv4 }, udp({ sport: 40_000, dport, payload })),
    );
  // The whole frame: an ICMP error about it is to be copied.
  const notWatched = frame(OTHER, Buffer.from('not watched'));
  const other = await sniff(probe.namespace, 'eth0', { match: [notWatched], seconds: 3 });
  await sendFrames(client.namespace, 'eth0', [notWatched, frame(WEB, Buffer.from(proof))]);
  const [found] = await copy.frames();
  expect(found?.toString('hex')).toBe(frame(WEB, Buffer.from(proof)).toString('hex'));
  expect(await other.frames()).toEqual([]);
  expect((await events()).copies).toBeGreaterThan(before.copies ?? 0);
});

test('a part of the packets of the client, not all', async () => {
  const frame = (i: number) =>
    ethernet(
      { src: client.mac, dst: server.mac },
      ip(
        { src: client.ipv4, dst: server.ipv4 },
        udp({ sport: 41_000, dport: 5, payload: Buffer.from([i >> 8, i]) }),
      ),
    );
  const count = 2000;
  const before = await events();
  const ports = await lab.counters.ports(TAP);
  await sendFrames(
    client.namespace,
    'eth0',
    Array.from({ length: count }, (_, i) => frame(i)),
  );
  const more = async (name: string) => ((await events())[name] ?? 0) - (before[name] ?? 0);
  for (const deadline = Date.now() + 30_000; (await more('matched')) < count; await sleep(50))
    if (Date.now() > deadline) throw new Error('not all packets were seen');
  const copies = await more('copies');
  // 200 on average, with a standard deviation of 13
  expect(copies).toBeGreaterThan(120);
  expect(copies).toBeLessThan(300);
  expect((await more('copies')) + (await more('notSampled'))).toBeGreaterThanOrEqual(count);
  const after = await lab.counters.ports(TAP);
  expect((after[1]?.txPackets ?? 0) - (ports[1]?.txPackets ?? 0)).toBeGreaterThanOrEqual(count);
});

test('who watches goes away: nobody else notices', async () => {
  await lab.node.namespace.ip('link set probe down');
  const before = (await events()).copyFailures ?? 0;
  for (const family of FAMILIES) {
    expect(await pings(client.namespace, server[family])).toBe(3);
    expect(await transfer(client.namespace, server[family], WEB, 300_000)).toMatchObject({
      take: true,
      give: true,
    });
  }
  expect((await events()).copyFailures ?? 0).toBeGreaterThan(before);
  // and nobody can speak by its wire
  await lab.node.namespace.ip('link set probe up');
  await sendFrames(probe.namespace, 'eth0', [
    ethernet(
      { src: probe.mac, dst: server.mac },
      ip({ src: probe.ipv4, dst: server.ipv4 }, udp({ sport: 1, dport: 2 })),
    ),
  ]);
  const drops = async () => (await lab.counters.cube(TAP, 'Mirror')).FromCopyPort ?? 0;
  for (const deadline = Date.now() + 30_000; (await drops()) < 1; await sleep(50))
    if (Date.now() > deadline) throw new Error('what came in by the port for copies was not dropped');
});
