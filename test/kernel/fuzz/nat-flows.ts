// SPDX-License-Identifier: Apache-2.0

/**
 * Connections across a NAT, and the packets of both their ends: opened and answered in order for the most part, so that most
 * packets belong to a session. What the NAT chose goes into the bytes alone, never into what is drawn from the seed: the
 * same seed gives the same packets, but for the ports that were claimed.
 */
import { GATEWAY_MAC, ipBytes, ipText, isV6, POD_MAC } from '../support/bytes.ts';
import {
  arp,
  authentication,
  type Extension,
  echo,
  ethernet,
  extension,
  fragmentHeader,
  icmpError,
  ipv4,
  ipv6,
  type Layer4,
  linkLayerOption,
  Protocol,
  raw,
  sctp,
  sctpChunk,
  solicitation,
  tcp,
  udp,
} from '../support/packet.ts';
import { OWN, PEERS, PUBLISHED, SERVERS } from './nat-config.ts';
import { INSIDE, isV6Raw, OUTSIDE, rawOf } from './nat-model.ts';
import { type RawAddress, reversed, type Tuple } from './nat-sessions-model.ts';
import type { Random } from './random.ts';

export interface Flow {
  /** As the initiator sends it. */
  readonly tuple: Tuple;
  readonly port: number;
  /** As it has left; `undefined` until it has. */
  out?: { readonly tuple: Tuple; readonly port: number };
  /** Sequence numbers, or tags of SCTP. */
  readonly initial: number;
  readonly answer: number;
  step: number;
  /** IP packets as their receivers saw them: of the initiator, of the other side. */
  readonly last: [there?: Buffer, back?: Buffer];
}

export interface Shot {
  readonly frame: Buffer;
  readonly port: number;
  readonly flow?: Flow;
  /** From the initiator; no error. */
  readonly isThere?: boolean;
}

const MOST_FLOWS = 48;
const KINDS = [6, 6, 6, 6, 17, 17, 17, 1, 1, 132, 47, 51, 136] as const;
const WAYS = ['192.0.2.77', '10.244.0.1', '2001:db8:77::77', 'fd00:244::1'] as const;

export class Flows {
  readonly #flows: Flow[] = [];
  /** Clients and peers are few: their sessions collide, and use up a narrow range. */
  readonly #isCrowded: boolean;

  constructor(r: Random) {
    this.#isCrowded = r.chance(0.4);
  }

  pick(r: Random): Flow | undefined {
    return this.#flows.length === 0 ? undefined : r.pick(this.#flows);
  }

  /** A packet of a connection, a new one or one of those that there are. */
  shot(r: Random): Shot {
    const opens = this.#flows.length === 0 || r.chance(this.#isCrowded ? 0.35 : 0.15);
    const flow = opens ? this.#open(r) : r.pick(this.#flows);
    if (r.chance(0.08)) return errorAbout(r, flow);
    if (r.chance(0.01)) return question(r);
    return packetOf(r, flow);
  }

  #open(r: Random): Flow {
    const v6 = r.chance(0.5);
    const family = (list: readonly string[]) => list.filter((one) => isV6(one) === v6);
    const client = r.chance(0.1)
      ? r.pick(family(SERVERS))
      : v6
        ? `fd00:244:1::${r.between(1, this.#isCrowded ? 120 : 8).toString(16)}`
        : `10.244.1.${r.between(1, this.#isCrowded ? 120 : 8)}`;
    const fromInside = r.chance(0.65);
    const far = r.pick(family(this.#isCrowded ? PEERS.filter((one) => !one.endsWith('8')) : PEERS));
    const near = r.pick(family(r.chance(0.7) ? OWN : PUBLISHED));
    const liar = r.chance(0.06) ? r.pick([client, r.pick(family(OWN))]) : far;
    const src = fromInside ? client : liar;
    const dst = fromInside ? (r.chance(0.75) ? far : near) : r.chance(0.1) ? client : near;
    const proto = r.pick(KINDS);
    const sport = r.pick([1024, 4000, 4001, 0, 60001]);
    const dport = r.pick(this.#isCrowded ? [80, 53] : [53, 80, 81, 2905, 8000, 8001, 8003]);
    const hasPorts = proto === 6 || proto === 17 || proto === 132;
    const flow: Flow = {
      tuple: {
        src: rawOf(ipBytes(src)),
        dst: rawOf(ipBytes(dst)),
        proto: proto === 1 && v6 ? Protocol.icmpv6 : proto,
        sport: hasPorts || proto === 1 ? sport : 0,
        dport: hasPorts ? dport : 0,
      },
      port: fromInside ? INSIDE : OUTSIDE,
      initial: r.word(),
      answer: r.word(),
      step: 0,
      last: [],
    };
    if (this.#flows.length < MOST_FLOWS) this.#flows.push(flow);
    else this.#flows[r.below(MOST_FLOWS)] = flow;
    return flow;
  }
}

/** How the other side speaks to what it has seen of the initiator. */
function backOf(flow: Flow): { tuple: Tuple; port: number } {
  const { tuple, port } = flow.out ?? { tuple: flow.tuple, port: flow.port === INSIDE ? OUTSIDE : INSIDE };
  return { tuple: reversed(tuple), port };
}

/** A packet between the two of a tuple, with what may stand in an IP header. */
function frameOf(r: Random, { src, dst }: Tuple, content: Layer4): Buffer {
  const ends = { src: textOfRaw(src), dst: textOfRaw(dst) };
  const id = r.below(6);
  const fragment = r.chance(0.06) ? { offset: r.pick([0, 0, 0, 8, 64]), more: r.chance(0.8) } : undefined;
  const options = r.chance(0.03);
  const dstMac = r.chance(0.01) ? 'ff:ff:ff:ff:ff:ff' : GATEWAY_MAC;
  const mac = { src: POD_MAC, dst: dstMac };
  if (isV6Raw(src)) {
    const list: Extension[] = [];
    if (options)
      list.push(r.chance(0.3) ? authentication(3) : extension(r.pick([0, 43, 60] as const), r.between(1, 2)));
    if (fragment) list.push(fragmentHeader(fragment.offset, fragment.more, id));
    return ethernet(mac, ipv6({ ...ends, extensions: list, flowLabel: r.below(9) }, content));
  }
  const more = options ? { options: Buffer.alloc(4 * r.between(1, 4), 1) } : {};
  const part = fragment ? { offset: fragment.offset, mf: fragment.more } : {};
  return ethernet(mac, ipv4({ ...ends, id, tos: r.below(256), ...more, ...part }, content));
}

export function packetOf(r: Random, flow: Flow): Shot {
  const inOrder = r.chance(0.75);
  const step = inOrder ? flow.step++ : r.between(0, 12);
  switch (flow.tuple.proto) {
    case 6:
      return tcpPacket(r, flow, step);
    case 132:
      return sctpPacket(r, flow, step);
    default:
      return datagram(r, flow, step);
  }
}

/** A packet of one side, of a kind that both may send at any time; whole. */
export function plainPacketOf(
  flow: Flow,
  isThere: boolean,
  { tuple, port }: { tuple: Tuple; port: number } = isThere ? flow : backOf(flow),
): Shot {
  const { sport, dport, proto } = tuple;
  const [seq, ack] = isThere ? [flow.initial + 1, flow.answer + 1] : [flow.answer + 1, flow.initial + 1];
  const v6 = isV6Raw(tuple.src);
  const contents: Record<number, Layer4> = {
    6: tcp({ sport, dport, seq, ack, flags: 'A' }),
    17: udp({ sport, dport, payload: 8 }),
    132: sctp({ sport, dport, tag: seq, chunks: [sctpChunk(0, Buffer.alloc(16))] }),
    1: echo({ id: isThere ? sport : dport, reply: !isThere }),
    58: echo({ id: isThere ? sport : dport, reply: !isThere, v6: true }),
  };
  const ends = { src: textOfRaw(tuple.src), dst: textOfRaw(tuple.dst) };
  const content = contents[proto] ?? raw(proto, 20);
  return { frame: ethernet({}, v6 ? ipv6(ends, content) : ipv4(ends, content)), port, flow, isThere };
}

const textOfRaw = (address: RawAddress): string => ipText(Buffer.from(address, 'latin1'));

function shotOf(r: Random, flow: Flow, isThere: boolean, contentOf: (tuple: Tuple) => Layer4): Shot {
  const { tuple, port } = isThere ? flow : backOf(flow);
  return { frame: frameOf(r, tuple, contentOf(tuple)), port, flow, isThere };
}

/** SYN, SYN-ACK, ACK, then data, FIN and RST of both; some acknowledge what was never sent. */
function tcpPacket(r: Random, flow: Flow, step: number): Shot {
  const isThere = step === 0 || step === 2 ? true : step === 1 ? false : r.chance(0.5);
  const flags =
    ['S', 'SA', 'A'][step] ??
    r.pick(['A', 'A', 'PA', 'PA', 'PA', 'FA', 'F', 'R', 'RA', 'S', 'SA', '', 'SF', 'SR']);
  const [mine, other] = isThere ? [flow.initial, flow.answer] : [flow.answer, flow.initial];
  const ack = r.chance(0.9) ? other + 1 : r.word();
  const seq = flags.includes('S') ? mine : mine + 1;
  const payload = step < 3 ? 0 : r.below(40);
  const options = r.chance(0.2) ? { options: Buffer.alloc(4 * r.between(1, 3), 1) } : {};
  const cut = r.chance(0.01) ? r.between(14, 17) : undefined;
  return shotOf(r, flow, isThere, ({ sport, dport }) => {
    const whole = tcp({ sport, dport, seq, ack, flags, payload, ...options });
    // with its ports and flags, but without its checksum
    return cut ? { ...whole, build: (...ends) => whole.build(...ends).subarray(0, cut) } : whole;
  });
}

/** INIT, INIT ACK, COOKIE ECHO with the tag of the INIT ACK, then all kinds of chunks. */
function sctpPacket(r: Random, flow: Flow, step: number): Shot {
  const isThere = step === 0 || step === 2 ? true : step === 1 ? false : r.chance(0.5);
  const type = [1, 2, 10][step] ?? r.pick([0, 0, 0, 3, 4, 1, 2, 6, 7, 8, 14]);
  const value = Buffer.alloc(16);
  value.writeUInt32BE((isThere ? flow.initial : flow.answer) >>> 0);
  const tag = step === 0 ? 0 : r.chance(0.9) ? (isThere ? flow.answer : flow.initial) : r.word();
  return shotOf(r, flow, isThere, ({ sport, dport }) =>
    sctp({ sport, dport, tag, chunks: r.chance(0.95) ? [sctpChunk(type, value)] : [] }),
  );
}

function datagram(r: Random, flow: Flow, step: number): Shot {
  const isThere = step === 0 || step === 2 ? true : step === 1 ? false : r.chance(0.5);
  const payload = r.below(40);
  const checksum = r.chance(0.1) ? { checksum: 0 } : {};
  const { proto } = flow.tuple;
  const other = r.chance(0.03);
  return shotOf(r, flow, isThere, ({ sport, dport }) => {
    if (proto === 17) return udp({ sport, dport, payload, ...checksum });
    if (proto !== 1 && proto !== 58) return raw(proto, payload);
    const v6 = proto === 58;
    if (other) return { ...raw(proto, Buffer.from([v6 ? 140 : 13, 0, 0, 0, 0, 0, 0, 0])), protocol: proto };
    return echo({ id: isThere ? sport : dport, reply: !isThere, payload, ...(v6 ? { v6 } : {}) });
  });
}

/** Who has an outside address? */
function question(r: Random): Shot {
  const target = r.pick(OWN);
  const port = r.chance(0.8) ? OUTSIDE : INSIDE;
  if (!isV6(target)) {
    const sender = r.pick([...PEERS.filter((one) => !isV6(one)), '0.0.0.0', target]);
    const operation = r.chance(0.9) ? 1 : 2;
    return { frame: ethernet({}, arp({ operation, senderMac: POD_MAC, sender, target })), port };
  }
  const src = r.pick([...PEERS.filter(isV6), '::']);
  const dst = r.chance(0.5) || src === '::' ? 'ff02::1:ff00:10' : target;
  const options = src === '::' || r.chance(0.3) ? Buffer.alloc(0) : linkLayerOption(1, POD_MAC);
  return { frame: ethernet({}, ipv6({ src, dst, hopLimit: 255 }, solicitation(target, options))), port };
}

/** An error about the last packet of one side, from its receiver or from a router on the way. */
export function errorAbout(r: Random, flow: Flow): Shot {
  const aboutThere = r.chance(0.7);
  const [type, code] = r.pick([
    [3, 3],
    [3, 4],
    [11, 0],
    [12, 0],
  ] as const);
  const v6 = isV6Raw(flow.tuple.src);
  const isFromWay = r.chance(0.4);
  const way = r.below(2);
  const cut = r.chance(0.4) ? r.between(v6 ? 44 : 20, 80) : 1500;
  const rest = r.chance(0.5) ? 1400 : 0;
  const back = backOf(flow);
  const { tuple, port } = aboutThere ? back : flow;
  const quoted = flow.last[aboutThere ? 0 : 1] ?? flow.last[aboutThere ? 1 : 0];
  const family = WAYS.filter((one) => isV6(one) === v6);
  const src = isFromWay ? rawOf(ipBytes(family[way] ?? '')) : tuple.src;
  const sent = quoted ?? plainPacketOf(flow, aboutThere).frame.subarray(14);
  const packet = sent.subarray(0, cut);
  const v6Type = type === 3 ? 1 : type === 11 ? 3 : 2;
  const content = icmpError(v6 ? v6Type : type, code, packet, rest);
  return { frame: frameOf(r, { ...tuple, src }, content), port, flow };
}
