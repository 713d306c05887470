// SPDX-License-Identifier: Apache-2.0
import { expect, test } from '@jest/globals';
import { dissect } from '../../test/kernel/support/dissect.ts';
import { ethernet, ip, tcp, udp } from '../../test/kernel/support/packet.ts';
import { finishChecksum } from './checksum.ts';

const V4 = { src: '10.0.0.1', dst: '10.0.0.2' };
const V6 = { src: 'fd00::1', dst: 'fd00::2' };
const KINDS = [
  ['TCP over IPv4', V4, tcp({ sport: 1, dport: 2, payload: 33 }), 16],
  ['TCP over IPv6', V6, tcp({ sport: 1, dport: 2, payload: 32 }), 16],
  ['UDP over IPv4', V4, udp({ sport: 1, dport: 2, payload: 9 }), 6],
  ['UDP over IPv6', V6, udp({ sport: 1, dport: 2, payload: 0 }), 6],
] as const;

/** As a packet of a local sender looks before a device has summed it: the pseudo header's sum, RFC 793 and 8200. */
function partial(frame: Buffer, isV4: boolean, field: number): Buffer {
  const l4 = 14 + (isV4 ? 20 : 40);
  const [from, to] = isV4 ? [26, 34] : [22, 54];
  let total = (field === 16 ? 6 : 17) + frame.length - l4;
  for (let at = from; at < to; at += 2) total += frame.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  const copy = Buffer.from(frame);
  copy.writeUInt16BE(total, l4 + field);
  return copy;
}

test.each(KINDS)('what a device would have summed is summed: %s', (_, addresses, segment, field) => {
  const whole = ethernet({}, ip(addresses, segment));
  const packet = partial(whole, addresses === V4, field);
  expect(packet.equals(whole)).toBe(false);
  finishChecksum(packet, 14);
  expect(packet.equals(whole)).toBe(true);
  expect(() => dissect(packet)).not.toThrow();
});

test.each(KINDS)('what is summed, or wrong, stays as it is: %s', (_, addresses, segment, _field) => {
  const whole = ethernet({}, ip(addresses, segment));
  const wrong = Buffer.from(whole);
  wrong.writeUInt8((wrong.readUInt8(whole.length - 1) ^ 0x5a) & 0xff, whole.length - 1);
  for (const packet of [whole, wrong]) {
    const copy = Buffer.from(packet);
    finishChecksum(copy, 14);
    expect(copy.equals(packet)).toBe(true);
  }
});

test('what is cut off, or of another kind, stays as it is', () => {
  const whole = ethernet({}, ip(V4, tcp({ sport: 1, dport: 2, payload: 33 })));
  for (let length = 14; length < whole.length; length++) {
    const cut = Buffer.from(whole.subarray(0, length));
    finishChecksum(cut, 14);
    expect(cut.equals(whole.subarray(0, length))).toBe(true);
  }
});
