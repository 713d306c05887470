// SPDX-License-Identifier: Apache-2.0
/** Frames as no well-meaning sender makes them, and as they all do: of every kind that the parser knows, then damaged. */
import { ipBytes, isV6 } from '../support/bytes.ts';
import {
  arp,
  authentication,
  type Extension,
  echo,
  ethernet,
  extension,
  fragmentHeader,
  icmp,
  ipv4,
  ipv6,
  type Layer3,
  type Layer4,
  linkLayerOption,
  raw,
  sctp,
  tcp,
  udp,
} from '../support/packet.ts';
import type { Random } from './random.ts';

/** What packets are made of; the more often two of them share something, the more state they meet. */
export interface World {
  readonly addresses: readonly string[];
  /** What sends; `addresses` by default. */
  readonly sources?: readonly string[];
  readonly ports: readonly number[];
  readonly macs: readonly string[];
}

const TTLS = [0, 1, 2, 3, 64, 64, 64, 64, 255];
const ICMP_TYPES = { 4: [3, 3, 4, 5, 11, 12, 13, 42], 6: [1, 2, 3, 4, 4, 100, 130, 133, 136, 137] } as const;

function layer4(r: Random, w: World, v6: boolean, quotable: boolean): Layer4 {
  const sport = r.pick(w.ports);
  const dport = r.pick(w.ports);
  const payload = r.chance(0.2) ? 0 : r.between(1, 60);
  switch (r.below(quotable ? 9 : 7)) {
    case 0:
    case 1:
    case 2: {
      const flags = r.pick(['S', 'SA', 'A', 'A', 'PA', 'FA', 'R', 'RA', 'SF', '']);
      return tcp({ sport, dport, seq: r.word(), ack: r.word(), flags, payload });
    }
    case 3:
    case 4:
      return udp({ sport, dport, payload, ...(r.chance(0.15) ? { checksum: 0 } : {}) });
    case 5: {
      const reply = r.chance(0.3);
      return echo({ id: r.pick(w.ports), sequence: r.below(9), reply, payload, ...(v6 ? { v6: true } : {}) });
    }
    case 6:
      return r.chance(0.5)
        ? sctp({ sport, dport, tag: r.word() })
        : raw(r.pick([2, 4, 41, 47, 59, 1, 58]), payload);
    default: {
      const whole = layer3(r, w, v6, false).bytes;
      const quoted = r.chance(0.3) ? whole.subarray(0, r.between(0, whole.length)) : whole;
      const type = r.pick(ICMP_TYPES[v6 ? 6 : 4]);
      return icmp({
        type,
        code: r.below(5),
        rest: r.below(1500),
        payload: quoted,
        ...(v6 ? { v6: true } : {}),
      });
    }
  }
}

/** IPv4 options (RFC 791 3.1): none, no-operations, record route, source routes, and rubbish. */
function options(r: Random): Uint8Array {
  switch (r.below(5)) {
    case 0:
      return Buffer.alloc(4 * r.between(1, 4), 1);
    case 1:
      return Buffer.from([7, 7, 4, 0, 0, 0, 0, 0]);
    case 2:
      return Buffer.from([1, r.pick([131, 137]), 7, 4, 0, 0, 0, 0]);
    case 3:
      return Buffer.from([0, 131, 7, 4]);
    default:
      return r.bytes(4 * r.between(1, 10));
  }
}

function extensions(r: Random): Extension[] {
  const count = r.chance(0.15) ? r.between(5, 8) : r.between(1, 3);
  return Array.from({ length: count }, () => {
    switch (r.below(6)) {
      case 0:
        return authentication(r.between(1, 4));
      case 1:
        return fragmentHeader(r.pick([0, 0, 0, 8, 64]), r.chance(0.4), r.pick([7, 8]));
      default:
        return extension(r.pick([0, 43, 60, 135] as const), r.between(1, 3));
    }
  });
}

function layer3(r: Random, w: World, v6: boolean, quotable: boolean): Layer3 {
  const pool = w.addresses.filter((address) => isV6(address) === v6);
  const src = r.pick(w.sources?.filter((address) => isV6(address) === v6) ?? pool);
  const dst = r.pick(pool);
  const content = layer4(r, w, v6, quotable);
  const ttl = r.pick(TTLS);
  if (v6) {
    const list = r.chance(0.2) ? extensions(r) : [];
    return ipv6(
      { src, dst, hopLimit: ttl, trafficClass: r.below(256), flowLabel: r.below(9), extensions: list },
      content,
    );
  }
  const fragment = r.chance(0.12)
    ? { offset: r.pick([0, 0, 8, 64]), mf: r.chance(0.7), id: r.pick([7, 8]) }
    : {};
  const more = r.chance(0.1) ? { options: options(r) } : {};
  const header = { src, dst, ttl, tos: r.below(256), df: r.chance(0.5), ...fragment, ...more };
  const packet = ipv4(header, content);
  if (!r.chance(0.05) || 'id' in fragment) return packet;
  // an identification with which the checksum is one that carries when the packet changes
  const sum =
    packet.bytes.readUInt16BE(10) +
    packet.bytes.readUInt16BE(4) +
    (~r.pick([0xfeff, 0xfffe, 0xffff, 0x0100]) & 0xffff);
  return ipv4({ ...header, id: ((sum & 0xffff) + (sum >>> 16)) & 0xffff }, content);
}

function neighbour(r: Random, w: World): Layer3 {
  const mac = r.pick(w.macs);
  if (r.chance(0.5)) {
    const pool = w.addresses.filter((address) => !isV6(address));
    return arp({
      operation: r.pick([1, 1, 1, 2, 9]),
      senderMac: mac,
      sender: r.pick(pool),
      target: r.pick(pool),
    });
  }
  const pool = w.addresses.filter(isV6);
  const list = r.pick([
    [],
    [linkLayerOption(1, mac)],
    [linkLayerOption(2, mac)],
    [r.bytes(8)],
    [Buffer.alloc(8)],
  ]);
  return ipv6(
    {
      src: r.pick([...pool, '::', '::']),
      dst: r.pick([...pool, 'ff02::1:ff00:1']),
      hopLimit: r.pick([255, 255, 255, 64]),
    },
    icmp({
      type: 135,
      code: r.chance(0.1) ? 1 : 0,
      v6: true,
      payload: Buffer.concat([ipBytes(r.pick(pool)), ...list]),
    }),
  );
}

/** Bytes of a frame below which BPF_PROG_TEST_RUN answers EINVAL; behind a tag it looks no further. */
const LEAST: Readonly<Record<number, number>> = { 2048: 34, 34525: 54 };

/** Now and then with more behind it, cut short, or with other bits; always a frame that BPF_PROG_TEST_RUN takes. */
export function damaged(r: Random, whole: Buffer, chance: number): Buffer {
  let frame = whole;
  if (r.chance(0.1)) frame = Buffer.concat([frame, Buffer.alloc(r.between(1, 40))]);
  if (r.chance((chance * 2) / 3)) frame = frame.subarray(0, r.between(14, frame.length));
  if (r.chance(chance)) {
    frame = Buffer.from(frame);
    for (let n = r.between(1, 3); n > 0; n--) {
      // headers more than payload
      const at = r.below(r.chance(0.8) ? Math.min(frame.length, 60) : frame.length);
      frame[at] = (frame[at] ?? 0) ^ r.pick([1, 2, 4, 8, 16, 32, 64, 128, 255]);
    }
  }
  const least = LEAST[frame.readUInt16BE(12)] ?? 14;
  return frame.length < least ? Buffer.concat([frame, r.bytes(least - frame.length)]) : frame;
}

/** A frame that BPF_PROG_TEST_RUN takes. */
export function randomFrame(r: Random, w: World): Buffer {
  const content = r.chance(0.06) ? neighbour(r, w) : layer3(r, w, r.chance(0.5), true);
  const header = {
    src: r.pick(w.macs),
    dst: r.pick(w.macs),
    ...(r.chance(0.05) ? { vlan: r.pick([0, 0, 1, 100]) } : {}),
    ...(r.chance(0.01) ? { etherType: r.pick([0x0806, 0x0800, 0x86dd, 0x88cc, 0x8100]) } : {}),
  };
  return damaged(r, ethernet(header, content), 0.12);
}
