// SPDX-License-Identifier: Apache-2.0
/** One client port, to a backend through its service and to the same backend by its own address. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, type Tcp, tcp } from './support/packet.ts';

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

  test('without a session the packet passes as it is', () => {
    const frame = toBackend(f, { flags: 'S' });
    const out = lb.client(frame);
    expect(out.seen?.port).toBe(SERVER);
    expect(out.frame).toEqual(frame);
    expect(lb.halves()).toEqual([]);
  });
});
