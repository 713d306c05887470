// SPDX-License-Identifier: Apache-2.0
/** Everything that the programs of a node have counted, by name. */
import { CUBE_COUNTERS } from '../../api/generated/reasons.ts';
import type { Running } from '../images.ts';
import { sumsOf } from '../kernel/map-reader.ts';
import type { Pins } from '../kernel/pins.ts';
import { AttachPort, decodeAttachment, decodeIfindex, type Rows } from '../layout.ts';
import type { MapUsage } from '../pressure.ts';
import { type Drop, dropOf } from '../trace/story.ts';

export interface DropCount extends Drop {
  readonly packets: number;
}

export interface PortCount {
  readonly port: string;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

export interface CubeCount {
  /** `namespace/name`. */
  readonly cube: string;
  readonly type: string;
  readonly ports: readonly PortCount[];
  readonly drops: readonly DropCount[];
  /** The type's own, zero ones too. */
  readonly counters: readonly {
    readonly name: string;
    readonly description: string;
    readonly value: number;
  }[];
}

export interface AttachmentCount {
  readonly interface: string;
  readonly kind: 'Pod' | 'Overlay' | 'Stack' | 'Interface';
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

export interface NodeCounters {
  readonly node: string;
  /** Milliseconds of a clock that only goes on. */
  readonly time: number;
  /** What the entry program dropped. */
  readonly drops: readonly DropCount[];
  readonly attachments: readonly AttachmentCount[];
  readonly cubes: readonly CubeCount[];
  /** Packets that fared as the last one of their flow, without a cube being asked, and what was noted of flows for that. */
  readonly flowCache: { readonly replayed: number; readonly kept: number };
  readonly maps: readonly MapUsage[];
}

export interface CounterInput {
  readonly node: string;
  readonly pins: Pins;
  readonly running: Iterable<Running>;
  /** Rows of the map `attachments`. */
  readonly attachments: Rows;
  readonly interfaces: ReadonlyMap<string, { readonly ifindex: number }>;
  readonly usage: readonly MapUsage[];
}

/** Throws KernelError. */
export function readCounters(input: CounterInput): NodeCounters {
  return {
    node: input.node,
    time: performance.now(),
    drops: dropCounts('', sumsOf(input.pins.sharedMap('entry_drops'))),
    attachments: attachmentCounts(input),
    cubes: [...input.running].map((running) => cubeCount(input.pins, running)),
    flowCache: flowCacheCount(input.pins),
    maps: input.usage,
  };
}

function flowCacheCount(pins: Pins): NodeCounters['flowCache'] {
  const [[, , replayed = 0, kept = 0] = []] = sumsOf(pins.sharedMap('flow_cpu'));
  return { replayed, kept };
}

function dropCounts(type: string, sums: readonly number[][]): DropCount[] {
  return sums.flatMap(([packets = 0] = [], id) => (packets === 0 ? [] : [{ ...dropOf(type, id), packets }]));
}

const KINDS = Object.fromEntries(
  (['Pod', 'Overlay', 'Stack'] as const).map((kind) => [AttachPort[kind], kind] as const),
);

function attachmentCounts({ pins, attachments, interfaces }: CounterInput): AttachmentCount[] {
  const names = new Map([...interfaces].map(([name, { ifindex }]) => [ifindex, name]));
  const sums = sumsOf(pins.sharedMap('attachment_counters'));
  return [...attachments]
    .map(([key, value]): AttachmentCount => {
      const ifindex = decodeIfindex(key);
      const { port, counters } = decodeAttachment(value);
      const [packets = 0, bytes = 0, drops = 0] = sums[counters] ?? [];
      const name = names.get(ifindex) ?? `if${ifindex}`;
      return { interface: name, kind: KINDS[port] ?? 'Interface', packets, bytes, drops };
    })
    .sort((a, b) => (a.interface < b.interface ? -1 : 1));
}

/** Path of a map of a running cube. */
export function mapPath(
  pins: Pins,
  { key, instance }: Pick<Running, 'key' | 'instance'>,
  map: string,
): string {
  const pin = instance.stateMaps.get(map);
  return pin === undefined ? `${pins.instance(key)}/${map}` : pins.stateMap(instance.cubePin, pin);
}

function cubeCount(pins: Pins, running: Running): CubeCount {
  const { cube } = running.plan;
  const type = cube.type.type;
  const sums = (map: string) => sumsOf(mapPath(pins, running, map));
  const ports = sums('port_counters');
  const own = sums('counters');
  return {
    cube: running.instance.cubeKey,
    type,
    ports: cube.input.ports.map(({ name, id }) => {
      const [rxPackets = 0, rxBytes = 0, txPackets = 0, txBytes = 0] = ports[id] ?? [];
      return { port: name, rxPackets, rxBytes, txPackets, txBytes };
    }),
    drops: dropCounts(type, sums('drops')),
    counters: (CUBE_COUNTERS[type] ?? []).map(({ id, name, description }) => ({
      name,
      description,
      value: own[id]?.[0] ?? 0,
    })),
  };
}
