// SPDX-License-Identifier: Apache-2.0
/** The checksum that a device would have finished: a program's copy of a packet was made before that. Pure. */

const [TCP, UDP] = [6, 17];

/**
 * Finishes the TCP or UDP checksum in place where the field holds the sum of the pseudo header alone, as it does until the
 * device of the way out sums the rest (CHECKSUM_PARTIAL). Other packets, fragments and IPv6 packets with extension headers
 * stay as they are. `l3`: bytes to the IP header; the packet is whole.
 */
export function finishChecksum(packet: Uint8Array, l3: number): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (packet.length < l3 + 20) return;
  const isV4 = view.getUint8(l3) >> 4 === 4;
  if (!isV4 && packet.length < l3 + 40) return;
  if (isV4 && (view.getUint16(l3 + 6) & 0x3fff) !== 0) return; // a fragment
  const proto = view.getUint8(l3 + (isV4 ? 9 : 6));
  const l4 = l3 + (isV4 ? (view.getUint8(l3) & 15) * 4 : 40);
  const end = l3 + (isV4 ? view.getUint16(l3 + 2) : 40 + view.getUint16(l3 + 4));
  const field = l4 + (proto === TCP ? 16 : 6);
  if ((proto !== TCP && proto !== UDP) || end > packet.length || field + 2 > end) return;
  const addresses = isV4 ? sum(view, l3 + 12, l3 + 20) : sum(view, l3 + 8, l3 + 40);
  const pseudo = fold(addresses + proto + (end - l4));
  if (view.getUint16(field) !== pseudo) return;
  // the field holds the pseudo header's sum, so that the sum over the segment covers it
  const checksum = ~fold(sum(view, l4, end)) & 0xffff;
  view.setUint16(field, checksum === 0 && proto === UDP ? 0xffff : checksum); // RFC 768: zero means none
}

function sum(view: DataView, from: number, to: number): number {
  let total = 0;
  for (let at = from; at + 1 < to; at += 2) total += view.getUint16(at);
  return (to - from) % 2 === 1 ? total + view.getUint8(to - 1) * 256 : total;
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}
