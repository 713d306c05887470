// SPDX-License-Identifier: Apache-2.0
/**
 * A socket load balancer at a cgroup of a lab, filled through its image as the agent does it. Programs at a cgroup cannot be
 * run by BPF_PROG_TEST_RUN: real sockets meet it.
 */
import type { Service, SocketLB } from '../../../src/api/generated/types.ts';
import type { NodeInput } from '../../../src/cubes/cube-type.ts';
import { SocketLBImage } from '../../../src/cubes/socket-lb/image.ts';
import { schema } from '../../../src/cubes/socket-lb/schema.ts';
import { socketLB } from '../../../src/cubes/socket-lb/type.ts';
import {
  type BpfObject,
  CgroupLink,
  isCgroupCall,
  loadObject,
} from '../../../src/dataplane/kernel/addon/index.ts';
import { ipText } from './bytes.ts';

const BACKEND_ROW = 32;

export const SPEC: SocketLB = {
  scope: 'Host',
  scopes: ['ClusterIP', 'External', 'LoadBalancer', 'NodePort'],
  noBackends: 'Reject',
  udpDrainSeconds: 0,
  sessions: {
    maxFlows: 1024,
    flowTimeout: 180,
    maxAffinity: 1024,
    maxBackends: 1024,
    maxFrontends: 1024,
    maxPicks: 4096,
  },
};

export class SocketBalancer {
  readonly object: BpfObject;
  readonly image: SocketLBImage;
  readonly #links: readonly CgroupLink[];
  readonly #node: NodeInput;

  private constructor(
    object: BpfObject,
    image: SocketLBImage,
    node: NodeInput,
    links: readonly CgroupLink[],
  ) {
    this.object = object;
    this.image = image;
    this.#node = node;
    this.#links = links;
  }

  /** @param options.path another build of the object file. */
  static async open(options: {
    cgroup: string;
    netnsCookie: bigint;
    addresses?: readonly string[];
    spec?: Partial<SocketLB>;
    path?: string;
  }): Promise<SocketBalancer> {
    const { cgroup, netnsCookie, addresses = [] } = options;
    const spec = { ...SPEC, ...options.spec };
    const node = {
      name: 'node-a',
      gatewayMac: '02:c0:be:00:00:01',
      overlayVni: 1,
      addresses,
      redirectPeer: true,
      netnsCookie,
    };
    const { rodata, sizes } = socketLB.instance(
      { namespace: 'n', name: 's', uid: 'u', spec, ports: [] },
      node,
    );
    const path = options.path ?? new URL('../../../build/bpf/socket-lb.o', import.meta.url).pathname;
    const object = await loadObject({ path, variables: rodata, mapSizes: sizes });
    const links = (socketLB.cgroupPrograms ?? []).filter(isCgroupCall).map((call) => {
      return CgroupLink.create(object.program(call), cgroup, call);
    });
    const image = new SocketLBImage(spec, node);
    image.settle();
    return new SocketBalancer(object, image, node, links);
  }

  /** Sets services, each as a table of its own name, and writes what changes. */
  set(...services: Service[]): void {
    this.image.tick(Number(process.hrtime.bigint() / 1_000_000n) / 1000);
    for (const one of services) this.image.setTable(`n/${one.name}`, [one]);
    this.#write();
  }

  remove(name: string): void {
    this.image.tick(Number(process.hrtime.bigint() / 1_000_000n) / 1000);
    this.image.setTable(`n/${name}`, undefined);
    this.#write();
  }

  /** The node has these addresses now. */
  move(addresses: readonly string[]): void {
    this.image.setNode({ ...this.#node, addresses });
    this.#write();
  }

  #write(): void {
    const { writes, afterGrace } = this.image.take();
    for (const { map, op, keys, values } of [...writes, ...afterGrace]) {
      if (op === 'update') this.object.map(map).updateBatchSync(keys, values);
      else this.object.map(map).deleteBatchSync(keys);
    }
  }

  /** Counters of the cube that are not 0, by name. */
  counters(): Record<string, number> {
    return this.#sums('counters', schema.counters);
  }

  /** The same of calls that failed, by reason. */
  drops(): Record<string, number> {
    return this.#sums('drops', schema.dropReasons);
  }

  /** How often each backend was picked, by address and port. */
  picked(): Map<string, number> {
    const counters = this.object.map('backend_counters').dumpSync().values;
    const rows = this.object.map('backends').dumpSync().values;
    const picked = new Map<string, number>();
    for (let id = 0; id * 8 < counters.length; id++) {
      const count = Number(counters.readBigUInt64LE(id * 8));
      const row = rows.subarray(id * BACKEND_ROW, (id + 1) * BACKEND_ROW);
      const place = `${ipText(row.subarray(0, 16))} ${row.readUInt16BE(16)}`;
      if (count > 0) picked.set(place, (picked.get(place) ?? 0) + count);
    }
    return picked;
  }

  #sums(map: string, names: readonly { id: number; name: string }[]): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { id, name } of names) {
      const bytes = this.object.map(map).lookup(Buffer.from(Uint32Array.of(id).buffer)) ?? Buffer.alloc(0);
      let sum = 0;
      for (let at = 0; at < bytes.length; at += 8) sum += Number(bytes.readBigUInt64LE(at));
      if (sum > 0) sums[name] = sum;
    }
    return sums;
  }

  close(): void {
    for (const link of this.#links) link.close();
    this.object.close();
  }
}
