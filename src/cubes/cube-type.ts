// SPDX-License-Identifier: Apache-2.0

/**
 * What a cube type is to the agent. One folder of src/cubes implements it a type; the agent knows no type by
 * name. Everything here is pure: an image holds what the maps of one cube should hold, and says which writes
 * lead there; it never sees the kernel.
 *
 * Life of an instance. A cube's program is loaded once for each distinct {@link InstanceConfig}; a change of the spec that
 * alters it makes a new instance in a new slot, filled before the node's graph flips to it. Maps of class
 * `state` are shared by all instances of a cube; maps of class `config` belong to one instance. Changes of
 * CubeTables are written in place, in the order that {@link ImageChange} states.
 */

/** A reason that a cube is not accepted as it stands, in words for the person who wrote it. */
export interface Problem {
  /** PascalCase; becomes the condition's reason. */
  readonly reason: string;
  /** What is wrong, in which object, and what to change. */
  readonly message: string;
  /** Path of the field, as `spec.router.routes[2].port`. */
  readonly field?: string;
  /** Key of the CubeTable that it is about, where an image tells it by `problems`. */
  readonly table?: string;
}

/** One cube of this node, valid by schema. */
export interface CubeInput<Spec> {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The member of `Cube.spec` that the type names. */
  readonly spec: Spec;
  /** All ports, the type's fixed ones and those that links and the spec name. */
  readonly ports: readonly CubePort[];
}

export interface CubePort {
  readonly name: string;
  /** 0..63, the number that programs know. */
  readonly id: number;
  /** CIDR text, as `10.244.1.1/24`. */
  readonly addresses: readonly string[];
  /** Bytes of an IP packet; absent: no limit of its own. */
  readonly mtu?: number;
  /** What the port's link ends in; absent while it is not linked. */
  readonly endpoint?: 'Cube' | 'Interface' | 'Pods' | 'Overlay' | 'Stack';
  /** Of an Interface: more than one, of which the host's routes choose. Absent: one. */
  readonly isSeveral?: boolean;
  /** Of a cube there: whether an Ethernet segment ends at it. */
  readonly endsSegment?: boolean;
}

/** What a cube may know of its node. */
export interface NodeInput {
  readonly name: string;
  /** Of the label topology.kubernetes.io/zone. */
  readonly zone?: string;
  /** `02:…`, fixed, the same on all nodes: of every router port, cube0 and the overlay device. */
  readonly gatewayMac: string;
  /** Default VNI of tunnel routes. */
  readonly overlayVni: number;
  /** Whether pods are reached by bpf_redirect_peer (else bpf_redirect). */
  readonly redirectPeer: boolean;
  /** Subnets in which other nodes are reached without the tunnel, with their length; absent: none. */
  readonly directNetworks?: readonly string[];
  /** Whether nodes in the subnets of this one may send without the tunnel: before it sends so itself, and for a while after it. */
  readonly acceptsDirect?: boolean;
  /** Of all interfaces of the host, without length; neither loopback nor link-local. Not part of what names an instance. */
  readonly addresses: readonly string[];
  /** Cookie of the network namespace that the agent is in, which is the host's: what programs at a cgroup know it by. Always set by the agent. */
  readonly netnsCookie?: bigint;
}

/** How the rows of one map are laid out; generated from BTF. */
export interface MapCodec<Key = unknown, Value = unknown> {
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  decodeKey(bytes: Uint8Array, offset?: number): Key;
  decodeValue(bytes: Uint8Array, offset?: number): Value;
}

/** One row of a state map of another version → the row of this one; undefined: it has no place there. Pure. */
export type MigrateRow = (
  version: number,
  key: Uint8Array,
  value: Uint8Array,
) => { readonly key: Uint8Array; readonly value: Uint8Array } | undefined;

export interface MapDeclaration {
  /** `state`: kept over changes of the spec; `config`: new with every instance. */
  readonly class: 'state' | 'config';
  /** Rows are written by user space (adopted at start), or only by the program. */
  readonly writer: 'agent' | 'program';
  readonly codec: MapCodec;
  /** Version of a state map's layout: a different one is another map. */
  readonly version: number;
  /**
   * What becomes of the rows that a program wrote when the version is another one: they are dropped, which is so without
   * it, or each is made into one of the new version. Rows always go along to a map of the same version and another size.
   */
  readonly onLayoutChange?: 'drop' | MigrateRow;
  /** `SEC("syscall")` program of the object that removes rows which are over (bpf/include/reclaim.h). The agent runs it. */
  readonly reclaim?: string;
  /** An LRU whose oldest rows nobody misses: that it is full is no pressure. */
  readonly isCache?: boolean;
}

/** All that is fixed when a program is loaded. Its hash names the instance. */
export interface InstanceConfig {
  /** `.rodata` variables by name, as bytes; the agent adds `cube` (slot, MAC, redirect mode). */
  readonly rodata: Readonly<Record<string, Uint8Array>>;
  /** max_entries by map, where it differs from the object's own. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Anything else of the spec that ends up in config maps: a change of it makes a new instance. */
  readonly config: unknown;
  /** Ports whose copies the program cuts (`cube_clone_cut()` of bpf/include/clone.h), at the interface behind them. */
  readonly copyPorts?: readonly string[];
}

/** A batch of rows for one map: printable through its codec, ready for the kernel. */
export interface MapWrite {
  readonly map: string;
  readonly op: 'update' | 'delete';
  readonly count: number;
  /** count × keySize bytes. */
  readonly keys: Uint8Array;
  /** count × valueSize bytes; empty for deletes. */
  readonly values: Uint8Array;
}

/** Writes in the order in which they break no flow; `afterGrace` when packets under way have passed. */
export interface ImageChange {
  readonly writes: readonly MapWrite[];
  readonly afterGrace: readonly MapWrite[];
}

/** Which part of a larger table a CubeTable is: its `spec.slice`. */
export interface TableSlice {
  /** The same in all slices that belong together, as the UID of a Service. */
  readonly owner: string;
  readonly index: number;
  readonly count: number;
  /** The rows of an owner are used when all `count` slices of one revision are there; until then the previous. */
  readonly revision: string;
}

/** What a program handed to the agent by `cube_punt()` or `cube_log()` (bpf/include/punt.h). */
export interface PuntRecord {
  /** `Packet`: it ended in the cube. `Log`: it went on, and its first bytes are here. */
  readonly kind: 'Packet' | 'Log';
  /** The program's own. */
  readonly code: number;
  /** The program's own; of a log the object that it speaks of. */
  readonly metadata: bigint;
  /** Id of the cube's port that the packet came in by. */
  readonly port: number;
  /** Milliseconds of CLOCK_MONOTONIC. */
  readonly time: number;
  /** Addresses, ports and protocol as sessions see them (bpf/include/packet.h). */
  readonly tuple: {
    readonly src: string;
    readonly dst: string;
    readonly sport: number;
    readonly dport: number;
    readonly proto: number;
  };
  readonly etherType: number;
  /** Bytes from the Ethernet header to the network header. */
  readonly l3Offset: number;
  /**
   * From the Ethernet header on; shorter than `length` when it was cut off. A whole packet has its checksum, also where a
   * device would have made it.
   */
  readonly packet: Uint8Array;
  readonly length: number;
}

/** A line for the agent's log; the agent adds the cube, its port and the packet's addresses. */
export interface PuntLog {
  readonly message: string;
  /** The objects to name, as `{rule: 'no-telnet'}`. */
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

/** A packet that the agent sends into the graph. */
export interface PacketOut {
  /** Id of the cube's port. */
  readonly port: number;
  /** `in`: the cube gets it by the port. `out`: it leaves by the port, as if the cube had sent it. */
  readonly direction: 'in' | 'out';
  /** From the Ethernet header on, with all its checksums; at most 2,048 bytes. */
  readonly packet: Uint8Array;
  /**
   * `in`: for the cube that gets it (`cube_metadata()`). `out`: index of the interface that it leaves by, where several are
   * linked to the port. Default 0: the first of them.
   */
  readonly metadata?: bigint;
}

/** What follows from a record. */
export interface PuntAnswer {
  readonly packets?: readonly PacketOut[];
  readonly logs?: readonly PuntLog[];
  /** When the image wants to be called by `tick` now, as that returns it; without it nothing has changed. */
  readonly dueAt?: number | undefined;
}

/** The packet as it was when the cube decided: the tuple that sessions are kept by (docs/cube-abi.md). */
export interface DecidedPacket {
  readonly src: string;
  readonly dst: string;
  /** 0 without ports. */
  readonly sport: number;
  readonly dport: number;
  /** IP protocol number; 0 for what is no IP packet. */
  readonly proto: number;
}

/** Where a rule was written that decided about a packet. Programs read it: names and values stay. */
export interface RuleOrigin {
  /** `Node`: what is allowed for the node itself. `Closed`: policies do not fit, and nothing else passes. */
  readonly kind: 'NetworkPolicy' | 'ClusterNetworkPolicy' | 'Rule' | 'Node' | 'Closed';
  /** Of a NetworkPolicy. */
  readonly namespace?: string;
  /** Of the policy; of a rule its own, where it has one. */
  readonly name?: string;
  readonly tier?: 'Admin' | 'Baseline';
  readonly direction?: 'Ingress' | 'Egress';
  /** Its name, or its place from 0 on in the list that it stands in. Absent in a default deny. */
  readonly rule?: string;
  /** `namespace/name` of the CubeTable that a rule stands in; absent: the spec of the cube. */
  readonly table?: string;
  /** What no policy allows that isolates the pod for the direction: these are all of them, as far as the packet is known. */
  readonly defaultDenyOf?: readonly string[];
}

/** For people and programs: what decided. */
export interface Explanation {
  /** As `default deny of NetworkPolicy shop/web`. */
  readonly text: string;
  /** Audit: it would drop, but is not enforced. */
  readonly action: 'Allow' | 'Drop' | 'Reject' | 'Audit';
  readonly origin: RuleOrigin;
}

/** The Service that a packet is for. */
export interface PacketService {
  readonly namespace: string;
  readonly name: string;
  /** Who gets it. */
  readonly backend?: { readonly address: string; readonly port: number };
}

/** What the node tells load balancers outside about a Service: whether it has backends here, so that packets may come. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  /** Of all addresses of the node; answers are HTTP. */
  readonly port: number;
  /** Addresses of Ready backends on the node. */
  readonly localEndpoints: number;
}

/** What the maps of one instance should hold. */
export interface CubeImage {
  /** Takes over rows found in the kernel, before any table is set. Ids in them are kept. */
  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void;
  /**
   * Sets or removes what one CubeTable contributes. `key` is `namespace/name`; `rows` the member of its spec
   * that its type names (services, routes, …), `undefined` when it is gone.
   * `slice` is the table's own; without it the table stands alone. `type` is the type of the rows, one of `tableTypes`;
   * absent: the first of them, or the table is gone. Returns what of it could not be taken: the rest is.
   */
  setTable(
    key: string,
    rows: readonly unknown[] | undefined,
    slice?: TableSlice,
    type?: string,
  ): readonly Problem[];
  /** The node is another one than it was made for: its addresses may have changed. */
  setNode?(node: NodeInput): void;
  /** What all tables together ask for and could not be taken; what was in force before is still. */
  problems?(): readonly Problem[];
  /** All tables have been set: rows that were adopted and that nobody claims are stale. */
  settle(): void;
  /**
   * Lets time pass, in seconds of CLOCK_MONOTONIC, which is the clock of the programs. Called before tables are set,
   * and when it wants to be called next, which is what it returns.
   */
  tick(now: number): number | undefined;
  /** Writes since the last take. */
  take(): ImageChange;
  /**
   * A packet or log record that its program handed over. Writes that follow are taken by the next `take`. Without it each
   * record is a line of the log that shows `code` and `metadata`.
   */
  punted?(record: PuntRecord): PuntAnswer;
  /** Packets that time has made due, since the last call; they are sent when the rows of the next `take` are written. */
  takePackets?(): readonly PacketOut[];
  /**
   * Addresses that tables gave the cube, for which it answers ARP and neighbour discovery at the port: the agent tells the
   * neighbours on the link of an Interface there whenever one comes.
   */
  announced?(): { readonly port: string; readonly addresses: readonly string[] };
  /** What of its tables is not enforced but only told, in words that become part of the condition Ready. */
  audit?(): string | undefined;
  /** Whether sockets may have lost their peer since the last call, so that `socketSweep` of the type is due. */
  sweeps?(): boolean;
  /** Services about which the node has to answer load balancers outside. */
  health?(): Iterable<ServiceHealth>;
  /** Rows that each map should hold, for pressure and for printing. */
  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>>;
  /**
   * For people: the object that a decision was about, and where it comes from, as `route 10.244.2.0/24 of CubeTable net/b`.
   * `kind` is the `object` of the decision in schema.ts, `id` what the program gave cube_decide() with it. Undefined when it
   * is not there any more.
   */
  nameObject?(kind: string, id: bigint, packet: DecidedPacket): string | undefined;
  /**
   * The rule that a packet was refused by: `object` is what the program gave cube_drop_by(). Without a packet, what can be said
   * of all that it refused. Undefined when it is not there any more.
   */
  explain?(object: bigint, packet?: DecidedPacket): Explanation | undefined;
  /**
   * The Service that a packet is for, as it came in. `object`: what cube_tell_new() was given, where it was let through: the
   * backend. Undefined when the packet is for none.
   */
  serviceOf?(packet: DecidedPacket, object?: bigint): PacketService | undefined;
}

export interface CubeType<Spec = unknown> {
  /** Discriminator, as `Router`. */
  readonly type: string;
  /** Member of `Cube.spec`, as `router`. */
  readonly member: string;
  /** Object file below build/bpf, without ending; also its program's name with `-` as `_`. */
  readonly object: string;
  readonly program: string;
  /** Of a type at the hook Cgroup: the programs that are attached, `program` among them, named as their sections. */
  readonly cgroupPrograms?: readonly string[];
  /** 3: packets leave an Interface endpoint by the neighbour table; 2: frames leave as they are. */
  readonly layer: 2 | 3;
  /**
   * An object file with an iterator over sockets (`SEC("iter/…")`) that ends those whose peer is gone, and the state maps of the
   * cube that it shares. It writes two words for each socket that it looked at, the first of them 1 where it ended it. The
   * agent runs it when the image says `sweeps()`; a kernel that cannot load it goes without.
   */
  readonly socketSweep?: {
    readonly object: string;
    readonly program: string;
    readonly maps: readonly string[];
  };
  /**
   * What it is to a broadcast on one of its ports. `joins`: it copies the frame to its other ports, so that a ring of
   * links through it is a loop. `ends`: no frame crosses it as it is, so that a ring through it is none. Absent: it
   * passes a frame on, to one port.
   */
  readonly segment?: 'joins' | 'ends';
  readonly fixedPorts: Readonly<Record<string, number>>;
  /**
   * A type that can be spliced into a link, and the two fixed ports between which packets pass: `outside` towards the
   * link's first end or the interface. Its cubes leave to the cubes behind them what those do on a shared interface.
   */
  readonly transparent?: { readonly outside: string; readonly inside: string };
  /** Ports named by links get ids from here on, in order of their names. */
  readonly firstNamedPort: number;
  readonly tableTypes: readonly string[];
  readonly maps: Readonly<Record<string, MapDeclaration>>;
  /** Whether it sends copies of packets to cubes, by the node's device for copies (bpf/include/clone.h). Absent: never. */
  copiesToCubes?(cube: CubeInput<Spec>): boolean;
  /**
   * Whether it tells packets for the host's own addresses from others: where its link ends in an Interface, the entry gives it
   * these, too (ATTACH_ALL of bpf/include/maps.h). Absent: they never come to it.
   */
  sharesHost?(cube: CubeInput<Spec>): boolean;
  /** Ports of the host's addresses that no process may get without asking for them by number. Absent: none. */
  reservedPorts?(cube: CubeInput<Spec>): readonly { readonly first: number; readonly last: number }[];
  /** What the schema cannot say: an empty list means accepted. */
  check(cube: CubeInput<Spec>): readonly Problem[];
  instance(cube: CubeInput<Spec>, node: NodeInput): InstanceConfig;
  /** `previous`: the image of the instance that this one replaces, whose ids in state maps must stay valid. */
  image(cube: CubeInput<Spec>, node: NodeInput, previous?: CubeImage): CubeImage;
}
