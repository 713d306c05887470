// SPDX-License-Identifier: Apache-2.0
/** Client and backend on one node: balancer, router, and the balancer again, this time on the backends' side. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, SERVER, service } from './support/balancer.ts';
import { dissect, verifyChecksums } from './support/dissect.ts';
import { ethernet, ip, type Tcp, tcp } from './support/packet.ts';
import { addRouter } from './support/router.ts';

const FAMILIES = [
  ['IPv4', { client: '10.244.1.5', vip: '10.96.0.10', other: '10.96.0.11', backend: '10.244.2.7' }],
  ['IPv6', { client: 'fd00:244:1::5', vip: 'fd00:96::10', other: 'fd00:96::11', backend: 'fd00:244:2::7' }],
] as const;
type Family = (typeof FAMILIES)[number][1];
const PORT = 40000;
/** Of the router. */
const PODS = 0;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
  for (const [, f] of FAMILIES) {
    lb.set(
      service(`web-${f.vip}`, [frontend([f.vip])], [backend(f.backend)]),
      // whose backend is the client, at the very port that the client speaks from
      service(`other-${f.vip}`, [frontend([f.other])], [backend(f.client, { port: PORT })]),
    );
  }
  const router = await addRouter(lb.chain, {
    slot: 2,
    ports: [{ name: 'pods', id: PODS, addresses: ['10.244.0.1/16', 'fd00:244::1/32'], endpoint: 'Cube' }],
  });
  lb.chain.link(lb.cube, SERVER, router.cube, PODS);
}, 60_000);
afterAll(() => lb.close());
beforeEach(() => lb.clear());

const send = (header: Parameters<typeof ip>[0], segment: Tcp) =>
  lb.client(ethernet({}, ip(header, tcp(segment))));

function connect(client: string, vip: string, target: string, sport: number, port: number): void {
  const to = { src: client, dst: vip };
  send(to, { sport, dport: 80, flags: 'S', seq: 100 });
  send({ src: target, dst: client }, { sport: port, dport: sport, flags: 'SA', seq: 5000, ack: 101 });
  send(to, { sport, dport: 80, flags: 'A', seq: 101, ack: 5001 });
}

describe.each(FAMILIES)('%s', (_, f: Family) => {
  test('request and reply: each is translated once', () => {
    connect(f.client, f.vip, f.backend, PORT, 8080);
    const out = send({ src: f.client, dst: f.vip }, { sport: PORT, dport: 80, flags: 'A', ack: 5001 });
    expect(out.seen).toMatchObject({ port: CLIENT, hops: 4, work: { src: f.client, sport: PORT } });
    expect(out.seen?.work).toMatchObject({ dst: f.backend, dport: 8080 });
    verifyChecksums(out.frame);
    const back = send({ src: f.backend, dst: f.client }, { sport: 8080, dport: PORT, flags: 'A', ack: 101 });
    expect(back.seen).toMatchObject({ port: CLIENT, hops: 4, work: { src: f.vip, sport: 80 } });
    expect(back.seen?.work).toMatchObject({ dst: f.client, dport: PORT });
    verifyChecksums(back.frame);
  });

  test('a request that looks like the reply of another session is still a request', () => {
    connect(f.backend, f.other, f.client, 8080, PORT);
    const out = send({ src: f.client, dst: f.vip }, { sport: PORT, dport: 80, flags: 'S', seq: 7 });
    expect(out.seen).toMatchObject({ port: CLIENT, work: { src: f.client, sport: PORT, dst: f.backend } });
  });

  test('an ICMP error that the router makes of a request speaks of the service', () => {
    connect(f.client, f.vip, f.backend, PORT, 8080);
    const out = send(
      { src: f.client, dst: f.vip, ttl: 1 },
      { sport: PORT, dport: 80, flags: 'A', ack: 5001 },
    );
    expect(out.seen?.port).toBe(CLIENT);
    verifyChecksums(out.frame);
    const quoted = dissect(out.frame).ip?.quoted;
    expect(quoted).toMatchObject({ src: f.client, dst: f.vip });
  });
});
