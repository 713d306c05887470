// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one socket load balancer should hold: those of a load balancer for packets, of what services are to
 * processes of the node (frontends.ts).
 */
import type { Service, SocketLB } from '../../api/generated/types.ts';
import type { CubeImage, DecidedPacket, ImageChange, NodeInput, Problem, TableSlice } from '../cube-type.ts';
import { LoadBalancerImage } from '../load-balancer/image.ts';
import type { ServiceSettings } from '../load-balancer/settings.ts';
import { isForSockets, withLoopback, withoutAlgorithms } from './frontends.ts';

export class SocketLBImage implements CubeImage {
  readonly services: LoadBalancerImage;
  /** Backends that had ended at the last sweep. */
  #swept: number | undefined;

  constructor(spec: SocketLB, node: NodeInput, previous?: SocketLBImage) {
    this.services = new LoadBalancerImage(settingsOf(spec), withLoopback(node), previous?.services);
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    this.services.adopt(map, count, keys, values);
  }

  setTable(key: string, rows: readonly unknown[] | undefined, slice?: TableSlice): readonly Problem[] {
    const services = rows as readonly Service[] | undefined;
    return this.services.setTable(key, services?.map(withoutAlgorithms), slice);
  }

  setNode(node: NodeInput): void {
    this.services.setNode(withLoopback(node));
  }

  problems(): readonly Problem[] {
    return this.services.problems();
  }

  settle(): void {
    this.services.settle();
  }

  tick(now: number): number | undefined {
    return this.services.tick(now);
  }

  /** At first, too: backends may have gone while no agent ran. */
  sweeps(): boolean {
    const { ended } = this.services.backends;
    const isDue = ended !== this.#swept;
    this.#swept = ended;
    return isDue;
  }

  take(): ImageChange {
    return this.services.take();
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    const { source_ranges: _, ...own } = this.services.usage();
    return own;
  }

  nameObject(kind: string, id: bigint, packet: DecidedPacket): string | undefined {
    return this.services.nameObject(kind, id, packet);
  }
}

function settingsOf({ scopes, noBackends, udpDrainSeconds, sessions }: SocketLB): ServiceSettings {
  return {
    member: 'socketLB',
    algorithm: 'Random',
    // processes of the node are as its pods to the external traffic policy
    clients: 'Pods',
    clusterSources: [],
    serves: isForSockets,
    scopes,
    noBackends,
    // a TCP connection is the kernel's own from its first packet on, and ends as its backend does
    drainSeconds: 0,
    udpDrainSeconds,
    sessions: { ...sessions, maxSourceRanges: 0 },
  };
}
