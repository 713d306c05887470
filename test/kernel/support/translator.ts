// SPDX-License-Identifier: Apache-2.0
/**
 * A NAT in a chain of its own, filled through its image as the agent does it. Both its ports end in the probe, so a result
 * tells where a packet went and what it was then.
 */
import type { Announcement, Nat, Service } from '../../../src/api/generated/types.ts';
import { established as codec, type Session } from '../../../src/cubes/nat/generated/codec.ts';
import { NatImage } from '../../../src/cubes/nat/image.ts';
import { schema } from '../../../src/cubes/nat/schema.ts';
import { nat } from '../../../src/cubes/nat/type.ts';
import { Chain, type ChainCube, type RunOptions, type RunResult } from './chain.ts';

export const OUTSIDE = 0;
export const INSIDE = 1;
const TUPLE = 40;

export type SourceRule = Nat['sourceRules'][number];
export type ForwardRule = Nat['forwardRules'][number];

export const MASQUERADE: SourceRule = { type: 'Masquerade', sources: [], destinations: [] };

export const SPEC: Nat = {
  sourceRules: [MASQUERADE],
  forwardRules: [],
  exclusions: [],
  role: 'Gateway',
  maxServices: 64,
  portRange: { first: 49152, last: 65535 },
  rejects: { errorsPerSecond: 1000, burst: 1000 },
  sessions: {
    maxEstablished: 16384,
    maxEmbryonic: 8192,
    timeouts: {
      tcpSyn: 60,
      tcpEstablished: 86400,
      tcpClosing: 120,
      udp: 30,
      udpStream: 180,
      sctp: 3600,
      icmp: 60,
    },
  },
};

export const ADDRESSES = ['198.51.100.10/24', '2001:db8::10/64'];

/** One half of a session as the kernel has it. */
export interface Half {
  readonly table: 'established' | 'embryonic';
  /** Port that its packets come in by. */
  readonly port: number;
  readonly reply: boolean;
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly proto: number;
  readonly session: Session;
  readonly key: Buffer;
}

export interface TranslatorOptions {
  readonly spec?: Partial<Nat>;
  /** Of the port outside. */
  readonly addresses?: readonly string[];
  /** Of the node. */
  readonly node?: readonly string[];
  /** Of its tables. */
  readonly services?: readonly Service[];
  readonly announcements?: readonly Announcement[];
}

/** Ports of a cube as the agent gives them. */
export function natPorts(addresses: readonly string[]) {
  return [
    { name: 'outside', id: OUTSIDE, addresses },
    { name: 'inside', id: INSIDE, addresses: [] },
  ];
}

export class Translator {
  readonly chain: Chain;
  readonly cube: ChainCube;

  private constructor(chain: Chain, cube: ChainCube) {
    this.chain = chain;
    this.cube = cube;
  }

  static async open(options: TranslatorOptions = {}): Promise<Translator> {
    const spec = { ...SPEC, ...options.spec };
    const ports = natPorts(options.addresses ?? ADDRESSES);
    const input = { namespace: 'n', name: 'nat', uid: 'u', spec, ports };
    const node = {
      name: 'node-a',
      gatewayMac: '02:c0:be:00:00:01',
      overlayVni: 1,
      addresses: [],
      redirectPeer: true,
    };
    const problems = nat.check(input);
    if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
    const { rodata, sizes } = nat.instance(input, node);
    const chain = await Chain.open();
    const cube = await chain.add({ object: 'nat', schema, slot: 1, variables: rodata, mapSizes: sizes });
    chain.watch(1, OUTSIDE, INSIDE);
    const image = new NatImage(input, { name: node.name, addresses: options.node ?? [] });
    if (options.services) image.setTable('n/services', options.services);
    if (options.announcements)
      image.setTable('n/announcements', options.announcements, undefined, 'Announcement');
    image.settle();
    for (const { map, keys, values } of image.take().writes) cube.map(map).updateBatchSync(keys, values);
    return new Translator(chain, cube);
  }

  /** A frame that comes in by the port inside. */
  inside(frame: Uint8Array, options?: RunOptions): RunResult {
    this.enter(INSIDE);
    return this.chain.run(frame, options);
  }

  /** A frame that comes in by the port outside. */
  outside(frame: Uint8Array, options?: RunOptions): RunResult {
    this.enter(OUTSIDE);
    return this.chain.run(frame, options);
  }

  /** A frame for this machine that comes in by the port outside, from an interface that the host shares. */
  uplink(frame: Uint8Array, options: RunOptions = {}): RunResult {
    this.chain.attach({ kind: 'interface', all: true }, this.cube, OUTSIDE);
    return this.chain.run(frame, { packetType: 0, ...options });
  }

  /** Lets frames come in by a port. `kind`: of the attachment in front of it. */
  enter(port: number, kind: 'pod' | 'interface' | 'stack' = 'stack'): void {
    this.chain.attach({ kind }, this.cube, port);
  }

  /** All halves of all sessions. */
  halves(): Half[] {
    return (['established', 'embryonic'] as const).flatMap((table) => {
      const { count, keys, values } = this.cube.map(table).dumpSync();
      return Array.from({ length: count }, (_, i) => {
        const key = keys.subarray(i * TUPLE, (i + 1) * TUPLE);
        const session = codec.decodeValue(values, i * codec.valueSize);
        return {
          table,
          port: key[37] ?? 0,
          reply: (session.state.own & 1) !== 0,
          ...codec.decodeKey(key),
          session,
          key: Buffer.from(key),
        };
      });
    });
  }

  /** Changes halves in place. */
  change(which: (half: Half) => boolean, session: (half: Half) => Session): void {
    for (const half of this.halves().filter(which)) {
      const value = Buffer.alloc(codec.valueSize);
      codec.encodeValue(session(half), value);
      this.cube.map(half.table).update(half.key, value);
    }
  }

  /** Lets time pass for sessions: their last packet was that many seconds earlier. */
  age(seconds: number, which: (half: Half) => boolean = () => true): void {
    this.change(which, ({ session }) => ({
      ...session,
      // may be before the boot
      state: { ...session.state, seen: (session.state.seen - Math.ceil((seconds * 1e9) / 2 ** 30)) >>> 0 },
    }));
  }

  remove(which: (half: Half) => boolean): void {
    for (const half of this.halves().filter(which)) this.cube.map(half.table).delete(half.key);
  }

  clear(): void {
    for (const table of ['established', 'embryonic', 'reply_buckets']) {
      const map = this.cube.map(table);
      const { keys, count } = map.dumpSync();
      if (count > 0) map.deleteBatchSync(keys);
    }
  }

  /** Runs the programs that remove expired sessions: how many halves they saw, and removed. */
  reclaim(): { seen: number; removed: number } {
    const results = ['reclaim_established', 'reclaim_embryonic'].map(
      (name) => this.cube.object.program(name).testRun({ ctxIn: Buffer.alloc(24) }).ctxOut,
    );
    const sum = (at: number) => results.reduce((all, bytes) => all + Number(bytes.readBigUInt64LE(at)), 0);
    return { seen: sum(0), removed: sum(8) };
  }

  close(): void {
    this.chain.close();
  }
}
