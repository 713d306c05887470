// SPDX-License-Identifier: Apache-2.0
/** What the kernel of a node holds, and what it should: the two sides that plan.ts compares. Plain data. */
import type { Hook } from '../api/schemas/cube-type.ts';
import type { Carried } from './carry.ts';
import { EMPTY_CONFIG, type Hex, type Rows } from './layout.ts';

/** Shared maps whose rows the agent writes one by one. */
export const ROW_MAPS = ['attachments', 'pods', 'overlay_sources', 'host_addresses'] as const;
export type RowMap = (typeof ROW_MAPS)[number];

export interface Instance {
  /** `namespace/name` of the Cube. */
  readonly cubeKey: string;
  readonly cubePin: string;
  readonly slot: number;
  readonly hash: string;
  /** Object file without ending, and its program. */
  readonly object: string;
  readonly program: string;
  readonly hook: Hook;
  /** At a cgroup: the programs that are attached, by name. */
  readonly cgroupPrograms: readonly string[];
  /** Of a type that can be spliced into a link. */
  readonly transparent: boolean;
  readonly rodata: Readonly<Record<string, Uint8Array>>;
  readonly sizes: Readonly<Record<string, number>>;
  /** Map → pin name below the cube's state folder. */
  readonly stateMaps: ReadonlyMap<string, string>;
  /** What may be carried into its state maps from earlier ones, by map. */
  readonly carried: ReadonlyMap<string, Carried>;
  /** Maps that are pinned with the instance. */
  readonly configMaps: readonly string[];
}

export interface ObservedInstance {
  /** Its program is pinned, which is the last step of making it. */
  readonly complete: boolean;
}

export interface KernelState {
  /** The shared maps are there and pinned. */
  readonly ready: boolean;
  /** Some that agents of before did not have are not, or some that only those had still are: AddMaps. */
  readonly mapsDiffer: boolean;
  /** Hash of the object file of the entry program that is pinned; undefined: none. */
  readonly entry: string | undefined;
  /** Pinned entry programs of other object files. */
  readonly oldEntries: readonly string[];
  readonly epoch: number;
  /** node_config without the epoch. */
  readonly config: Hex;
  /** Edges that are not `none`, by index inside the bank. */
  readonly banks: readonly [ReadonlyMap<number, bigint>, ReadonlyMap<number, bigint>];
  /** Slot → key of the instance whose program it holds; `?` for a program that is none of the pinned ones. */
  readonly slots: ReadonlyMap<number, string>;
  readonly instances: ReadonlyMap<string, ObservedInstance>;
  /** Pin name of a cube → pin names of its state maps. */
  readonly stateMaps: ReadonlyMap<string, ReadonlySet<string>>;
  readonly rows: Readonly<Record<RowMap, Rows>>;
  /** Pin name of an interface → where the entry program sits; ifindex 0: its device is gone. */
  readonly links: ReadonlyMap<string, { readonly ifindex: number; readonly entry: string | undefined }>;
  /** Interface number → the entry program that a filter runs there; undefined: none of the pinned ones. */
  readonly filters: ReadonlyMap<number, string | undefined>;
  /** What an agent of an older cube ABI has pinned, until ours has taken over from it. */
  readonly older:
    | {
        readonly abi: number;
        readonly links: ReadonlyMap<string, number>;
        /** The same at XDP. */
        readonly xdp: ReadonlyMap<string, number>;
        /** Pin name of an attachment at a cgroup → the cgroup. */
        readonly cgroup: ReadonlyMap<string, string>;
      }
    | undefined;
  /** The same at XDP. */
  readonly xdp: {
    readonly entry: string | undefined;
    readonly oldEntries: readonly string[];
    readonly links: KernelState['links'];
  };
  /**
   * Pin name of a program of a cube at a cgroup → where it is attached (NO_CGROUP: the directory is gone), and the key of
   * the instance whose program it is.
   */
  readonly cgroup: ReadonlyMap<string, { readonly cgroup: string; readonly key: string | undefined }>;
  /** Packets of an earlier graph may be under way: a grace is due before anything they use is reused or removed. */
  readonly graceDue: boolean;
}

export interface DesiredLink {
  readonly ifindex: number;
  readonly name: string;
  /** A filter will do for now. */
  readonly isNew?: boolean;
}

export interface DesiredState {
  readonly entry: string;
  /** By instance key. */
  readonly instances: ReadonlyMap<string, Instance>;
  readonly edges: ReadonlyMap<number, bigint>;
  readonly config: Hex;
  readonly rows: Readonly<Record<RowMap, Rows>>;
  readonly links: ReadonlyMap<string, DesiredLink>;
  /** The same at XDP; no entry while no cube is there. */
  readonly xdp: { readonly entry: string | undefined; readonly links: ReadonlyMap<string, DesiredLink> };
  /** Pin name → the program that belongs there, and the directory of the cgroup. */
  readonly cgroup: ReadonlyMap<
    string,
    {
      readonly cgroup: string;
      readonly path: string;
      readonly key: string;
      readonly program: string;
    }
  >;
}

/** Number of no cgroup: that of an attachment whose directory was removed. */
export const NO_CGROUP = '0';

export const EMPTY_KERNEL: KernelState = {
  ready: false,
  mapsDiffer: false,
  entry: undefined,
  oldEntries: [],
  epoch: 0,
  config: EMPTY_CONFIG,
  banks: [new Map(), new Map()],
  slots: new Map(),
  instances: new Map(),
  stateMaps: new Map(),
  rows: { attachments: new Map(), pods: new Map(), overlay_sources: new Map(), host_addresses: new Map() },
  links: new Map(),
  filters: new Map(),
  older: undefined,
  xdp: { entry: undefined, oldEntries: [], links: new Map() },
  cgroup: new Map(),
  graceDue: false,
};
