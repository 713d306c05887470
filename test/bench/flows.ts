// SPDX-License-Identifier: Apache-2.0
import { validate } from '../../src/api/validate.ts';
import type { CubeImage, CubeInput, CubeType, ImageChange, NodeInput } from '../../src/cubes/cube-type.ts';
import { schema as balancerSchema } from '../../src/cubes/load-balancer/schema.ts';
import { loadBalancer } from '../../src/cubes/load-balancer/type.ts';
import { schema as routerSchema } from '../../src/cubes/router/schema.ts';
import { router } from '../../src/cubes/router/type.ts';
import { type BpfMap, type BpfObject, loadObject } from '../../src/dataplane/kernel/addon/index.ts';
import { GATEWAY_MAC, mappedBytes } from '../kernel/support/bytes.ts';
import { Chain, type ChainCube, objectPath, u32 } from '../kernel/support/chain.ts';
import { dissect } from '../kernel/support/dissect.ts';
import { ethernet, ip, tcp } from '../kernel/support/packet.ts';

const NODE: NodeInput = { name: 'node-a', gatewayMac: GATEWAY_MAC, overlayVni: 1, redirectPeer: true };
/** Ports of the balancer. */
export const SERVER = 0;
export const CLIENT = 1;
/** Bytes of each frame: FRAME of flows.bpf.c. */
const FRAME = 80;
const FLOW = 128;
const SERVICES = 64;
const BACKENDS = 4;
const PORT = 80;
const TARGET = 8080;
const BACKEND_MAC = '02:00:00:00:0b:0b';

export type Family = 'ipv4' | 'ipv6';
export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6'];
const CLIENTS = { ipv4: '10.244.1.10', ipv6: 'fd00:244:0:1::10' } as const;
const vip = (family: Family, n: number): string =>
  family === 'ipv4' ? `10.96.0.${n + 1}` : `fd00:96::${n + 1}`;
const backendOf = (family: Family, n: number): string =>
  family === 'ipv4' ? `10.244.2.${n + 2}` : `fd00:244:0:2::${(n + 2).toString(16)}`;

/** A TCP connection that both ends have confirmed. */
export interface Flow {
  readonly family: Family;
  /** What the client's next packet is. */
  readonly frame: Buffer;
  /** What the backend's next packet is, and the tuple that it is known by. */
  readonly reply: Buffer;
  readonly tuple: Buffer;
}

/** Gives a cube type's spec the defaults that the API server would. */
function specOf<Spec>(type: CubeType<Spec>, spec: object): Spec {
  const checked = validate({
    apiVersion: 'cubeplane.io/v1alpha1',
    kind: 'Cube',
    metadata: { name: 'bench', namespace: 'default' },
    spec: { nodeName: NODE.name, type: type.type, [type.member]: spec },
  });
  if (!checked.ok) throw new Error(checked.message);
  return (checked.object.spec as unknown as Record<string, Spec>)[type.member] as Spec;
}

async function addCube<Spec>(
  chain: Chain,
  slot: number,
  type: CubeType<Spec>,
  cube: CubeInput<Spec>,
  tables: Readonly<Record<string, readonly unknown[]>>,
): Promise<ChainCube> {
  const { rodata, sizes } = type.instance(cube, NODE);
  const schema = type.type === 'Router' ? routerSchema : balancerSchema;
  const loaded = await chain.add({ object: type.object, schema, slot, variables: rodata, mapSizes: sizes });
  const image = type.image(cube, NODE);
  image.tick(Number(process.hrtime.bigint() / 1_000_000_000n));
  for (const [key, rows] of Object.entries(tables)) {
    const [problem] = image.setTable(key, rows);
    if (problem) throw new Error(problem.message);
  }
  image.settle();
  write(loaded, image.take());
  return loaded;
}

function write(cube: ChainCube, { writes }: ImageChange): void {
  for (const { map, op, keys, values } of writes) {
    if (op === 'update') cube.map(map).updateBatchSync(keys, values);
  }
}

/** Hands out a load balancer of this spec in a chain of its own, loaded and empty, with its image. */
export async function addBalancer<Result>(
  spec: object,
  use: (loaded: { cube: ChainCube; image: CubeImage }) => Result,
): Promise<Result> {
  const chain = await Chain.open();
  try {
    const input = {
      namespace: 'default',
      name: 'ilb',
      uid: 'bench',
      spec: specOf(loadBalancer, spec),
      ports: [],
    };
    const cube = await addCube(chain, 1, loadBalancer, input, {});
    return use({ cube, image: loadBalancer.image(input, NODE) });
  } finally {
    chain.close();
  }
}

/**
 * A LoadBalancer and a Router as an agent would have loaded them, filled through their images: 64 Services of four
 * backends, which are pods of this node.
 */
export class Rig {
  readonly chain: Chain;
  readonly balancer: ChainCube;
  readonly router: ChainCube;
  readonly #objects: BpfObject[] = [];

  private constructor(chain: Chain, balancer: ChainCube, router: ChainCube) {
    this.chain = chain;
    this.balancer = balancer;
    this.router = router;
  }

  static async open(): Promise<Rig> {
    const chain = await Chain.open();
    const name = { namespace: 'default', uid: 'bench' };
    const services = Object.fromEntries(
      FAMILIES.flatMap((family) =>
        Array.from({ length: SERVICES }, (_, n) => [`default/${family}-${n}`, [service(family, n)]]),
      ),
    );
    const balancer = await addCube(
      chain,
      1,
      loadBalancer,
      {
        ...name,
        name: 'ilb',
        spec: specOf(loadBalancer, {}),
        ports: [
          { name: 'server', id: SERVER, addresses: [] },
          { name: 'pods', id: CLIENT, addresses: [], endpoint: 'Pods' },
        ],
      },
      services,
    );
    const routes = await addCube(
      chain,
      2,
      router,
      {
        ...name,
        name: 'router',
        spec: specOf(router, {}),
        ports: [
          { name: 'clients', id: 0, addresses: ['10.244.1.1/24', 'fd00:244:0:1::1/64'], endpoint: 'Cube' },
          { name: 'pods', id: 1, addresses: ['10.244.2.1/24', 'fd00:244:0:2::1/64'], endpoint: 'Pods' },
        ],
      },
      {},
    );
    for (const family of FAMILIES) {
      chain.addPod(CLIENTS[family], 1);
      for (let n = 0; n < SERVICES * BACKENDS; n++) {
        if (n < 250) chain.addPod(backendOf(family, n), 2, BACKEND_MAC);
      }
    }
    return new Rig(chain, balancer, routes);
  }

  /** Packets come from the client's pod: balancer, router, pod of the backend. */
  fromClient(): void {
    const { chain, balancer, router: routes } = this;
    chain.link(balancer, SERVER, routes, 0);
    chain.edge(routes.slot, 1, { kind: 'pod' });
    chain.edge(balancer.slot, CLIENT, { kind: 'pod' });
    chain.attach({ kind: 'pod', addresses: Object.values(CLIENTS) }, balancer, CLIENT);
  }

  /** Packets come from the backends, by an interface: router, balancer, pod of the client. */
  fromServer(): void {
    this.fromClient();
    this.chain.attach({ kind: 'interface' }, this.router, 1);
  }

  /** So many connections of random ports to random Services, each opened and confirmed by packets through the chain. */
  establish(family: Family, count: number): Flow[] {
    const flows: Flow[] = [];
    const known = new Set<number>();
    while (flows.length < count) {
      const key = Math.floor(Math.random() * 64512 * SERVICES);
      if (known.has(key)) continue;
      known.add(key);
      flows.push(this.#establish(family, 1024 + (key % 64512), Math.floor(key / 64512)));
    }
    return flows;
  }

  #establish(family: Family, sport: number, n: number): Flow {
    const to = { src: CLIENTS[family], dst: vip(family, n) };
    const out = (flags: string, ack: number) =>
      padded(ethernet({}, ip(to, tcp({ sport, dport: PORT, flags, seq: flags === 'S' ? 100 : 101, ack }))));
    this.fromClient();
    const backend = dissect(this.#send(out('S', 0))).ip?.dst ?? '';
    const from = { src: backend, dst: CLIENTS[family] };
    const back = (flags: string) =>
      padded(
        ethernet(
          { src: BACKEND_MAC },
          ip(from, tcp({ sport: TARGET, dport: sport, flags, seq: 500, ack: 101 })),
        ),
      );
    this.fromServer();
    this.#send(back('SA'));
    this.fromClient();
    const frame = out('A', 501);
    this.#send(frame);
    const tuple = tupleOf(to.src, to.dst, sport, PORT);
    if (this.balancer.map('established').lookup(tuple) === undefined) {
      throw new Error(`the connection from port ${sport} to ${to.dst} was not established`);
    }
    return { family, frame, reply: back('A'), tuple };
  }

  #send(frame: Buffer): Buffer {
    return this.chain.entry.testRun({ dataIn: frame }).dataOut;
  }

  /** The program that sends random ones of these packets; put what is to be measured into its `next`. */
  async sender(flows: readonly Flow[], reply = false): Promise<BpfObject> {
    const { chain, balancer, router: routes } = this;
    const shared = ['attachments', 'node_config', 'attachment_counters', 'edges', 'pods', 'work'] as const;
    const reuseMaps: Record<string, BpfMap> = Object.fromEntries(
      shared.map((name) => [name, chain.shared(name)]),
    );
    for (const name of ['established', 'backends']) reuseMaps[name] = balancer.map(name);
    for (const name of ['route_lengths', 'routes_hash']) reuseMaps[name] = routes.map(name);
    reuseMaps.balancer_traffic = balancer.map('port_counters');
    reuseMaps.balancer_counts = balancer.map('counters');
    reuseMaps.router_traffic = routes.map('port_counters');
    reuseMaps.router_counts = routes.map('counters');
    const object = await loadObject({
      path: objectPath('flows'),
      reuseMaps,
      variables: {
        flow_count: u32(flows.length),
        prefix_length: u32(flows[0]?.family === 'ipv6' ? 64 : 120),
      },
    });
    this.#objects.push(object);
    flows.forEach((flow, index) => {
      const row = Buffer.alloc(FLOW);
      row.set(reply ? flow.reply : flow.frame, 0);
      row.set(flow.tuple, FRAME);
      object.map('flows').update(u32(index), row);
    });
    return object;
  }

  /** Packets that any cube or the entry has dropped. */
  drops(): number {
    const maps = [this.chain.shared('entry_drops'), this.balancer.map('drops'), this.router.map('drops')];
    let sum = 0n;
    for (const map of maps) {
      const { values } = map.dumpSync();
      for (let at = 0; at < values.length; at += 8) sum += values.readBigUInt64LE(at);
    }
    return Number(sum);
  }

  /** Packets that have left the chain: requests to backends, replies to the client. */
  sent(): Record<'requests' | 'replies', number> {
    return { requests: this.router.port(1).txPackets, replies: this.balancer.port(CLIENT).txPackets };
  }

  close(): void {
    for (const object of this.#objects) object.close();
    this.chain.close();
  }
}

function service(family: Family, n: number): unknown {
  return {
    namespace: 'default',
    name: `${family}-${n}`,
    frontends: [
      {
        name: 'http',
        addresses: [vip(family, n)],
        port: PORT,
        protocol: 'TCP',
        scope: 'ClusterIP',
        affinity: { type: 'None', timeoutSeconds: 10800 },
        sourceRanges: [],
        trafficPolicy: 'Cluster',
      },
    ],
    backends: Array.from({ length: BACKENDS }, (_, i) => ({
      address: backendOf(family, (n * BACKENDS + i) % 250),
      weight: 1,
      state: 'Ready',
      node: NODE.name,
      ports: [{ name: 'http', port: TARGET, protocol: 'TCP' }],
    })),
  };
}

function padded(frame: Buffer): Buffer {
  return Buffer.concat([frame, Buffer.alloc(FRAME - frame.length)]);
}

/** struct cube_tuple of a TCP packet. */
function tupleOf(src: string, dst: string, sport: number, dport: number): Buffer {
  const tuple = Buffer.alloc(40);
  tuple.set(mappedBytes(src), 0);
  tuple.set(mappedBytes(dst), 16);
  tuple.writeUInt16BE(sport, 32);
  tuple.writeUInt16BE(dport, 34);
  tuple[36] = 6;
  return tuple;
}
