// SPDX-License-Identifier: Apache-2.0
/** A router that finds MACs itself: its program in the kernel, its image as on an agent, and models of both. */
import type { PacketOut } from '../../../src/cubes/cube-type.ts';
import { decodePunt } from '../../../src/dataplane/punt-record.ts';
import { Chain } from '../support/chain.ts';
import { addRouter } from '../support/router.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import { saidBy } from './heard-model.ts';
import { textOf } from './neighbour-model.ts';
import { randomFrame } from './packets.ts';
import { type Address, addressOf } from './parse-model.ts';
import type { Random } from './random.ts';
import { AgentModel, type Sent } from './resolve-agent-model.ts';
import { modelOfResolving, RESOLVING_WORLD, randomResolving } from './resolve-config.ts';
import {
  CAPTURED,
  compare,
  compareBuckets,
  compareHeard,
  compareRecords,
  compareRows,
  compareSent,
  words,
} from './resolve-differences.ts';
import { neighbourFrame, Traffic } from './resolve-frames.ts';
import { ResolveKernel, UNIT } from './resolve-kernel.ts';
import { type Handed, type Moment, ProgramModel, type Row } from './resolve-program-model.ts';
import { DEVICE_MAC, modelOf, randomRoutes } from './router-config.ts';
import { type Arrival, RouterModel } from './router-model.ts';

const FIRST = 2;
const ROUTER = 1;
const TABLE = 'test/routes';
/** ns that the kernel's coarse clock may be late. */
const COARSE = 12_000_000n;

const clock = (): bigint => process.hrtime.bigint();
const secondOf = (ns: bigint): number => Number(ns / UNIT);

/** ARP or ICMPv6, or something that is made to look otherwise: the map of what was heard takes longer to read than the packet. */
const maySpeak = (frame: Buffer): boolean =>
  frame.readUInt16BE(12) !== 0x0800 && (frame.readUInt16BE(12) !== 0x86dd || frame[20] === 58);

/** @param path another build of the object file, with a planted bug. */
export async function openResolvingRouter(r: Random, path?: string): Promise<Subject> {
  const config = randomResolving(r);
  const chain = await Chain.open();
  const router = await addRouter(chain, {
    ports: config.ports,
    slot: ROUTER,
    ...(path === undefined ? {} : { path }),
    spec: {
      routes: [...config.routes],
      icmp: { errorsPerSecond: 1_000_000, burst: 100_000 },
      neighbours: config.neighbours,
      ...(config.mtu === undefined ? {} : { mtu: config.mtu }),
    },
  });
  await chain.addPass(FIRST);
  const kernel = await ResolveKernel.open(chain, router.cube);
  return new ResolvingRouter(chain, router, kernel, config);
}

class ResolvingRouter implements Subject {
  readonly #chain: Chain;
  readonly #router: Awaited<ReturnType<typeof addRouter>>;
  readonly #kernel: ResolveKernel;
  readonly #config: ReturnType<typeof randomResolving>;
  readonly #resolving: ReturnType<typeof modelOfResolving>;
  #image: Awaited<ReturnType<typeof addRouter>>['image'];
  #program: ProgramModel;
  #agent: AgentModel;
  readonly #traffic = new Traffic();
  #table: ReturnType<typeof randomRoutes> = [];
  readonly #sums = new Map<string, number>();
  /** Records that the agent has not read yet, and what the model says of each. */
  #unread: { record: Buffer; handed: Handed }[] = [];
  /** Packets that the agent wants sent in again. */
  #resumed: Sent[] = [];

  constructor(
    chain: Chain,
    router: Awaited<ReturnType<typeof addRouter>>,
    kernel: ResolveKernel,
    config: ReturnType<typeof randomResolving>,
  ) {
    this.#chain = chain;
    this.#router = router;
    this.#image = router.image;
    this.#kernel = kernel;
    this.#config = config;
    this.#resolving = modelOfResolving(config);
    this.#agent = new AgentModel(this.#resolving);
    this.#program = new ProgramModel(
      new RouterModel(modelOf(config, [])),
      new Set(this.#resolving.ports.keys()),
    );
    chain.watch(ROUTER, ...config.ports.map(({ id }) => id));
    this.#sync(new Set(this.#agent.rows().keys()));
  }

  get #now(): number {
    return Number(clock()) / 1e9 + this.#kernel.ahead;
  }

  shoot(random: Random): readonly string[] {
    const before = this.#meanwhile(random);
    if (before.length > 0) return before;
    const resumed = random.chance(0.4) ? this.#resumed.shift() : undefined;
    if (resumed && resumed.how !== 'out') {
      const { port, frame, how } = resumed;
      const arrival = { frame, port, shared: false, deviceMac: DEVICE_MAC };
      return this.#compare(arrival, how, () => this.#kernel.resume(resumed, how));
    }
    const arrival = this.#arrival(random);
    return this.#compare(arrival, undefined, () => this.#chain.shoot(arrival.frame));
  }

  /** Time passes, the agent reads, others use up what a router may tell it. */
  #meanwhile(random: Random): string[] {
    if (random.chance(0.04)) {
      const units = random.pick([1, 1, 1, 2, 5, 30, 80]);
      this.#kernel.pass(units);
      for (const row of this.#program.rows.values()) {
        row.used = (row.used - units) >>> 0;
        row.toldAt = (row.toldAt - units) >>> 0;
        row.staleAt = (row.staleAt - units) >>> 0;
      }
      for (const count of this.#program.heard.values()) count.second = (count.second - units) >>> 0;
      Object.assign(this.#program.buckets, this.#kernel.buckets());
      const now = this.#now;
      this.#image.tick(now);
      this.#agent.tick(now);
      const found = this.#written(this.#image.takePackets());
      if (found.length > 0) return [`after ${units} units`, ...found];
    }
    if (random.chance(0.01)) {
      const kind = random.pick(['packets', 'heard'] as const);
      // for some milliseconds nothing is left
      const most = kind === 'packets' ? 99_000_000n : 999_000_000n;
      const full = clock() + most + BigInt(random.below(20_000_000));
      this.#kernel.fill(kind, full);
      this.#program.buckets[kind] = full;
    }
    // at once, mostly, as an agent that has nothing else to do
    if (!random.chance(0.15)) return [];
    const most = random.pick([1, 3, 1000, 1000]);
    for (const { record, handed } of this.#unread.splice(0, most)) {
      const found = this.#read(record, handed);
      if (found.length > 0) return [`the agent reads ${words(handed)}`, ...found];
    }
    return [];
  }

  #arrival(random: Random): Arrival {
    const rows = [...this.#program.rows.keys()];
    const { ports } = this.#config;
    if (random.chance(0.3) && this.#resolving.ports.size > 0) {
      const [text = '', hex = ''] = (rows.length > 0 && random.chance(0.9) ? random.pick(rows) : '').split(
        ' ',
      );
      const port = hex ? Number(text) : random.pick([...this.#resolving.ports.keys()]);
      const address = hex
        ? textOf(BigInt(`0x${hex}`))
        : random.pick(['10.9.7.7', 'fd00:7::1', '192.168.7.1']);
      const own = (this.#resolving.ports.get(port) ?? []).map((one) => textOf(one.address));
      return this.#enter(port, false, neighbourFrame(random, { address, own }));
    }
    const { id: port } = random.pick(ports);
    if (random.chance(0.7)) return this.#enter(port, false, this.#traffic.frame(random));
    const isShared = !this.#resolving.ports.has(port) && random.chance(0.4);
    return this.#enter(port, isShared, randomFrame(random, RESOLVING_WORLD));
  }

  #enter(port: number, shared: boolean, frame: Buffer): Arrival {
    const { cube } = this.#router;
    if (shared) {
      this.#chain.attach({ kind: 'interface' }, cube, port);
    } else {
      this.#chain.edge(0, 8, { kind: 'cube', target: FIRST });
      this.#chain.edge(FIRST, 1, { kind: 'cube', target: ROUTER, port });
    }
    return { frame, port, shared, deviceMac: DEVICE_MAC };
  }

  /** One packet by the kernel and by the model, at whichever moment it may have been looked at. */
  #compare(
    arrival: Arrival,
    how: Exclude<Sent['how'], 'out'> | undefined,
    send: () => ReturnType<Chain['shoot']>,
  ): readonly string[] {
    while (secondOf(clock() - COARSE) !== secondOf(clock()));
    const start = clock();
    const actual = send();
    const end = clock();
    const records = this.#kernel.records();
    const rows = this.#kernel.rows();
    const heard = maySpeak(arrival.frame) ? this.#kernel.heard() : undefined;
    const buckets = this.#kernel.buckets();
    let found: string[] = [];
    for (const second of new Set([secondOf(start), secondOf(end)])) {
      for (const ns of [start, end]) {
        const trial = this.#program.copy();
        const decided = trial.decide(arrival, how, { ns, second } satisfies Moment, actual.frame);
        const differences = [
          ...compare(decided, actual),
          ...compareRecords(decided.handed, records),
          ...compareRows(trial.rows, rows),
          ...(heard ? compareHeard(trial.heard, heard) : []),
          ...compareBuckets(trial.buckets, buckets, end - start),
        ];
        if (differences.length > 0) {
          found = [...differences, `model:  ${words(decided)}`];
          continue;
        }
        Object.assign(trial.buckets, buckets);
        this.#program = trial;
        for (const name of decided.counts) add(this.#sums, `count router ${name}`);
        for (const name of decided.drops) add(this.#sums, `drop ${name}`);
        decided.handed.forEach((handed, i) => {
          this.#unread.push({ record: records[i] ?? Buffer.alloc(0), handed });
        });
        return [];
      }
    }
    const { frame, port, shared } = arrival;
    return [
      ...found,
      `kernel: verdict ${actual.verdict}, port ${actual.seen?.port ?? 'none'}, ${actual.frame.toString('hex')}`,
      `in by port ${port}${shared ? ', shared' : ''}${how ? `, again to ${how}` : ''}: ${frame.toString('hex')}`,
      `resolving ${[...this.#resolving.ports.keys()]}, rows ${JSON.stringify([...this.#program.rows])}`,
    ];
  }

  /** The agent gets a record. */
  #read(record: Buffer, { code, port, hop, frame }: Handed): string[] {
    const { record: punt } = decodePunt(record);
    const time = punt.time + this.#kernel.ahead * 1000;
    const now = time / 1000;
    const { packets = [] } = this.#image.punted({ ...punt, time });
    if (code === 'heard') {
      const { parser, config } = this.#program.router;
      const parsed = parser.parse(frame.subarray(0, CAPTURED.heard));
      const owns = (address: Address) => config.own.get(address)?.port === port;
      const said = parsed.ok ? saidBy(frame, parsed.packet, owns) : undefined;
      if (said) this.#agent.heard(port, said, now);
    } else {
      const address = hop && this.#nextHop(hop, frame);
      const held = frame.length > CAPTURED.unresolved ? undefined : { port, frame };
      if (hop && address !== undefined && code === 'stale') this.#agent.stale(hop.port, address, now);
      if (hop && address !== undefined && code === 'unresolved')
        this.#agent.unresolved(hop.port, address, held, now);
    }
    return this.#written(packets);
  }

  /** As the routes are now; undefined: that one is gone, and with it the packet. */
  #nextHop({ port, address, route }: NonNullable<Handed['hop']>, frame: Buffer): Address | undefined {
    if (!route) return address;
    const now = this.#program.router.config.routes.find(
      ({ prefix, length }) => prefix === route.prefix && length === route.length,
    );
    if (now?.port !== port) return undefined;
    if (now.kind === 'NextHop') return now.gateway;
    const v6 = frame.readUInt16BE(12) === 0x86dd;
    return now.kind === 'Port' ? addressOf(v6 ? frame.subarray(38, 54) : frame.subarray(30, 34)) : undefined;
  }

  /** After each step of the agent: its rows go to the kernel, its packets on. */
  #written(packets: readonly PacketOut[]): string[] {
    const sent = this.#agent.takeSent();
    const found = compareSent(sent, packets);
    this.#resumed.push(...sent.filter(({ how }) => how !== 'out'));
    this.#sync(this.#kernel.write(this.#image.take()));
    return [...found, ...compareRows(this.#program.rows, this.#kernel.rows())];
  }

  /** The rows that the model of the agent wants, with what the program has noted in those that were not written. */
  #sync(written: ReadonlySet<string>): void {
    const rows = new Map<string, Row>();
    for (const [key, { state, mac = '', staleAt }] of this.#agent.rows()) {
      const old = this.#program.rows.get(key);
      const due = Number.isFinite(staleAt) ? this.#kernel.unitOf(staleAt) : 0;
      const noted = { used: 0, toldAt: 0, told: 0 };
      const kept = written.has(key) || !old ? noted : old;
      rows.set(key, { ...kept, state, mac, staleAt: due });
    }
    this.#program.rows = rows;
  }

  sums(): readonly string[] {
    const counted = [...this.#chain.tally()].filter(([name]) => !name.endsWith('lpmLookups'));
    return [
      ...compareSums(this.#sums, new Map(counted)),
      ...compareSums(this.#program.punted, this.#kernel.punted()),
      ...compareHeard(this.#program.heard, this.#kernel.heard()),
    ];
  }

  change(random: Random): void {
    if (random.chance(0.3)) {
      this.#restart();
      return;
    }
    this.#table = randomRoutes(random);
    this.#image.setTable(TABLE, this.#table);
    this.#program.router.config = modelOf(this.#config, this.#table);
    this.#written(this.#image.takePackets());
  }

  /** The agent starts again, by what the kernel has. What waited is gone. */
  #restart(): void {
    const now = this.#now;
    const { keys, values, count } = this.#kernel.snapshot();
    this.#image = this.#router.imageAnew();
    this.#image.setTable(TABLE, this.#table);
    this.#image.adopt('neighbours', count, keys, values);
    this.#image.tick(now);
    this.#image.settle();
    this.#agent = new AgentModel(this.#resolving);
    this.#resumed = [];
    for (const [key, row] of this.#kernel.rows()) {
      if (row.state !== 'Resolved') continue;
      const [port = '', hex = ''] = key.split(' ');
      const staleAt = ((row.staleAt | 0) * Number(UNIT)) / 1e9 + this.#kernel.ahead;
      this.#agent.adopt(Number(port), BigInt(`0x${hex}`), row.mac, staleAt, now);
    }
    this.#written(this.#image.takePackets());
  }

  close(): void {
    this.#kernel.close();
    this.#chain.close();
  }
}
