// SPDX-License-Identifier: Apache-2.0
/** One client port, to a backend through its service and to the same backend by its own address. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, type Tcp, tcp, udp } from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { client: '10.244.1.5', vip: '10.96.0.10', backend: '10.244.2.7' }],
  ['IPv6', { client: 'fd00:244:1::5', vip: 'fd00:96::10', backend: 'fd00:244:2::7' }],
] as const;
type Family = (typeof FAMILIES)[number][1];
const PORT = 40000;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
  const vips = FAMILIES.map(([, f]) => f.vip);
  lb.set(
    service(
      'web',
      [frontend(vips)],
      FAMILIES.map(([, f]) => backend(f.backend)),
    ),
  );
});
afterAll(() => lb.close());
beforeEach(() => lb.clear());

const toService = (f: Family, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.client, dst: f.vip }, tcp({ sport: PORT, dport: 80, ...o })));
const toBackend = (f: Family, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.client, dst: f.backend }, tcp({ sport: PORT, dport: 8080, ...o })));
const answer = (f: Family, dport: number, o: Partial<Tcp>) =>
  ethernet({}, ip({ src: f.backend, dst: f.client }, tcp({ sport: 8080, dport, ...o })));

function connect(f: Family): void {
  lb.client(toService(f, { flags: 'S', seq: 100 }));
  lb.server(answer(f, PORT, { flags: 'SA', seq: 5000, ack: 101 }));
  lb.client(toService(f, { flags: 'A', seq: 101, ack: 5001 }));
}

describe.each(FAMILIES)('%s', (_, f) => {
  test.each([
    ['reset', 'R'],
    ['closed', 'FA'],
  ])('a session that was %s makes room: the answer comes from the backend', (_, flags) => {
    connect(f);
    lb.client(toService(f, { flags, seq: 101, ack: 5001 }));
    const out = lb.client(toBackend(f, { flags: 'S', seq: 900 }));
    expect(out.seen).toMatchObject({ port: SERVER, work: { dst: f.backend, sport: PORT } });
    const back = lb.server(answer(f, PORT, { flags: 'SA', seq: 7000, ack: 901 }));
    expect(back.seen).toMatchObject({ port: CLIENT, work: { src: f.backend, sport: 8080, dport: PORT } });
    expect(lb.halves()).toEqual([]);
  });

  test('beside a session that is alive the connection gets another port, and both go on', () => {
    connect(f);
    const out = lb.client(toBackend(f, { flags: 'S', seq: 900 }));
    verifyChecksums(out.frame);
    const port = out.seen?.work.sport ?? 0;
    expect(port).not.toBe(PORT);
    expect(out.seen).toMatchObject({ port: SERVER, work: { src: f.client, dst: f.backend, dport: 8080 } });
    const back = lb.server(answer(f, port, { flags: 'SA', seq: 7000, ack: 901 }));
    verifyChecksums(back.frame);
    expect(dissect(back.frame).ip).toMatchObject({ src: f.backend, tcp: { sport: 8080, dport: PORT } });
    expect(lb.client(toBackend(f, { flags: 'A', seq: 901, ack: 7001 })).seen?.work.sport).toBe(port);
    expect(lb.client(toService(f, { flags: 'A', seq: 101, ack: 5001 })).seen?.work).toMatchObject({
      dst: f.backend,
      sport: PORT,
    });
    expect(lb.server(answer(f, PORT, { flags: 'A', seq: 5001, ack: 101 })).seen?.work.src).toBe(f.vip);
  });

  describe('a connection to the backend itself is there first', () => {
    const asPod = { src: f.backend, dst: f.client, sport: 8080, dport: PORT };
    beforeEach(() => {
      lb.client(toBackend(f, { flags: 'S', seq: 100 }));
      lb.server(answer(f, PORT, { flags: 'SA', seq: 5000, ack: 101 }));
      lb.client(toBackend(f, { flags: 'A', seq: 101, ack: 5001 }));
      lb.client(toService(f, { flags: 'S', seq: 300 }));
    });

    test.each([
      ['says where it stands', { flags: 'A', ack: 101 }],
      ['sends data', { flags: 'PA', ack: 101, payload: 40 }],
      ['closes', { flags: 'FA', ack: 101 }],
    ])('its answers are its own: the server %s', (_, o) => {
      const frame = answer(f, PORT, { seq: 5001, ...o });
      const out = lb.server(frame);
      expect(out.seen).toMatchObject({ port: CLIENT, work: asPod });
      expect(out.frame).toEqual(frame);
      expect(out.counts).toEqual(['load-balancer passed']);
    });

    test('the one through the service gets another port, and both go on', () => {
      lb.server(answer(f, PORT, { flags: 'A', seq: 5001, ack: 101 }));
      const again = lb.client(toService(f, { flags: 'S', seq: 300 }));
      verifyChecksums(again.frame);
      const port = again.seen?.work.sport ?? 0;
      expect(port).not.toBe(PORT);
      expect(again.seen).toMatchObject({
        port: SERVER,
        work: { src: f.client, dst: f.backend, dport: 8080 },
      });
      expect(again.counts).toEqual(expect.arrayContaining(['load-balancer sourcePortChanged']));
      const back = lb.server(answer(f, port, { flags: 'SA', seq: 7000, ack: 301 }));
      expect(dissect(back.frame).ip).toMatchObject({ src: f.vip, tcp: { sport: 80, dport: PORT } });
      expect(lb.client(toService(f, { flags: 'A', seq: 301, ack: 7001 })).seen?.work.sport).toBe(port);
      expect(lb.client(toBackend(f, { flags: 'PA', seq: 101, ack: 5001 })).seen?.work.sport).toBe(PORT);
      const late = lb.server(answer(f, PORT, { flags: 'A', seq: 5001, ack: 101 }));
      expect(late.seen).toMatchObject({ port: CLIENT, work: asPod });
      expect(lb.halves()).toHaveLength(2);
    });

    test('what answers the SYN is the service’s: a SYN-ACK, a RST, and all that follows a SYN-ACK', () => {
      const asService = { port: CLIENT, work: { src: f.vip, sport: 80 } };
      for (const flags of ['SA', 'A', 'PA', 'FA', 'R'])
        expect(lb.server(answer(f, PORT, { flags, seq: 9000, ack: 301 })).seen).toMatchObject(asService);
    });

    test('a dry run says so, and writes nothing', () => {
      const before = lb.halves();
      const { events } = lb.server(answer(f, PORT, { flags: 'A', seq: 5001, ack: 101 }), { dry: true });
      expect(events.filter(({ kind }) => kind === 'decision').map(({ value }) => value)).toEqual([8, 6]);
      expect(lb.halves()).toEqual(before);
    });
  });

  describe('UDP', () => {
    const server = () => backend(f.backend, { ports: [{ name: '', port: 8080, protocol: 'UDP' }] });
    beforeEach(() => {
      lb.set(service('datagrams', [frontend([f.vip], { protocol: 'UDP' })], [server()]));
    });
    afterEach(() => {
      lb.set(service('datagrams', [], []), service('other', [], []));
    });
    const frameOf = (src: string, dst: string, sport: number, dport: number) =>
      ethernet({}, ip({ src, dst }, udp({ sport, dport, payload: 8 })));
    const ask = (dst: string, dport: number) => lb.client(frameOf(f.client, dst, PORT, dport));
    const answered = (dport: number) => lb.server(frameOf(f.backend, f.client, 8080, dport));

    test('beside a flow of a service one to the backend itself gets another port, and each its own answers', () => {
      ask(f.vip, 80);
      expect(answered(PORT).seen?.work.src).toBe(f.vip);
      const out = ask(f.backend, 8080);
      verifyChecksums(out.frame);
      const port = out.seen?.work.sport ?? 0;
      expect(port).not.toBe(PORT);
      expect(out.seen).toMatchObject({ port: SERVER, work: { src: f.client, dst: f.backend, dport: 8080 } });
      const back = answered(port);
      verifyChecksums(back.frame);
      expect(dissect(back.frame).ip).toMatchObject({ src: f.backend, udp: { sport: 8080, dport: PORT } });
      expect(ask(f.backend, 8080).seen?.work.sport).toBe(port);
      expect(ask(f.vip, 80).seen?.work).toMatchObject({ dst: f.backend, sport: PORT });
      expect(answered(PORT).seen?.work.src).toBe(f.vip);
    });

    test('one to the backend itself that is there first gets it with its next question', () => {
      expect(ask(f.backend, 8080).seen?.work.sport).toBe(PORT);
      expect(answered(PORT).seen?.work.src).toBe(f.backend);
      ask(f.vip, 80);
      const port = ask(f.backend, 8080).seen?.work.sport ?? 0;
      expect(port).not.toBe(PORT);
      expect(answered(port).seen?.work).toMatchObject({ src: f.backend, dport: PORT });
      expect(answered(PORT).seen?.work.src).toBe(f.vip);
    });

    test('it stays when the service lets go of the backend for another one', () => {
      const udp = (port: number) => frontend([f.vip], { port, protocol: 'UDP' });
      const shared = service('other', [udp(81)], [server()]);
      lb.set(shared);
      ask(f.vip, 80);
      const port = ask(f.backend, 8080).seen?.work.sport;
      lb.set(service('datagrams', [udp(80)], []), shared);
      expect(ask(f.backend, 8080).seen?.work.sport).toBe(port);
    });
  });

  test('without a session the packet passes as it is', () => {
    const frame = toBackend(f, { flags: 'S' });
    const out = lb.client(frame);
    expect(out.seen?.port).toBe(SERVER);
    expect(out.frame).toEqual(frame);
    expect(lb.halves()).toEqual([]);
  });
});
