// SPDX-License-Identifier: Apache-2.0
/** What a folder src/cubes/<type>/ declares about its cube type in schema.ts; everything shared is generated from it. */
import type { Rule, Schema } from './schema.ts';

/** The hooks of the kernel that cubes run at. TC and XDP have packets; at a Cgroup there are calls of processes. */
export const HOOKS = ['TC', 'XDP', 'Cgroup'] as const;
export type Hook = (typeof HOOKS)[number];

/** A reason why packets are dropped, with an id that never changes its meaning. */
export interface DropReason {
  /** 1–31 common to all cubes, 32–63 a cube type's own. Append only. */
  id: number;
  /** PascalCase; `DROP_` and upper snake case in C. */
  name: string;
  /** What happened, for people. */
  description: string;
  /** What to look at or change. */
  remedy: string;
}

/** Something a cube counts beside packets, bytes and drops. */
export interface Counter {
  /** 0–31. Append only. */
  id: number;
  /** camelCase; `COUNT_` and upper snake case in C. */
  name: string;
  description: string;
}

/** Something that a program decides about a packet and tells a trace. */
export interface Decision {
  /** 1–63. Append only. */
  id: number;
  /** PascalCase; `DECIDE_` and upper snake case in C. */
  name: string;
  /** What was decided, for people: a sentence that the name of the object may follow. */
  description: string;
  /** Kind of the object that goes with it, which `CubeImage.nameObject` gets; absent: there is none. */
  object?: string;
}

/** A map of the cube, for the reference. */
export interface MapDescription {
  name: string;
  /** `state` is kept over revisions, `config` is made anew by a change of the spec, `shared` belongs to the node. */
  class: 'state' | 'config' | 'shared';
  key: string;
  value: string;
  writer: string;
  description: string;
  /**
   * Columns that number an object of a kind that `CubeImage.nameObject` knows: `{backend: 'backend'}`, or `key` and `value`
   * where these are plain numbers.
   */
  objects?: Readonly<Record<string, string>>;
  /**
   * Its values are `packets` and `bytes` of the object that its key numbers, or `sessions` of it: they become metrics.
   */
  counts?: true | 'sessions';
  /** Another map with the same keys, whose values are shown in the same rows. */
  beside?: string;
}

export interface CubeTypeSchema {
  /** Value of `spec.type`. */
  type: string;
  /** Name of the member of `spec`. */
  member: string;
  /** Folder in src/cubes and bpf. */
  folder: string;
  description: string;
  /** Schema of the member. */
  schema: Schema;
  ports: {
    /** Ports that every cube of the type has. */
    fixed: { name: string; description: string }[];
    /** What the ports named by links and `spec.ports` mean. */
    named: string;
    /** Most ports, fixed ones included. */
    max: number;
    /** Whether `spec.ports[].addresses` may be set. */
    addresses: boolean;
  };
  /** Types of CubeTable that `spec.tables` may select. */
  tables: string[];
  /** Hooks that this release's program can be loaded for. */
  hooks: Hook[];
  /** Rules about the whole `spec` of a cube of this type; the generator adds the test of the type. */
  rules: Rule[];
  dropReasons: DropReason[];
  counters: Counter[];
  /** What a trace is told, see docs/cube-abi.md. */
  decisions: Decision[];
  maps: MapDescription[];
}
