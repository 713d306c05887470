// SPDX-License-Identifier: Apache-2.0
/** What the objects of a node come to (graph.ts makes it). Plain data. */
import type { CubeInput, CubeType } from '../cubes/cube-type.ts';
import type { CubeObject, LinkObject } from './objects.ts';

export interface InterfaceInfo {
  readonly name: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly mac: string;
  /** Administratively up with a carrier. */
  readonly up: boolean;
  /** Program at XDP. `isForeign`: not the agent's own. */
  readonly xdp?: {
    readonly id: number;
    readonly name: string;
    readonly mode: 'Native' | 'Generic' | 'Offloaded';
    readonly isForeign: boolean;
  };
  /** The host's end of the pair to a pod. */
  readonly isPod?: boolean;
}

/** A directory of the cgroup2 file system, and the kernel's number for it. */
export interface Cgroup {
  readonly path: string;
  readonly id: string;
}

export interface Finding {
  /** `Programmed`: the kernel refused this very generation; it is kept out until it is tried again. */
  readonly condition: 'Accepted' | 'ResolvedRefs' | 'Programmed';
  /** PascalCase. */
  readonly reason: string;
  readonly message: string;
}

/** By `Cube ns/name` or `CubeLink ns/name`. */
export type Findings = ReadonlyMap<string, readonly Finding[]>;

export type LinkEnd =
  | { readonly type: 'Cube'; readonly cube: string; readonly port: string }
  | {
      readonly type: 'Interface';
      readonly name: string;
      readonly info: InterfaceInfo | undefined;
      /** Further ones that lead to the same port; the host's routes say by which a packet leaves. Absent: none is there. */
      readonly others?: readonly InterfaceInfo[];
      readonly open: boolean;
    }
  | { readonly type: 'Pods' | 'Overlay' | 'Stack' | 'Next'; readonly open: boolean };

export interface GraphCube {
  readonly key: string;
  readonly object: CubeObject;
  readonly type: CubeType;
  readonly input: CubeInput<unknown>;
}

export interface GraphLink {
  readonly key: string;
  readonly object: LinkObject;
  readonly ends: readonly [LinkEnd, LinkEnd];
}

export interface Graph {
  readonly cubes: ReadonlyMap<string, GraphCube>;
  readonly links: ReadonlyMap<string, GraphLink>;
  /** What the links come to with all that is spliced into them. */
  readonly wires: readonly Wire[];
  /** CubeLink → names of the cubes that are spliced into it, from its first end to its second. */
  readonly through: ReadonlyMap<string, readonly string[]>;
  /** Cubes at XDP, by interface. */
  readonly xdp: readonly XdpPrefix[];
  readonly findings: Findings;
  /** Settings of the Overlay endpoint, where a link has one. */
  readonly overlay:
    | {
        readonly vni: number;
        readonly port: number;
        /** Whether nodes of the same subnet are reached without it. */
        readonly isDirect?: boolean;
      }
    | undefined;
  readonly stack: boolean;
  /** A cube makes copies of frames for other cubes. */
  readonly copies: boolean;
}

export type WireEnd =
  | LinkEnd
  /** The host's stack, from the interface that the packet came in by. */
  | { readonly type: 'Host' }
  /** Nothing: a Closed chain with a cube that is not programmed belongs here. */
  | { readonly type: 'Cut'; readonly cube: string };

export interface Wire {
  readonly ends: readonly [WireEnd, WireEnd];
  /** How packets leave by an interface at one of its ends: as the cube that the link joins to it wants. */
  readonly layer: 2 | 3;
}

/** Cubes at XDP in front of an interface (xdp-prefix.ts). */
export interface XdpPrefix {
  readonly interface: LinkEnd & { type: 'Interface' };
  /** Keys of the cubes, the one at the interface first. */
  readonly cubes: readonly string[];
  /** What follows them: a chain in TC, the host's stack, or nothing that is linked. */
  readonly next: 'TC' | 'Host' | undefined;
  /** Somebody else's program is at XDP of the interface; it is not replaced. */
  readonly isBlocked: boolean;
}
