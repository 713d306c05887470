// SPDX-License-Identifier: Apache-2.0
/** What becomes of an echo request at who answers it: RFC 792, RFC 4443 4.2, with the hop limit of who begins anew. */
import { bytesOf } from './neighbour-model.ts';
import type { Parsed } from './parse-model.ts';

const TTL = 64;

/** RFC 1624, equation 3. */
export function updated(sum: number, from: number, to: number): number {
  let result = (~sum & 0xffff) + (~from & 0xffff) + to;
  while (result > 0xffff) result = (result & 0xffff) + (result >>> 16);
  return ~result & 0xffff;
}

/** A whole request: one in parts, or with IPv4 options, would have to be put together, or turned around, first. */
export function isEchoRequest({ icmp, protocol, v6, hasOptions, fragment }: Parsed): boolean {
  return protocol === (v6 ? 58 : 1) && icmp?.type === (v6 ? 128 : 8) && !hasOptions && fragment === 'none';
}

export function echoReply(request: Buffer, { src, dst, v6, ttl, l3, l4 }: Parsed): Buffer {
  const frame = Buffer.from(request);
  frame.set(request.subarray(6, 12), 0);
  frame.set(request.subarray(0, 6), 6);
  const at = l3 + (v6 ? 8 : 12);
  frame.set(bytesOf(dst), at);
  frame.set(bytesOf(src), at + bytesOf(dst).length);
  const before = frame.readUInt16BE(l4);
  frame[l4] = v6 ? 129 : 0;
  frame.writeUInt16BE(updated(frame.readUInt16BE(l4 + 2), before, frame.readUInt16BE(l4)), l4 + 2);
  frame[l3 + (v6 ? 7 : 8)] = TTL;
  if (!v6) frame.writeUInt16BE(updated(frame.readUInt16BE(l3 + 10), ttl << 8, TTL << 8), l3 + 10);
  return frame;
}
