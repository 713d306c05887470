// SPDX-License-Identifier: Apache-2.0

/**
 * Packets that belong together: clients that open connections as they should, servers that answer, errors about both, the same
 * in fragments; and a share of what nobody should send. Which packet comes next depends on the seed alone, but for what
 * backends answer, which are those that the kernel has picked.
 */
import { GATEWAY_MAC, POD_MAC } from '../support/bytes.ts';
import {
  authentication,
  ethernet,
  extension,
  fragments,
  icmpError,
  ipv4,
  ipv6,
  type Layer3,
  type Layer4,
  raw,
  sctp,
  sctpChunk,
  tcp,
  udp,
} from '../support/packet.ts';
import { CLIENT, SERVER } from './load-balancer-model.ts';
import {
  CLIENT_PORTS,
  CLIENTS,
  HAIRPIN_SOURCE,
  ROUTERS,
  SERVICE_PORTS,
  VIPS,
  WORLD,
} from './load-balancer-world.ts';
import { randomFrame } from './packets.ts';
import type { Random } from './random.ts';

/** Addresses and ports of a packet. */
export interface Ends {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

type Protocol = 'TCP' | 'UDP' | 'SCTP';

interface Flow {
  readonly family: 4 | 6;
  readonly protocol: Protocol;
  readonly to: Ends;
  phase: 'new' | 'asked' | 'answered' | 'open' | 'closing';
  /** Next sequence numbers, or tags, of client and server. */
  client: number;
  server: number;
  /** As the backend has seen the client's last packet, and that packet. */
  sent?: Ends;
  sentFrame?: Buffer;
  /** The server's last packet as the client has seen it. */
  replyFrame?: Buffer;
}

export interface Shot {
  readonly frame: Buffer;
  readonly port: number;
  /** Whose packet it is, and which of its sides sent it. */
  readonly flow?: Flow;
  readonly by?: 'client' | 'server';
}

const FLOWS = 40;

export class Flows {
  readonly #flows: (Flow | undefined)[] = new Array(FLOWS).fill(undefined);
  /** Fragments on their way. */
  readonly #waiting: Shot[] = [];

  next(r: Random): Shot {
    if (this.#waiting.length > 0 && r.chance(0.6)) return this.#waiting.shift() as Shot;
    if (r.chance(0.06)) return { frame: randomFrame(r, WORLD), port: r.pick([SERVER, CLIENT]) };
    const at = r.below(FLOWS);
    const flow = r.chance(0.06) ? newFlow(r) : (this.#flows[at] ?? newFlow(r));
    this.#flows[at] = flow;
    const shot = packetOf(r, flow);
    const [first, ...rest] = shot;
    this.#waiting.push(...rest);
    return first ?? { frame: randomFrame(r, WORLD), port: CLIENT };
  }

  /** What became of a packet of a flow: the frame that went out, and between whom it is now. */
  arrived(shot: Shot, frame: Buffer, ends: Ends): void {
    const { flow } = shot;
    if (shot.by === 'client' && flow) {
      flow.sent = ends;
      flow.sentFrame = frame;
    } else if (shot.by === 'server' && flow) {
      flow.replyFrame = frame;
    }
  }
}

function newFlow(r: Random): Flow {
  const family = r.pick([4, 6] as const);
  const protocol = r.pick(['TCP', 'TCP', 'TCP', 'UDP', 'UDP', 'SCTP'] as const);
  const to = {
    src: r.pick(CLIENTS[family]),
    dst: r.pick(VIPS[family]),
    sport: r.pick(CLIENT_PORTS),
    dport: protocol === 'SCTP' ? 2905 : r.chance(0.95) ? r.pick([80, 80, 53]) : r.pick(SERVICE_PORTS),
  };
  return { family, protocol, to, phase: 'new', client: r.word(), server: r.word() };
}

function network(r: Random, family: 4 | 6, { src, dst }: Ends, content: Layer4 | Uint8Array): Layer3 {
  const ttl = r.pick([1, 64, 64, 255]);
  const unusual = r.chance(0.04);
  if (family === 4) {
    const options = unusual ? { options: Buffer.alloc(4 * r.between(1, 10), 1) } : {};
    return ipv4({ src, dst, ttl, tos: r.below(256), df: r.chance(0.5), ...options }, content);
  }
  const extensions = unusual
    ? [r.chance(0.3) ? authentication(r.between(1, 8)) : extension(60, r.between(1, 8))]
    : [];
  return ipv6({ src, dst, hopLimit: ttl, trafficClass: r.below(256), extensions }, content);
}

/** The packet in a frame, in several when it is cut into fragments, or damaged. */
function framed(
  r: Random,
  flow: Flow,
  ends: Ends,
  content: Layer4,
  port: number,
  by: 'client' | 'server',
): Shot[] {
  const shot = (frame: Buffer) => ({ frame, port, flow, by });
  if (r.chance(0.03)) {
    const size = 8 * r.between(3, 6);
    const parts = fragments(ends, content, size, r.between(1, 6)).map(shot);
    if (r.chance(0.15)) parts.shift();
    return parts;
  }
  const header = r.chance(0.02)
    ? { vlan: r.pick([0, 1, 100]) }
    : r.chance(0.02)
      ? { dst: r.pick(['ff:ff:ff:ff:ff:ff', POD_MAC, GATEWAY_MAC]) }
      : {};
  const frame = ethernet(header, network(r, flow.family, ends, content));
  if (r.chance(0.02)) {
    const at = r.between(14, Math.min(frame.length, 90) - 1);
    frame[at] = (frame[at] ?? 0) ^ r.pick([1, 2, 4, 8, 16, 32, 64, 128, 255]);
  }
  const least = flow.family === 4 ? 34 : 54;
  return [shot(r.chance(0.01) ? frame.subarray(0, r.between(least, frame.length)) : frame)];
}

function packetOf(r: Random, flow: Flow): Shot[] {
  const { sent, sentFrame, replyFrame, to } = flow;
  const kind = r.below(100);
  if (kind < 5 && sentFrame && sent) return error(r, flow, sentFrame, sent, 'server');
  if (kind < 8 && replyFrame) return error(r, flow, replyFrame, undefined, 'client');
  if (kind < 11 && sent) {
    // the backend by its own address; the answers are the flow's from here on
    const ends = { ...to, dst: sent.dst, dport: sent.dport };
    if (r.chance(0.8)) flow.phase = 'new';
    return framed(r, flow, ends, clientContent(r, flow, ends), CLIENT, 'client');
  }
  if (kind < 12) return framed(r, flow, to, short(r, to), CLIENT, 'client');
  if (kind < 14) return framed(r, flow, to, clientContent(r, flow, to), SERVER, 'client');
  const isServers = flow.phase === 'asked' ? 60 : 45;
  if (sent && kind < isServers) {
    const back = { src: sent.dst, dst: sent.src, sport: sent.dport, dport: sent.sport };
    const isHairpin = sent.src === HAIRPIN_SOURCE.ipv4 || sent.src === HAIRPIN_SOURCE.ipv6;
    const port = isHairpin === r.chance(0.97) ? CLIENT : SERVER;
    return framed(r, flow, back, serverContent(r, flow, back), port, 'server');
  }
  return framed(r, flow, to, clientContent(r, flow, to), CLIENT, 'client');
}

/** TCP that ends behind its flags: it can be told what it is of, but not changed. */
function short(r: Random, { sport, dport }: Ends): Layer4 {
  const whole = tcp({ sport, dport, flags: r.pick(['S', 'A']), seq: r.word() });
  const length = r.between(14, 19);
  return raw(6, whole.build('10.0.0.1', '10.0.0.2').subarray(0, length));
}

function error(
  r: Random,
  flow: Flow,
  about: Buffer,
  sent: Ends | undefined,
  by: 'client' | 'server',
): Shot[] {
  const { family, to } = flow;
  const packet = about.subarray(14);
  const least = family === 4 ? 28 : 48;
  const quoted = r.chance(0.5)
    ? packet.subarray(0, Math.min(packet.length, r.between(least, least + 20)))
    : packet;
  const [type, code] =
    family === 4
      ? r.pick([
          [3, 3],
          [3, 1],
          [3, 4],
          [11, 0],
          [12, 0],
        ] as const)
      : r.pick([
          [1, 4],
          [1, 3],
          [2, 0],
          [3, 0],
          [4, 1],
        ] as const);
  const source = r.chance(0.4) ? ROUTERS[family] : undefined;
  const ends = sent
    ? { src: source ?? sent.dst, dst: sent.src, sport: 0, dport: 0 }
    : { src: source ?? to.src, dst: to.dst, sport: 0, dport: 0 };
  const isHairpin = ends.dst === HAIRPIN_SOURCE.ipv4 || ends.dst === HAIRPIN_SOURCE.ipv6;
  const port = by === 'client' || isHairpin ? CLIENT : SERVER;
  const frame = ethernet({}, network(r, family, ends, icmpError(type, code, quoted, r.below(1500))));
  return [{ frame, port }];
}

function clientContent(r: Random, flow: Flow, { sport, dport }: Ends): Layer4 {
  const payload = r.chance(0.3) ? r.between(1, 60) : 0;
  if (flow.protocol === 'UDP') {
    return udp({ sport, dport, payload, ...(flow.family === 4 && r.chance(0.1) ? { checksum: 0 } : {}) });
  }
  const isUsual = r.chance(0.9);
  if (flow.protocol === 'SCTP') return sctpContent(r, flow, sport, dport, isUsual);
  const segment = (flags: string, o: { seq?: number; ack?: number } = {}) =>
    tcp({
      sport,
      dport,
      flags,
      seq: flow.client,
      ack: flow.server,
      payload: flags === 'S' ? 0 : payload,
      ...o,
    });
  if (!isUsual)
    return segment(r.pick(['S', 'A', 'A', 'PA', 'FA', 'R', 'RA', 'SA', 'SF', '']), { ack: r.word() });
  switch (flow.phase) {
    case 'new':
      flow.phase = 'asked';
      flow.client = r.word();
      return segment('S');
    case 'asked':
      return r.chance(0.7) ? segment('S') : segment('A', { ack: r.word() });
    case 'answered':
      if (r.chance(0.1)) return segment('A', { ack: (flow.server + r.between(1, 2)) >>> 0 });
      flow.phase = 'open';
      return segment('A', { seq: (flow.client + 1) >>> 0 });
    case 'open': {
      const flags = r.pick(['A', 'A', 'A', 'PA', 'PA', 'PA', 'PA', 'PA', 'FA', 'R', 'S']);
      if (flags !== 'A' && flags !== 'PA') flow.phase = flags === 'S' ? 'asked' : 'closing';
      return segment(flags);
    }
    case 'closing':
      if (r.chance(0.5)) return segment(r.pick(['A', 'FA', 'R']));
      flow.phase = 'asked';
      flow.client = r.word();
      return segment('S');
  }
}

function serverContent(r: Random, flow: Flow, { sport, dport }: Ends): Layer4 {
  const payload = r.chance(0.4) ? r.between(1, 60) : 0;
  if (flow.protocol === 'UDP') return udp({ sport, dport, payload });
  const isUsual = r.chance(0.92);
  if (flow.protocol === 'SCTP') return sctpAnswer(r, flow, sport, dport, isUsual);
  if (flow.phase === 'asked' && isUsual) {
    const seq = r.word();
    flow.server = (seq + 1) >>> 0;
    flow.phase = 'answered';
    if (r.chance(0.06)) return tcp({ sport, dport, flags: 'RA', seq: 0, ack: (flow.client + 1) >>> 0 });
    return tcp({ sport, dport, flags: 'SA', seq, ack: (flow.client + 1) >>> 0 });
  }
  const flags = r.pick(
    isUsual ? ['A', 'A', 'PA', 'PA', 'PA', 'PA', 'PA', 'FA', 'R'] : ['S', 'SA', 'RA', 'F', '', 'P'],
  );
  const seq = flow.server;
  flow.server = (seq + payload + (flags.includes('F') ? 1 : 0)) >>> 0;
  return tcp({ sport, dport, flags, seq, ack: flow.client, payload });
}

/** RFC 9260 5.1, 8.5, 9.2. */
const Chunk = {
  data: 0,
  init: 1,
  initAck: 2,
  abort: 6,
  shutdown: 7,
  shutdownAck: 8,
  cookieEcho: 10,
  complete: 14,
} as const;

function association(sport: number, dport: number, tag: number, type: number, initiate: number): Layer4 {
  const value = Buffer.alloc(16);
  value.writeUInt32BE(initiate);
  return sctp({ sport, dport, tag, chunks: [sctpChunk(type, value)] });
}

function sctpContent(r: Random, flow: Flow, sport: number, dport: number, isUsual: boolean): Layer4 {
  const chunk = (type: number, tag = flow.server) => association(sport, dport, tag, type, flow.client);
  if (!isUsual) return chunk(r.pick(Object.values(Chunk)), r.pick([flow.server, r.word(), 0]));
  switch (flow.phase) {
    case 'new':
    case 'asked':
      // an association that another node has had until now
      flow.phase = flow.phase === 'new' && r.chance(0.3) ? 'open' : 'asked';
      return flow.phase === 'open' ? chunk(Chunk.data) : chunk(Chunk.init, 0);
    case 'answered':
      flow.phase = 'open';
      return chunk(Chunk.cookieEcho);
    case 'open': {
      const type = r.pick([
        Chunk.data,
        Chunk.data,
        Chunk.data,
        Chunk.data,
        Chunk.data,
        Chunk.shutdown,
        Chunk.abort,
        Chunk.init,
      ]);
      if (type !== Chunk.data) flow.phase = type === Chunk.init ? 'asked' : 'closing';
      return chunk(type);
    }
    case 'closing':
      if (r.chance(0.5)) flow.phase = 'new';
      return chunk(r.pick([Chunk.complete, Chunk.shutdownAck, Chunk.data]));
  }
}

function sctpAnswer(r: Random, flow: Flow, sport: number, dport: number, isUsual: boolean): Layer4 {
  const chunk = (type: number, initiate = r.word()) => association(sport, dport, flow.client, type, initiate);
  if (flow.phase === 'asked' && isUsual) {
    flow.server = r.word();
    flow.phase = 'answered';
    return chunk(Chunk.initAck, flow.server);
  }
  if (!isUsual) return chunk(r.pick(Object.values(Chunk)));
  if (r.chance(0.1)) return chunk(r.pick([Chunk.abort, Chunk.complete]));
  return chunk(r.pick([Chunk.data, Chunk.data, Chunk.data, Chunk.shutdown, Chunk.shutdownAck]));
}
