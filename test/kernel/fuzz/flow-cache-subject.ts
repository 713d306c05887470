// SPDX-License-Identifier: Apache-2.0
/**
 * The same chain twice, one of which keeps what it knows of flows: what becomes of random packets, and what is counted, must be the
 * same. LoadBalancer, Firewall and Router, with clients that are pods and servers behind the router.
 */
import { loadCube } from '../../bench/load.ts';
import { POD_MAC } from '../support/bytes.ts';
import { Chain, type ChainCube, type RunOptions, u32, Verdict } from '../support/chain.ts';
import { dissect } from '../support/dissect.ts';
import { ethernet, extension, fragmentHeader, ipv4, ipv6, type Layer4, tcp, udp } from '../support/packet.ts';
import { compareSums, type Subject } from './campaign.ts';
import type { Random } from './random.ts';

/** Few, so that flows push each other out. */
const RECORDS = 32;
const FLOWS = 48;
const SERVICES = 4;
const SERVERS = 6;
const [SERVER, CLIENT] = [0, 1];
const [OUTSIDE, INSIDE] = [0, 1];
const [NEAR, FAR] = [0, 1];
const MTU = 1400;
/** Packets of servers come from their node by a tunnel. */
const TUNNEL = { remote: '192.0.2.9', vni: 1 } as const;
const OVERLAY = { overlayVni: TUNNEL.vni, lengths4: [120], lengths6: [64] } as const;
/** First bit of the generation in the word of `rule_bank`. */
const GENERATION = 7n;

type Family = 'ipv4' | 'ipv6';
type Side = 'client' | 'server';

const CLIENTS = { ipv4: '10.244.1.10', ipv6: 'fd00:244:0:1::10' } as const;
const serverOf = (family: Family, n: number) =>
  family === 'ipv4' ? `10.244.2.${n + 2}` : `fd00:244:0:2::${n + 2}`;
const vipOf = (family: Family, n: number) => (family === 'ipv4' ? `10.96.0.${n + 1}` : `fd00:96::${n + 1}`);
const macOf = (family: Family, n: number) => `02:00:00:00:${family === 'ipv4' ? '04' : '06'}:0${n}`;

interface Ends {
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

interface Flow {
  readonly family: Family;
  readonly protocol: 'TCP' | 'UDP';
  readonly client: Ends;
  /** Its frames are for the device's own MAC, which `pkt_type` alone tells. */
  readonly isForDevice: boolean;
  /** As the server answers; undefined until a packet has come there. */
  server?: Ends;
  /** A SYN has had no answer. What else a server says makes a balancer take another source port, at random, and not the same in both. */
  isAsked?: boolean;
}

function serviceTables(): Record<string, readonly unknown[]> {
  const tables: Record<string, readonly unknown[]> = {};
  for (const family of ['ipv4', 'ipv6'] as const)
    for (let n = 0; n < SERVICES; n++)
      tables[`test/${family}-${n}`] = [
        {
          namespace: 'default',
          name: `${family}-${n}`,
          frontends: ['TCP', 'UDP'].map((protocol) => ({
            scope: 'ClusterIP',
            addresses: [vipOf(family, n)],
            port: 80,
            name: protocol.toLowerCase(),
            protocol,
            affinity: { type: 'None', timeoutSeconds: 10800 },
            sourceRanges: [],
            trafficPolicy: 'Cluster',
          })),
          backends: Array.from({ length: 3 }, (_, i) => ({
            address: serverOf(family, (n + i) % SERVERS),
            weight: 1,
            state: 'Ready',
            node: 'node-a',
            ports: ['TCP', 'UDP'].map((protocol) => ({
              name: protocol.toLowerCase(),
              port: n === 0 ? 80 : 8080 + n, // an address alone changes, too
              protocol,
            })),
          })),
        },
      ];
  return tables;
}

/** Other builds, with a planted bug in one of them. */
export type Paths = Readonly<Partial<Record<'tcx' | 'load-balancer' | 'firewall' | 'router', string>>>;

/** Which of two chains answers more often would be chance. */
const UNLIMITED = {
  variables: { reply_limit: Buffer.from(new BigUint64Array([1n, 1n << 40n]).buffer) },
};

class Way {
  readonly chain: Chain;
  readonly balancer: ChainCube;
  readonly firewall: ChainCube;
  readonly router: ChainCube;
  #hasFirewall = true;

  private constructor(chain: Chain, balancer: ChainCube, firewall: ChainCube, router: ChainCube) {
    this.chain = chain;
    this.balancer = balancer;
    this.firewall = firewall;
    this.router = router;
  }

  static async open(flows: number, paths: Paths = {}): Promise<Way> {
    const chain = await Chain.open({ flows, ...(paths.tcx ? { path: paths.tcx } : {}) });
    const ports = (names: readonly string[], endpoint = 'Cube') =>
      names.map((name, id) => ({ name, id, addresses: [], endpoint: endpoint as 'Cube' }));
    const path = (name: keyof Paths) => ({ ...UNLIMITED, ...(paths[name] ? { path: paths[name] } : {}) });
    const balancer = await loadCube(chain, 1, {
      type: 'LoadBalancer',
      spec: { algorithm: 'Maglev' },
      ports: ports(['server', 'pods']),
      tables: serviceTables(),
      ...path('load-balancer'),
    });
    const firewall = await loadCube(chain, 2, {
      type: 'Firewall',
      spec: {
        rules: [
          {
            name: 'web',
            priority: 100,
            action: 'Allow',
            ports: [{ port: 8080 }, { port: 8081 }, { port: 9000 }],
          },
          { name: 'rest', priority: 200, action: 'Drop', ports: [{ port: 8083 }] },
          { name: 'all', priority: 300, action: 'Allow' },
        ],
      },
      ports: ports(['outside', 'inside']),
      ...path('firewall'),
    });
    const router = await loadCube(chain, 3, {
      type: 'Router',
      spec: { routes: [{ destination: '10.244.2.5/32', type: 'Port', port: 'far', mtu: 1280 }] },
      ports: [
        { name: 'near', id: NEAR, addresses: ['10.244.1.1/24', 'fd00:244:0:1::1/64'], endpoint: 'Cube' },
        {
          name: 'far',
          id: FAR,
          addresses: ['10.244.2.1/24', 'fd00:244:0:2::1/64'],
          mtu: MTU,
          endpoint: 'Pods',
        },
      ],
      ...path('router'),
    });
    chain.addOverlaySource('10.244.2.0', 120, TUNNEL.remote);
    chain.addOverlaySource('fd00:244:0:2::', 64, TUNNEL.remote);
    chain.configure(OVERLAY);
    const way = new Way(chain, balancer, firewall, router);
    for (const family of ['ipv4', 'ipv6'] as const) {
      chain.addPod(CLIENTS[family], 1);
      for (let n = 0; n < SERVERS; n++) chain.addPod(serverOf(family, n), 2, macOf(family, n));
    }
    way.wire();
    return way;
  }

  /** Writes the graph of this moment, into the bank in use. */
  wire(): void {
    const { chain, balancer, firewall, router } = this;
    if (this.#hasFirewall) {
      chain.link(balancer, SERVER, firewall, INSIDE);
      chain.link(firewall, OUTSIDE, router, NEAR);
    } else {
      chain.link(balancer, SERVER, router, NEAR);
    }
    chain.edge(router.slot, FAR, { kind: 'pod' });
    chain.edge(balancer.slot, CLIENT, { kind: 'pod' });
    this.from('client');
    this.from('server');
  }

  /** Another graph, with the firewall or without it, by a flip of the epoch alone. */
  rewire(): void {
    this.#hasFirewall = !this.#hasFirewall;
    const { chain } = this;
    const next = chain.epoch + 1;
    chain.configure({ ...OVERLAY, epoch: next });
    this.wire();
  }

  /** As after a change of rules: sessions of before are asked about again. */
  askAgain(): void {
    const map = this.firewall.map('rule_bank');
    const word = map.lookup(u32(0)) ?? Buffer.alloc(8);
    word.writeBigUInt64LE(BigInt.asUintN(64, word.readBigUInt64LE() + (1n << GENERATION)));
    map.update(u32(0), word);
  }

  from(side: Side): void {
    if (side === 'client')
      this.chain.attach({ kind: 'pod', addresses: Object.values(CLIENTS) }, this.balancer, CLIENT);
    else this.chain.attach({ kind: 'overlay' }, this.router, FAR);
  }

  sums(): Map<string, number> {
    const sums = this.chain.tally();
    for (const cube of [this.balancer, this.firewall, this.router])
      for (const port of [0, 1])
        for (const [what, value] of Object.entries(cube.port(port)))
          sums.set(`${cube.name} port ${port} ${what}`, value);
    for (const [what, value] of Object.entries(this.chain.attachmentCounters()))
      sums.set(`entry ${what}`, value);
    return sums;
  }
}

export class FlowCacheSubject implements Subject {
  readonly #plain: Way;
  readonly #cached: Way;
  readonly #flows: Flow[] = [];
  #last: Flow | undefined;
  /** Rows that are away, to come back. */
  #away: (() => void) | undefined;

  private constructor(plain: Way, cached: Way, random: Random) {
    this.#plain = plain;
    this.#cached = cached;
    for (let n = 0; n < FLOWS; n++) {
      const family = random.pick(['ipv4', 'ipv6'] as const);
      const isDirect = random.chance(0.3);
      const dst = isDirect ? serverOf(family, random.below(SERVERS)) : vipOf(family, random.below(SERVICES));
      const client = { src: CLIENTS[family], dst, sport: 2000 + n, dport: isDirect ? 9000 : 80 };
      const protocol = random.pick(['TCP', 'UDP'] as const);
      this.#flows.push({ family, protocol, client, isForDevice: random.chance(0.4) });
    }
  }

  static async open(random: Random, paths: Paths = {}): Promise<FlowCacheSubject> {
    const plain = await Way.open(0);
    return new FlowCacheSubject(plain, await Way.open(RECORDS, paths), random);
  }

  /** Packets that went by a record. */
  get replayed(): number {
    return this.#cached.chain.flows().replayed;
  }

  shoot(random: Random): readonly string[] {
    const flow = this.#last !== undefined && random.chance(0.85) ? this.#last : random.pick(this.#flows);
    this.#last = flow;
    const side: Side = flow.server !== undefined && random.chance(0.45) ? 'server' : 'client';
    const { frame, what, flags, options } = randomPacket(random, flow, side);
    for (const way of [this.#plain, this.#cached]) way.from(side);
    const expected = this.#plain.chain.shoot(frame, options);
    const actual = this.#cached.chain.shoot(frame, options);
    if (side === 'client' && flags === 'S') {
      flow.isAsked = true;
      delete flow.server; // it may be another one now
    }
    if (side === 'client' && expected.verdict === Verdict.redirect) noteServer(flow, expected.frame);
    // it may have become an error for the server on its way
    const isForClient =
      expected.verdict === Verdict.redirect && dissect(expected.frame).ip?.dst === CLIENTS[flow.family];
    if (side === 'server' && flags === 'SA' && isForClient) flow.isAsked = false;
    const differs =
      expected.verdict !== actual.verdict ||
      (expected.verdict !== Verdict.drop && !expected.frame.equals(actual.frame));
    if (!differs) return [];
    return [
      `${what} from the ${side}, ${JSON.stringify(flow)}`,
      `without a cache: verdict ${expected.verdict}, ${expected.frame.toString('hex')}`,
      `with one:        verdict ${actual.verdict}, ${actual.frame.toString('hex')}`,
    ];
  }

  sums(): readonly string[] {
    return compareSums(this.#plain.sums(), this.#cached.sums());
  }

  /** What an agent may do, and says in the end; a change of the graph needs no word. */
  change(random: Random): void {
    const kind = random.below(5);
    if (kind === 0) {
      for (const way of [this.#plain, this.#cached]) way.rewire();
      return;
    }
    if (kind === 1) {
      const family = random.pick(['ipv4', 'ipv6'] as const);
      const n = random.below(SERVERS);
      const mac = `02:00:00:00:${random.below(90) + 10}:0${n}`;
      for (const way of [this.#plain, this.#cached]) way.chain.addPod(serverOf(family, n), 2, mac);
    } else if (kind === 4) {
      for (const way of [this.#plain, this.#cached]) way.askAgain();
    } else if (this.#away !== undefined) {
      this.#away();
      this.#away = undefined;
    } else {
      this.#away = this.#takeRow(random);
    }
    this.#cached.chain.forgetFlows();
  }

  /** Takes a route or a frontend away in both; returns what gives it back. */
  #takeRow(random: Random): () => void {
    const [cube, name] = random.pick([
      ['router', 'routes_hash'] as const,
      ['balancer', 'frontends'] as const,
    ]);
    const maps = [this.#plain, this.#cached].map((way) => way[cube].map(name));
    const keys = [...(maps[0]?.keys() ?? [])];
    const key = random.pick(keys);
    const values = maps.map((map) => map.lookup(key));
    for (const map of maps) map.delete(key);
    return () => {
      maps.forEach((map, index) => {
        const value = values[index];
        if (value !== undefined) map.update(key, value);
      });
    };
  }

  close(): void {
    this.#plain.chain.close();
    this.#cached.chain.close();
  }
}

/** Who answers, and as whom it sees the client, stands in the packet that comes to the server. */
function noteServer(flow: Flow, frame: Buffer): void {
  const packet = dissect(frame).ip;
  const ports = flow.protocol === 'TCP' ? packet?.tcp : packet?.udp;
  if (!packet || !ports || packet.src !== CLIENTS[flow.family]) return;
  flow.server = { src: packet.dst, dst: packet.src, sport: ports.dport, dport: ports.sport };
}

interface RandomPacket {
  readonly frame: Buffer;
  readonly what: string;
  /** Of TCP. */
  readonly flags: string;
  readonly options: Pick<RunOptions, 'gsoSize' | 'packetType' | 'tunnel'>;
}

function randomPacket(random: Random, flow: Flow, side: Side): RandomPacket {
  const ends = side === 'client' ? flow.client : (flow.server ?? flow.client);
  const [flags, kind] = flow.protocol === 'TCP' ? randomFlags(random, flow, side) : ['', 'datagram'];
  const isLong = random.chance(0.01);
  const payload = isLong ? random.between(1150, 1600) : random.chance(0.2) ? random.below(600) : 0;
  const numbers = side === 'client' ? { seq: 101, ack: 501 } : { seq: 501, ack: 101 };
  if (flags.includes('S')) numbers.seq--;
  const l4: Layer4 =
    flow.protocol === 'TCP'
      ? tcp({ sport: ends.sport, dport: ends.dport, flags, ...numbers, payload })
      : udp({
          sport: ends.sport,
          dport: ends.dport,
          payload,
          ...(flow.family === 'ipv4' && random.chance(0.05) ? { checksum: 0 } : {}),
        });
  const ttl = random.chance(0.006) ? random.below(3) : random.pick([64, 64, 64, 63, 255]);
  const tos = random.chance(0.1) ? random.below(256) : 0;
  const odd = random.chance(0.01) ? random.below(3) : -1;
  const packet =
    flow.family === 'ipv4'
      ? ipv4(
          {
            ...{ src: ends.src, dst: ends.dst, ttl, tos },
            ...(odd === 0 ? { options: Buffer.from([1, 1, 1, 0]) } : {}),
            ...(odd === 1 ? { mf: true } : {}),
          },
          l4,
        )
      : ipv6(
          {
            ...{ src: ends.src, dst: ends.dst, hopLimit: ttl, trafficClass: tos },
            ...(odd === 0 ? { extensions: [extension(60)] } : {}),
            ...(odd === 1 ? { extensions: [fragmentHeader(0, true)] } : {}),
          },
          l4,
        );
  const isForged = random.chance(0.01);
  const src = side === 'client' ? (isForged ? '02:00:00:00:0b:0b' : POD_MAC) : '02:00:00:00:0c:0c';
  const frame = ethernet({ src, ...(flow.isForDevice ? { dst: '02:00:00:00:0d:0d' } : {}) }, packet);
  const packetType = flow.isForDevice ? random.pick([0, 0, 0, 0, 0, 0, 0, 3]) : 3;
  const isSegmented = flow.protocol === 'TCP' && payload > 200 && random.chance(0.3);
  const what = `${kind} ${flags}${odd >= 0 ? ` odd ${odd}` : ''}${isForged ? ' forged' : ''} ttl ${ttl} payload ${payload}`;
  return {
    frame,
    what,
    flags,
    options: {
      ...(isSegmented ? { gsoSize: 100 } : {}),
      packetType: random.chance(0.01) ? 1 : packetType,
      ...(side === 'server' ? { tunnel: isForged ? { ...TUNNEL, remote: '192.0.2.10' } : TUNNEL } : {}),
    },
  };
}

function randomFlags(random: Random, { isAsked }: Flow, side: Side): [string, string] {
  const dice = random.below(100);
  if (side === 'server' && isAsked) return dice < 90 ? ['SA', 'opening'] : ['R', 'reset'];
  if (dice < 6) return side === 'client' ? ['S', 'opening'] : ['SA', 'opening'];
  if (dice < 9) return ['FA', 'end'];
  if (dice < 11) return ['R', 'reset'];
  if (dice < 12) return ['', 'nothing'];
  return [random.pick(['A', 'PA', 'A']), 'data'];
}
