// SPDX-License-Identifier: Apache-2.0
/**
 * The 5-tuple of a packet as docs/cube-abi.md defines it, and what else of its headers decides about connections: from
 * the frame, beside what ParseModel says of it.
 */
import { type Address, addressOf, type Parsed, type ParseModel } from './parse-model.ts';

export interface Tuple {
  readonly src: Address;
  readonly dst: Address;
  readonly sport: number;
  readonly dport: number;
  readonly protocol: number;
}

export const reversed = ({ src, dst, sport, dport, protocol }: Tuple): Tuple => ({
  src: dst,
  dst: src,
  sport: dport,
  dport: sport,
  protocol,
});

export const keyOf = ({ src, dst, sport, dport, protocol }: Tuple): string =>
  `${protocol} ${src} ${sport} ${dst} ${dport}`;

const addressBytes = new Map<Address, Buffer>();

function bytesOf(address: Address): Buffer {
  const before = addressBytes.get(address);
  if (before) return before;
  if (addressBytes.size > 65_536) addressBytes.clear();
  const bytes = Buffer.from(address.toString(16).padStart(32, '0'), 'hex');
  addressBytes.set(address, bytes);
  return bytes;
}

/** struct cube_tuple, the key of session tables. */
export function tupleBytes({ src, dst, sport, dport, protocol }: Tuple): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.set(bytesOf(src), 0);
  bytes.set(bytesOf(dst), 16);
  bytes.writeUInt16BE(sport, 32);
  bytes.writeUInt16BE(dport, 34);
  bytes[36] = protocol;
  return bytes;
}

const PORTS = new Set([6, 17, 132]);
const NO_PORTS = [0, 0] as const;

/** Ports, or the identifier of an echo: a request's stands on the side of its sender, a reply's on the other. */
function portsAt(frame: Buffer, protocol: number, l4: number): readonly [number, number] {
  if (PORTS.has(protocol)) return [frame.readUInt16BE(l4), frame.readUInt16BE(l4 + 2)];
  const type = frame.readUInt8(l4);
  if (protocol === 1 ? type === 8 : protocol === 58 && type === 128) return [frame.readUInt16BE(l4 + 4), 0];
  if (protocol === 1 ? type === 0 : protocol === 58 && type === 129) return [0, frame.readUInt16BE(l4 + 4)];
  return NO_PORTS;
}

/** Of an ICMP error the reversed tuple of what it quotes. */
function quotedTuple(frame: Buffer, packet: Parsed): Tuple | undefined {
  const { quoted, v6 } = packet;
  if (!quoted) return undefined;
  const at = quoted.l3 + (v6 ? 8 : 12);
  const size = v6 ? 16 : 4;
  const [sport, dport] = quoted.hasL4 ? portsAt(frame, quoted.protocol, quoted.l4) : NO_PORTS;
  return reversed({
    src: addressOf(frame.subarray(at, at + size)),
    dst: addressOf(frame.subarray(at + size, at + 2 * size)),
    sport,
    dport,
    protocol: quoted.protocol,
  });
}

/** Remembers the ports of first fragments, as long as a test lasts. */
export class FlowModel {
  readonly #parser: ParseModel;
  readonly #ports = new Map<string, readonly [number, number]>();

  constructor(parser: ParseModel) {
    this.#parser = parser;
  }

  /** Undefined: a later fragment whose first one was not seen. */
  tuple(frame: Buffer, packet: Parsed): Tuple | undefined {
    const { src, dst, protocol, datagram, fragment } = packet;
    if (fragment === 'later') {
      if (!this.#parser.knows(packet)) return undefined;
      const [sport, dport] = this.#ports.get(datagram ?? '') ?? NO_PORTS;
      return { src, dst, sport, dport, protocol };
    }
    const quoted = quotedTuple(frame, packet);
    const [sport, dport] = quoted
      ? [quoted.sport, quoted.dport]
      : PORTS.has(protocol) || packet.icmp
        ? portsAt(frame, protocol, packet.l4)
        : NO_PORTS;
    if (datagram !== undefined) this.#ports.set(datagram, quoted ? NO_PORTS : [sport, dport]);
    return quoted ?? { src, dst, sport, dport, protocol };
  }
}
