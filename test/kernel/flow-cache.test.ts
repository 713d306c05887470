// SPDX-License-Identifier: Apache-2.0
/** What is known of flows: when packets go by it, and what ends it. That they fare as without it is fuzz-flow-cache.test.ts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Family } from '../bench/connect.ts';
import { connect, frameOf, turned } from '../bench/connect.ts';
import { Rig } from '../bench/flows.ts';
import { FLOW_RECORDS } from '../bench/load.ts';
import { BACKENDS, backendOf, TARGET, vip } from '../bench/service-rows.ts';
import { POD_MAC } from './support/bytes.ts';
import { u32, Verdict } from './support/chain.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, tcp } from './support/packet.ts';

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
const CLIENTS = { ipv4: '10.244.1.10', ipv6: 'fd00:244:0:1::10' } as const;
/** A coarse second is 2^30 ns. Each test has the most of one for itself. */
const SECOND_NS = 1n << 30n;

let rig: Rig;
let sport = 20_000;

beforeAll(async () => {
  rig = await Rig.open({ firewall: true });
  rig.fromClient();
}, 60_000);
afterAll(() => rig?.close());

beforeEach(async () => {
  rig.fromClient();
  const left = SECOND_NS - (process.hrtime.bigint() % SECOND_NS);
  if (left < SECOND_NS / 2n) await nextSecond();
});

interface Established {
  readonly request: Buffer;
  readonly reply: Buffer;
  readonly client: { src: string; dst: string; sport: number; dport: number };
}

/** A connection of a client to a Service, that both ends have confirmed. */
function established(family: Family, protocol: 'TCP' | 'UDP'): Established {
  const client = { protocol, src: CLIENTS[family], dst: vip(family, 1), sport: sport++, dport: 80 };
  const { request, reply } = connect(
    client,
    (from, frame) => {
      if (from === 'client') rig.fromClient();
      else rig.fromServer();
      return rig.chain.entry.testRun({ dataIn: frame }).dataOut;
    },
    POD_MAC,
  );
  rig.fromClient();
  return { request, reply, client };
}

/** A client's packet with other flags or TTL. */
function packetOf({ client: { src, dst, ...ports } }: Established, o: { flags?: string; ttl?: number }) {
  const { ttl = 64, ...rest } = o;
  return ethernet({}, ip({ src, dst, ttl }, tcp({ ...ports, seq: 101, ack: 501, ...rest })));
}

const nextSecond = () => sleep(Number((SECOND_NS - (process.hrtime.bigint() % SECOND_NS)) / 1_000_000n) + 10);

/** What a packet becomes, and whether it went by a record. */
function send(frame: Buffer, options: Parameters<typeof rig.chain.run>[1] = {}) {
  const before = rig.chain.flows();
  const result = rig.chain.run(frame, options);
  const after = rig.chain.flows();
  return { ...result, isReplayed: after.replayed > before.replayed, isKept: after.kept > before.kept };
}

/** Packets until one goes by a record: three are seen before one leaves it. CPUs have their own, so it may take some more. */
function warm(frame: Buffer, options: Parameters<typeof send>[1] = {}): ReturnType<typeof send> {
  for (let n = 0; n < 40; n++) {
    const result = send(frame, options);
    if (result.isReplayed) return result;
  }
  throw new Error('no packet went by a record');
}

describe.each(FAMILIES)('%s', (family) => {
  describe.each(['TCP', 'UDP'] as const)('%s', (protocol) => {
    test('packets of a connection fare and count by the record as by the cubes, both ways', () => {
      const { request, reply } = established(family, protocol);
      for (const [frame, enter] of [
        [request, () => rig.fromClient()],
        [reply, () => rig.fromServer()],
      ] as const) {
        enter();
        const first = send(frame);
        expect(first).toMatchObject({ verdict: Verdict.redirect, isReplayed: false, drops: [] });
        const ports = () => [rig.balancer, rig.router].flatMap((cube) => [cube.port(0), cube.port(1)]);
        const before = ports();
        const entered = rig.chain.attachmentCounters().packets;
        const later = warm(frame);
        expect(later.frame.equals(first.frame)).toBe(true);
        expect(later.counts).toEqual(first.counts);
        expect(later.verdict).toBe(Verdict.redirect);
        expect(verifyChecksums(later.frame)).toEqual([]);
        const counted = ports().map((port, index) => port.rxPackets - (before[index]?.rxPackets ?? 0));
        const each = Math.max(...counted);
        expect(counted.toSorted()).toEqual([0, 0, each, each]);
        expect(rig.chain.attachmentCounters().packets - entered).toBe(each);
      }
    });

    test('three packets a second are seen before one leaves a record', async () => {
      const { request } = established(family, protocol);
      await nextSecond();
      const kept = Array.from({ length: 3 }, () => send(request)).map(({ isKept }) => isKept);
      expect(kept).toEqual([false, false, false]);
      expect(warm(request).verdict).toBe(Verdict.redirect);
    });
  });

  test('without a Service, too', () => {
    const direct = { src: CLIENTS[family], dst: family === 'ipv4' ? '10.244.2.7' : 'fd00:244:0:2::7' };
    const ends = { protocol: 'UDP', ...direct, sport: sport++, dport: 8080 } as const;
    rig.chain.run(frameOf(ends));
    rig.fromServer();
    rig.chain.run(frameOf(turned(ends), 'A', 0, 0, POD_MAC));
    rig.fromClient();
    expect(warm(frameOf(ends)).counts).toContain('load-balancer passed');
  });

  test.each(['S', 'FA', 'RA'])('%s asks the cubes, and ends what is known', (flags) => {
    const connection = established(family, 'TCP');
    warm(connection.request);
    expect(send(packetOf(connection, { flags })).isReplayed).toBe(false);
    expect(send(connection.request).isReplayed).toBe(false);
  });

  test('a write of the agent ends it', () => {
    const { request } = established(family, 'TCP');
    warm(request);
    rig.chain.forgetFlows();
    expect(send(request).isReplayed).toBe(false);
  });

  test('the end of the second ends it, and the session is kept alive', async () => {
    const { request } = established(family, 'TCP');
    warm(request);
    await sleep(1100);
    expect(send(request).isReplayed).toBe(false);
    expect(warm(request).verdict).toBe(Verdict.redirect);
  });

  test('who sends with a wrong MAC is refused, whatever is known of the flow', () => {
    const { request } = established(family, 'TCP');
    warm(request);
    const forged = Buffer.from(request);
    forged.set([2, 0, 0, 0, 11, 11], 6);
    expect(send(forged)).toMatchObject({ isReplayed: false, drops: ['entry SpoofedSource'] });
  });

  test('a tunnel from another node than before is refused, whatever is known of the flow', () => {
    const { reply, client } = established(family, 'TCP');
    const tunnel = { remote: '192.0.2.9', vni: 1 };
    const isV4 = family === 'ipv4';
    rig.chain.configure({ overlayVni: tunnel.vni, ...(isV4 ? { lengths4: [120] } : { lengths6: [64] }) });
    rig.chain.addOverlaySource(isV4 ? '10.244.2.0' : 'fd00:244:0:2::', isV4 ? 120 : 64, tunnel.remote);
    rig.fromServer();
    rig.chain.attach({ kind: 'overlay' }, rig.router, 1);
    rig.chain.forgetFlows();
    expect(dissect(warm(reply, { tunnel }).frame).ip?.src).toBe(client.dst);
    const forged = send(reply, { tunnel: { ...tunnel, remote: '192.0.2.10' } });
    expect(forged).toMatchObject({ isReplayed: false, drops: ['entry SpoofedOverlaySource'] });
  });

  test('a TTL of 1 is answered', () => {
    const connection = established(family, 'TCP');
    warm(connection.request);
    expect(send(packetOf(connection, { ttl: 1 }))).toMatchObject({
      isReplayed: false,
      drops: ['router TtlExpired'],
    });
  });

  test('a dry run asks each cube', () => {
    const { request } = established(family, 'TCP');
    warm(request);
    const { events } = rig.chain.rehearse(request);
    expect(events.filter(({ kind }) => kind === 'hop')).toHaveLength(3);
  });

  test.each(['TCP', 'UDP'] as const)(
    'a dry run of what opens a connection writes nothing, %s',
    (protocol) => {
      const ends = {
        protocol,
        src: CLIENTS[family],
        dst: vip(family, 2),
        sport: sport++,
        dport: 80,
      } as const;
      const places = () => rig.chain.shared('flow_places').dumpSync().values;
      const before = places();
      const { verdict } = rig.chain.rehearse(frameOf(ends, 'S'));
      expect(verdict).toBe(Verdict.drop); // nothing is sent
      expect(places().equals(before)).toBe(true);
    },
  );

  test('a traced packet asks each cube, and leaves no record', () => {
    const { request } = established(family, 'TCP');
    warm(request);
    trace(true);
    try {
      const result = send(request);
      expect(result.isReplayed).toBe(false);
      expect(result.events.filter(({ kind }) => kind === 'hop')).toHaveLength(3);
    } finally {
      trace(false);
    }
  });

  test('answers that have passed as their server’s own are a Service’s once its client asks from the same port', () => {
    const client = { protocol: 'UDP', src: CLIENTS[family], sport: sport++ } as const;
    const servers = Array.from({ length: BACKENDS }, (_, n) => backendOf(family, BACKENDS + n));
    const answerOf = (server: string) =>
      frameOf(turned({ ...client, dst: server, dport: TARGET }), 'A', 0, 0, POD_MAC);
    for (const server of servers) {
      // question, answer, question: the firewall knows the connection then
      rig.fromClient();
      send(frameOf({ ...client, dst: server, dport: TARGET }));
      rig.fromServer();
      send(answerOf(server));
      rig.fromClient();
      send(frameOf({ ...client, dst: server, dport: TARGET }));
      rig.fromServer();
      expect(dissect(warm(answerOf(server)).frame).ip?.src).toBe(server);
    }
    rig.fromClient();
    const asked = dissect(send(frameOf({ ...client, dst: vip(family, 1), dport: 80 })).frame).ip?.dst ?? '';
    expect(servers).toContain(asked);
    rig.fromServer();
    expect(dissect(send(answerOf(asked)).frame).ip?.src).toBe(vip(family, 1));
  });
});

test('without room for records nothing is known', () => {
  const { request } = established('ipv4', 'TCP');
  rig.chain.keepFlows(0);
  try {
    for (let n = 0; n < 10; n++) expect(send(request)).toMatchObject({ isReplayed: false, isKept: false });
  } finally {
    rig.chain.keepFlows(FLOW_RECORDS);
  }
});

/** All packets, as `cubeplane trace` asks the entry. */
function trace(on: boolean): void {
  const filter = Buffer.alloc(96);
  filter.writeBigUInt64LE(1n, 64);
  filter.writeBigUInt64LE(1n << 40n, 72);
  rig.chain.shared('trace_filter').update(u32(0), filter);
  const config = rig.chain.shared('node_config').lookup(u32(0)) ?? Buffer.alloc(24);
  config.writeUInt32LE(on ? 1 : 0, 12);
  rig.chain.shared('node_config').update(u32(0), config);
}
