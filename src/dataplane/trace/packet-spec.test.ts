// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from '@jest/globals';
import { frameOf, withMacs } from './frame.ts';
import { parsePacket } from './packet-spec.ts';
import { readPcap } from './pcap.ts';

const MACS = { src: '02:00:00:00:0a:0a', dst: '02:c0:be:00:00:01' };

describe('packets in words', () => {
  test.each([
    [
      'tcp 10.244.0.5:4000 > 10.96.0.10:80',
      { protocol: 'tcp', src: '10.244.0.5', sport: 4000, dst: '10.96.0.10', dport: 80, flags: 2, ttl: 64 },
    ],
    [
      'TCP [fd00::1]:1 > [fd00::2]:2 syn,ack size 10',
      { src: 'fd00::1', dst: 'fd00::2', flags: 18, size: 10 },
    ],
    ['udp 10.0.0.1 > 10.0.0.2:53 ttl 1', { protocol: 'udp', sport: 40_000, dport: 53, ttl: 1, flags: 0 }],
    ['icmp fd00::1 > fd00::2 reply', { protocol: 'icmp', isReply: true, sport: 0, dport: 0 }],
    ['arp 10.0.0.1 > 10.0.0.2', { protocol: 'arp' }],
  ])('%s', (text, expected) => expect(parsePacket(text)).toMatchObject(expected));

  test.each([
    ['sctp 10.0.0.1:1 > 10.0.0.2:2', /"sctp" is none of tcp, udp, icmp, arp/],
    ['tcp 10.0.0.1:1 10.0.0.2:2', /no source > destination/],
    ['tcp 10.0.0.1:1 > 10.0.0.2', /10.0.0.2 has no port/],
    ['tcp 10.0.0.1:1 > [fd00::1]:2', /two families/],
    ['tcp 10.0.0.1:1 > 10.0.0.2:70000', /at most 65535/],
    ['tcp 10.0.0.300:1 > 10.0.0.2:7', /"10.0.0.300:1" is no address with a port/],
    ['icmp 10.0.0.1:1 > 10.0.0.2', /no ports/],
    ['udp 10.0.0.1:1 > 10.0.0.2:2 SYN', /"SYN" is none of the words that udp knows/],
    ['udp 10.0.0.1:1 > 10.0.0.2:2 size -1', /size is a whole number from 0 to 8000/],
    ['arp fd00::1 > fd00::2', /arp asks for an IPv4 address/],
  ])('%s is refused', (text, message) => expect(() => parsePacket(text)).toThrow(message));
});

/** RFC 1071 over all bytes: 0 for what holds its own checksum. */
function sum(bytes: Uint8Array, start = 0): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}

describe('frames', () => {
  test.each([
    'tcp 10.0.0.1:1 > 10.0.0.2:2 size 7',
    'udp 10.0.0.1:1 > 10.0.0.2:2 size 9',
    'icmp 10.0.0.1 > 10.0.0.2',
  ])('%s has right lengths and checksums', (text) => {
    const frame = frameOf(parsePacket(text), MACS);
    expect(frame.readUInt16BE(16)).toBe(frame.length - 14);
    expect(sum(frame.subarray(14, 34))).toBe(0);
    const l4 = frame.subarray(34);
    const proto = frame[23] ?? 0;
    const pseudo = Buffer.concat([frame.subarray(26, 34), Buffer.from([0, proto, 0, l4.length])]);
    expect(sum(proto === 1 ? l4 : Buffer.concat([pseudo, l4]))).toBe(0);
  });

  test.each([
    'tcp [fd00::1]:1 > [fd00::2]:2',
    'udp [fd00::1]:1 > [fd00::2]:2 size 5',
    'icmp fd00::1 > fd00::2 reply',
  ])('%s has right lengths and checksums', (text) => {
    const frame = frameOf(parsePacket(text), MACS);
    expect(frame.readUInt16BE(18)).toBe(frame.length - 54);
    const l4 = frame.subarray(54);
    const pseudo = Buffer.concat([frame.subarray(22, 54), Buffer.from([0, frame[20] ?? 0, 0, l4.length])]);
    expect(sum(Buffer.concat([pseudo, l4]))).toBe(0);
  });

  test('a frame of a capture gets the MACs of its place', () => {
    const frame = frameOf(parsePacket('arp 10.0.0.1 > 10.0.0.2'), MACS);
    const other = withMacs(frame, { src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' });
    expect(other.toString('hex', 0, 14)).toBe('0200000000020200000000010806');
    expect(other.subarray(14)).toEqual(frame.subarray(14));
  });
});

function pcap(
  frames: Uint8Array[],
  options: { big?: boolean; link?: number; original?: number } = {},
): Buffer {
  const word = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (options.big) bytes.writeUInt32BE(value);
    else bytes.writeUInt32LE(value);
    return bytes;
  };
  const head = [0xa1b2c3d4, 0x00040002, 0, 0, 65_535, options.link ?? 1].map(word);
  const records = frames.flatMap((frame) => [
    ...[0, 0, frame.length, options.original ?? frame.length].map(word),
    Buffer.from(frame),
  ]);
  return Buffer.concat([...head, ...records]);
}

describe('captures', () => {
  const frames = [Buffer.from('one'), Buffer.from('second')];
  test.each([false, true])('of either byte order: big %s', (big) => {
    expect(readPcap(pcap(frames, { big }), 10)).toEqual(frames);
    expect(readPcap(pcap(frames, { big }), 1)).toHaveLength(1);
  });

  test.each([
    ['no capture', Buffer.alloc(100), /no pcap/],
    ['a short file', Buffer.alloc(10), /shorter than its header/],
    ['another link type', pcap(frames, { link: 113 }), /link type 113, not Ethernet/],
    ['a packet cut off', pcap(frames).subarray(0, -2), /packet 2 of the capture is cut off/],
    [
      'a packet of which only the head was captured',
      pcap(frames, { original: 1500 }),
      /holds 3 of 1500 bytes/,
    ],
  ])('%s is refused', (_, file, message) => expect(() => readPcap(file, 10)).toThrow(message));
});
