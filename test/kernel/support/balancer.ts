// SPDX-License-Identifier: Apache-2.0
/**
 * A load balancer in a chain of its own, filled through its image as the agent does it. Both its ports end in the
 * probe, so a result tells where a packet went and what it was then.
 */
import type { Backend, Frontend, LoadBalancer, Service } from '../../../src/api/generated/types.ts';
import type { ImageChange, NodeInput, Problem } from '../../../src/cubes/cube-type.ts';
import {
  established as codec,
  type Session,
  type SessionState,
} from '../../../src/cubes/load-balancer/generated/codec.ts';
import { LoadBalancerImage } from '../../../src/cubes/load-balancer/image.ts';
import { schema } from '../../../src/cubes/load-balancer/schema.ts';
import { loadBalancer } from '../../../src/cubes/load-balancer/type.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/addon/index.ts';
import { ipText } from './bytes.ts';
import { Chain, type ChainCube, type RunOptions, type RunResult } from './chain.ts';

export const SERVER = 0;
export const CLIENT = 1;
const TUPLE = 40;

export const SPEC: LoadBalancer = {
  algorithm: 'Random',
  scopes: ['ClusterIP', 'External', 'LoadBalancer', 'NodePort'],
  clients: 'Any',
  noBackends: 'Reject',
  clusterSources: [],
  drainSeconds: 60,
  udpDrainSeconds: 0,
  hairpin: { ipv4: '169.254.99.1', ipv6: 'fd00:c0be::1' },
  rejects: { errorsPerSecond: 1000, burst: 1000 },
  sessions: {
    maxEstablished: 16384,
    maxEmbryonic: 4096,
    maxAffinity: 1024,
    maxBackends: 1024,
    maxFrontends: 1024,
    maxPicks: 262144,
    maxSourceRanges: 1024,
    timeouts: {
      tcpSyn: 60,
      tcpEstablished: 86400,
      tcpClosing: 120,
      udp: 30,
      udpStream: 180,
      sctp: 3600,
      icmp: 30,
    },
  },
};

export function frontend(addresses: string[], options: Partial<Frontend> = {}): Frontend {
  return {
    name: '',
    addresses,
    port: 80,
    protocol: 'TCP',
    scope: 'ClusterIP',
    affinity: { type: 'None', timeoutSeconds: 10800 },
    sourceRanges: [],
    trafficPolicy: 'Cluster',
    ...options,
  };
}

export function backend(address: string, options: Partial<Backend> & { port?: number } = {}): Backend {
  const { port = 8080, ...rest } = options;
  return { address, weight: 1, state: 'Ready', node: 'node-a', ports: [{ name: '', port }], ...rest };
}

export function service(name: string, frontends: Frontend[], backends: Backend[]): Service {
  return { namespace: 'default', name, frontends, backends };
}

/** One half of a session as the kernel has it. */
export interface Half {
  readonly table: 'established' | 'embryonic';
  readonly reverse: boolean;
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
  readonly proto: number;
  readonly session: Session;
  readonly key: Buffer;
}

export class Balancer {
  readonly chain: Chain;
  readonly cube: ChainCube;
  readonly #node: NodeInput;
  spec: LoadBalancer;
  image: LoadBalancerImage;

  private constructor(chain: Chain, cube: ChainCube, spec: LoadBalancer, node: NodeInput) {
    this.chain = chain;
    this.cube = cube;
    this.#node = node;
    this.spec = spec;
    this.image = new LoadBalancerImage(spec, this.#node);
    this.image.settle();
  }

  /** @param options.path another build of the object file. */
  static async open(
    options: {
      spec?: Partial<LoadBalancer>;
      node?: string;
      zone?: string;
      addresses?: readonly string[];
      path?: string;
    } = {},
  ): Promise<Balancer> {
    const spec = { ...SPEC, ...options.spec };
    const input = { namespace: 'n', name: 'lb', uid: 'u', spec, ports: [] };
    const node = {
      name: options.node ?? 'node-a',
      ...(options.zone === undefined ? {} : { zone: options.zone }),
      gatewayMac: '02:c0:be:00:00:01',
      overlayVni: 1,
      addresses: options.addresses ?? [],
      redirectPeer: true,
    };
    const { rodata, sizes } = loadBalancer.instance(input, node);
    const chain = await Chain.open();
    const cube = await chain.add({
      object: 'load-balancer',
      ...(options.path === undefined ? {} : { path: options.path }),
      schema,
      slot: 1,
      variables: rodata,
      mapSizes: sizes,
    });
    chain.watch(1, SERVER, CLIENT);
    return new Balancer(chain, cube, spec, node);
  }

  /** Sets services, each as a table of its own name, and writes what changes. */
  set(...services: Service[]): readonly Problem[] {
    this.image.tick(Number(process.hrtime.bigint() / 1000000n) / 1000);
    const problems = services.flatMap((one) => this.image.setTable(`n/${one.name}`, [one]));
    this.apply(this.image.take());
    return problems;
  }

  /** The node has these addresses now. */
  move(...addresses: string[]): void {
    this.image.setNode({ ...this.#node, addresses });
    this.apply(this.image.take());
  }

  remove(name: string): void {
    this.image.setTable(`n/${name}`, undefined);
    this.apply(this.image.take());
  }

  apply(change: ImageChange): void {
    for (const { map, op, keys, values } of [...change.writes, ...change.afterGrace]) {
      if (op === 'update') this.cube.map(map).updateBatchSync(keys, values);
      else this.cube.map(map).deleteBatchSync(keys);
    }
  }

  /** A frame that comes in on the side of the clients. */
  client(frame: Uint8Array, options?: RunOptions): RunResult {
    this.chain.attach({ kind: 'interface' }, this.cube, CLIENT);
    return this.chain.run(frame, options);
  }

  /** A frame that comes in on the side of the backends. */
  server(frame: Uint8Array, options?: RunOptions): RunResult {
    this.chain.attach({ kind: 'interface' }, this.cube, SERVER);
    return this.chain.run(frame, options);
  }

  /** Lets the frames of `chain.measure` come in by a port. */
  enter(port: number): void {
    this.chain.attach({ kind: 'interface', all: true }, this.cube, port);
  }

  /** All halves of all sessions. */
  halves(): Half[] {
    return (['established', 'embryonic'] as const).flatMap((table) => {
      const { count, keys, values } = this.cube.map(table).dumpSync();
      return Array.from({ length: count }, (_, i) => {
        const key = keys.subarray(i * TUPLE, (i + 1) * TUPLE);
        return {
          table,
          reverse: key[37] === 1,
          ...codec.decodeKey(key),
          session: codec.decodeValue(values, i * codec.valueSize),
          key: Buffer.from(key),
        };
      });
    });
  }

  /** Lets time pass for all sessions: their last packet was that many seconds earlier. */
  age(seconds: number): void {
    for (const half of this.halves()) {
      const state: SessionState = {
        ...half.session.state,
        seen: (half.session.state.seen - Math.ceil((seconds * 1e9) / 2 ** 30)) >>> 0, // may be before the boot
      };
      const value = Buffer.alloc(codec.valueSize);
      codec.encodeValue({ ...half.session, state }, value);
      this.cube.map(half.table).update(half.key, value);
    }
  }

  /** New sessions by the address of their backend. */
  picked(): Map<string, number> {
    const counters = this.cube.map('backend_counters').dumpSync().values;
    const rows = this.cube.map('backends').dumpSync().values;
    const picked = new Map<string, number>();
    for (let id = 0; id * 8 < counters.length; id++) {
      const count = Number(counters.readBigUInt64LE(id * 8));
      const address = ipText(rows.subarray(id * 32, id * 32 + 16));
      if (count > 0) picked.set(address, (picked.get(address) ?? 0) + count);
    }
    return picked;
  }

  clear(): void {
    for (const table of ['established', 'embryonic', 'affinity', 'reply_buckets'])
      this.#empty(this.cube.map(table));
  }

  /** As newly opened with another spec, of which the program's constants stay as they are. */
  renew(spec: LoadBalancer): void {
    this.clear();
    this.#empty(this.cube.map('frontends'));
    this.#empty(this.cube.map('source_ranges'));
    this.#empty(this.chain.shared('fragments'));
    for (const name of ['backends', 'backend_counters']) {
      const { keys, values } = this.cube.map(name).dumpSync();
      this.cube.map(name).updateBatchSync(keys, values.fill(0));
    }
    this.spec = spec;
    this.image = new LoadBalancerImage(spec, this.#node);
    this.image.settle();
  }

  #empty(map: BpfMap): void {
    const { keys, count } = map.dumpSync();
    if (count > 0) map.deleteBatchSync(keys);
  }

  close(): void {
    this.chain.close();
  }
}
