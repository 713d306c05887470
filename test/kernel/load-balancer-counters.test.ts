// SPDX-License-Identifier: Apache-2.0
/** How many sessions each backend was picked for. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Balancer, backend, frontend, SPEC, service } from './support/balancer.ts';
import { ethernet, ip, type Tcp, tcp } from './support/packet.ts';

const FAMILIES = [
  ['IPv4', { client: '10.244.1.5', vip: '10.96.0.10', one: '10.244.2.7', two: '10.244.2.8' }],
  ['IPv6', { client: 'fd00:1::5', vip: 'fd00:96::10', one: 'fd00:2::7', two: 'fd00:2::8' }],
] as const;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open();
});
afterAll(() => lb.close());
beforeEach(() => lb.renew({ ...SPEC, drainSeconds: 0 }));

describe.each(FAMILIES)('%s', (_, f) => {
  const serve = (...backends: ReturnType<typeof backend>[]) =>
    lb.set(service('web', [frontend([f.vip])], backends));
  const up = (sport: number, o: Partial<Tcp>) =>
    ethernet({}, ip({ src: f.client, dst: f.vip }, tcp({ sport, dport: 80, ...o })));
  const open = (sport: number) => lb.client(up(sport, { flags: 'S', seq: 100 }));

  test('a session is counted once, at its pick', () => {
    serve(backend(f.one));
    open(40000);
    const answer = { sport: 8080, dport: 40000, flags: 'SA', seq: 5000, ack: 101 };
    lb.server(ethernet({}, ip({ src: f.one, dst: f.client }, tcp(answer))));
    const ack = lb.client(up(40000, { flags: 'A', seq: 101, ack: 5001 }));
    expect(ack.counts).toContain('load-balancer promoted');
    lb.client(up(40000, { flags: 'PA', seq: 101, ack: 5001, payload: 10 }));
    lb.client(up(40001, { flags: 'S' }), { dry: true });
    lb.client(up(40002, { flags: 'A' }));
    expect(lb.picked()).toEqual(new Map([[f.one, 1]]));
  });

  test('counts go on while services change, and add up to the new sessions', () => {
    serve(backend(f.one), backend(f.two));
    for (let n = 0; n < 40; n++) open(41000 + n);
    const before = lb.picked();
    expect([...before.values()].reduce((sum, count) => sum + count)).toBe(40);
    serve(backend(f.one, { weight: 3 }), backend(f.two, { state: 'Terminating' }));
    expect(lb.picked()).toEqual(before);
    for (let n = 0; n < 10; n++) open(42000 + n);
    expect(lb.picked().get(f.one)).toBe((before.get(f.one) ?? 0) + 10);
    expect(lb.picked().get(f.two)).toBe(before.get(f.two));
  });

  test('the next owner of a row counts from zero', () => {
    serve(backend(f.one));
    open(40000);
    serve();
    expect(lb.picked()).toEqual(new Map([[f.one, 1]]));
    lb.image.tick(Number(process.hrtime.bigint()) / 1e9 + 10); // its time to drain is over
    lb.apply(lb.image.take());
    expect(lb.picked()).toEqual(new Map());
    serve(backend(f.two));
    open(40001);
    expect(lb.picked()).toEqual(new Map([[f.two, 1]]));
  });
});
