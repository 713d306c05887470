// SPDX-License-Identifier: Apache-2.0
/** What the numbers of a trace are called. */
import type { Hook } from '../../api/schemas/cube-type.ts';
import type { DecidedPacket, Explanation, PacketService } from '../../cubes/cube-type.ts';
import type { Running } from '../images.ts';
import type { PodRecord } from '../pod-record.ts';

export interface NamedCube {
  /** `namespace/name`. */
  readonly key: string;
  readonly type: string;
  readonly hook: Hook;
  port(id: number): string;
  nameObject(kind: string, id: bigint, packet: DecidedPacket): string | undefined;
  explain(object: bigint, packet: DecidedPacket): Explanation | undefined;
  serviceOf(packet: DecidedPacket, object?: bigint): PacketService | undefined;
}

export interface TraceNames {
  /** By slot. */
  cube(slot: number): NamedCube | undefined;
  interface(ifindex: number): string | undefined;
  podAt(address: string): PodRecord | undefined;
}

/** A look-up made for one story, or for the many of a live trace while nothing changes. */
export function traceNames(
  running: Iterable<Running>,
  interfaces: ReadonlyMap<string, { readonly ifindex: number }>,
  pods: Iterable<PodRecord>,
): TraceNames {
  const bySlot = new Map([...running].map((one) => [one.instance.slot, namedCube(one)]));
  const byIfindex = new Map([...interfaces].map(([name, { ifindex }]) => [ifindex, name]));
  const byAddress = new Map(
    [...pods].flatMap((pod) => pod.addresses.map((address) => [address, pod] as const)),
  );
  return {
    cube: (slot) => bySlot.get(slot),
    interface: (ifindex) => byIfindex.get(ifindex),
    podAt: (address) => byAddress.get(address),
  };
}

export function namedCube({ plan, instance, image }: Running): NamedCube {
  const ports = new Map(plan.cube.input.ports.map(({ id, name }) => [id, name]));
  return {
    key: instance.cubeKey,
    type: plan.cube.type.type,
    hook: instance.hook,
    port: (id) => ports.get(id) ?? String(id),
    nameObject: (kind, id, packet) => image.nameObject?.(kind, id, packet),
    explain: (object, packet) => image.explain?.(object, packet),
    serviceOf: (packet, object) => image.serviceOf?.(packet, object),
  };
}
