// SPDX-License-Identifier: Apache-2.0
/** A flood of forged SYNs at an open port, whose backend answers every one of them, loses no established connection. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Balancer, backend, CLIENT, frontend, SERVER, SPEC, service } from './support/balancer.ts';
import { ethernet, ip, tcp } from './support/packet.ts';

const VIP = '10.96.0.10';
const BACKEND = '10.244.2.7';
const ESTABLISHED = 8192;
const EMBRYONIC = 4096;

let lb: Balancer;
beforeAll(async () => {
  lb = await Balancer.open({
    spec: { sessions: { ...SPEC.sessions, maxEstablished: 16384, maxEmbryonic: EMBRYONIC } },
  });
  lb.set(service('web', [frontend([VIP])], [backend(BACKEND)]));
});
afterAll(() => lb.close());

const address = (i: number) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
const client = (i: number) => address(0x200000 + i);

/** One frame whose client can be changed in place; the programs do not verify checksums. */
function template(from: 'client' | 'server', flags: string, seq: number, ack: number) {
  const there = from === 'client';
  const frame = ethernet(
    {},
    ip(
      { src: there ? client(0) : BACKEND, dst: there ? VIP : client(0) },
      tcp({ sport: there ? 40000 : 8080, dport: there ? 80 : 40000, flags, seq, ack }),
    ),
  );
  const at = there ? 26 : 30;
  return (i: number) => {
    frame.writeUInt32BE((10 << 24) + 0x200000 + i, at);
    return frame;
  };
}

test('8,192 idle established connections survive ten times the table of embryonic ones', () => {
  const steps = [
    [CLIENT, template('client', 'S', 100, 0)],
    [SERVER, template('server', 'SA', 5000, 101)],
    [CLIENT, template('client', 'A', 101, 5001)],
  ] as const;
  for (let start = 0; start < ESTABLISHED; start += 512) {
    for (const [port, frame] of steps) {
      lb.enter(port);
      for (let i = start; i < start + 512; i++) lb.chain.measure(frame(i), 1);
    }
  }
  const established = () => lb.halves().filter((half) => half.table === 'established');
  expect(established()).toHaveLength(2 * ESTABLISHED);

  // forged sources: the backend answers, nobody acknowledges, or only by a guess
  const [syn, synAck, guess] = [
    template('client', 'S', 100, 0),
    template('server', 'SA', 5000, 101),
    template('client', 'A', 101, 4711),
  ];
  for (let start = 0; start < 10 * EMBRYONIC; start += 512) {
    lb.enter(CLIENT);
    for (let i = start; i < start + 512; i++) lb.chain.measure(syn(100000 + i), 1);
    lb.enter(SERVER);
    for (let i = start; i < start + 512; i++) lb.chain.measure(synAck(100000 + i), 1);
    lb.enter(CLIENT);
    for (let i = start; i < start + 512; i++) lb.chain.measure(guess(100000 + i), 1);
  }
  expect(established()).toHaveLength(2 * ESTABLISHED);
  expect(lb.cube.tally().get('count load-balancer newSessions')).toBe(ESTABLISHED + 10 * EMBRYONIC);
  expect(lb.cube.tally().get('count load-balancer promoted')).toBe(ESTABLISHED);
  expect(lb.halves().length - 2 * ESTABLISHED).toBeGreaterThan(EMBRYONIC); // the other table is full
  const both = new Set(established().map((half) => `${half.reverse ? half.dst : half.src} ${half.reverse}`));
  let lost = 0;
  for (let i = 0; i < ESTABLISHED; i++) {
    if (!both.has(`${client(i)} true`) || !both.has(`${client(i)} false`)) lost++;
  }
  expect(lost).toBe(0);
  const after = lb.client(Buffer.from(template('client', 'A', 101, 5001)(17)));
  expect(after.counts).toEqual(['load-balancer translated']);
}, 120_000);
