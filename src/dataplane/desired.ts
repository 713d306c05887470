// SPDX-License-Identifier: Apache-2.0
/** Graph, pods and overlay sources → what the kernel of this node should hold. Pure. */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../api/hash.ts';
import type { CubeType, InstanceConfig, NodeInput } from '../cubes/cube-type.ts';
import { statePinOf } from './carry.ts';
import { cgroupAttachments } from './cgroup-desired.ts';
import type { Accepted } from './committed.ts';
import type { Cgroup, Graph, GraphCube, InterfaceInfo, Wire, WireEnd } from './graph-model.ts';
import {
  type Attachment,
  AttachPort,
  CUBE_PORTS,
  decodeAttachment,
  decodeIfindex,
  EdgeKind,
  edgeIndex,
  edgeWord,
  encodeAddress,
  encodeAttachment,
  encodeConfig,
  encodeIfindex,
  encodePod,
  type Hex,
  HOST_ADDRESS,
  MAX_ATTACHMENTS,
} from './layout.ts';
import { isPodDevice, pinNameOfEgress, pinNameOfInterface } from './names.ts';
import type { OverlaySources } from './overlay.ts';
import { type InstancePlan, placeInstances } from './place-instances.ts';
import type { PodRecord } from './pod-record.ts';
import type { DesiredLink, DesiredState, KernelState } from './state.ts';
import { xdpAttachments, xdpClosed, xdpEdges, xdpOnly } from './xdp-desired.ts';

export const OVERLAY_DEVICE = 'cubevxlan';
/** Where the agent's own packets come in, and the other end of that pair. */
export const INJECT_DEVICES = ['cubeslow0', 'cubeslow1'] as const;
/** The host's end and the chain's end of the pair between host and cubes. */
export const STACK_DEVICES = ['cube0', 'cube1'] as const;

/** By the first one's egress copies come to cubes (bpf/include/clone.h). Both stay down: nothing else passes them. */
export const COPY_DEVICES = ['cubecopy0', 'cubecopy1'] as const;

/** Maps that the ABI gives to every cube; counters are kept over its revisions. */
const ABI_STATE_MAPS = ['port_counters', 'drops', 'counters'];

export interface DesiredInput {
  readonly graph: Graph;
  readonly node: NodeInput;
  readonly observed: KernelState;
  readonly interfaces: ReadonlyMap<string, InterfaceInfo>;
  /** Where programs at a cgroup are attached; undefined: there is no such directory. */
  readonly cgroup?: Cgroup | undefined;
  /** Of all interfaces of the host, without prefix length. */
  readonly hostAddresses: readonly string[];
  readonly pods: readonly PodRecord[];
  /** Numbers of pods' interfaces that are so new that a filter does instead of a link. */
  readonly newDevices: ReadonlySet<number>;
  readonly sources: OverlaySources;
  /** Hash of each object file, by name without ending; the entry program's is `tcx`. */
  readonly objectHashes: ReadonlyMap<string, string>;
}

export function planInstance(cube: GraphCube, node: NodeInput, objectHash: string): InstancePlan {
  const config = cube.type.instance(cube.input, node);
  const stateMaps = stateMapsOf(cube.type, config);
  const rodata = Object.entries(config.rodata).map(([name, bytes]) => [
    name,
    Buffer.from(bytes).toString('hex'),
  ]);
  const said = canonicalJson({
    object: objectHash,
    rodata: Object.fromEntries(rodata),
    sizes: config.sizes,
    config: config.config,
    ports: cube.input.ports.map(({ name, id }) => [name, id]),
    mac: node.gatewayMac,
    redirectPeer: node.redirectPeer,
    state: [...stateMaps.values()].sort(),
  });
  return { cube, config, hash: createHash('sha256').update(said).digest('hex').slice(0, 12), stateMaps };
}

/** `MAP_VERSION_SIZE`; `own` is the size that stands in the object. */
function stateMapsOf(type: CubeType, config: InstanceConfig): Map<string, string> {
  const pins = new Map<string, string>();
  for (const map of ABI_STATE_MAPS) pins.set(map, statePinOf(map, 1, undefined));
  for (const [map, declaration] of Object.entries(type.maps)) {
    if (declaration.class !== 'state') continue;
    pins.set(map, statePinOf(map, declaration.version, config.sizes[map]));
  }
  return pins;
}

/** What objects, network and pods come to. */
export interface Resolved {
  readonly input: DesiredInput;
  readonly desired: DesiredState;
  readonly plans: ReadonlyMap<string, InstancePlan>;
  readonly accepted: Accepted;
}

/** Throws when there are more cubes or interfaces than slots and ports; the graph's bounds are below that. */
export function desiredState(input: DesiredInput, plans: ReadonlyMap<string, InstancePlan>): DesiredState {
  const { graph, node, observed, sources } = input;
  const instances = placeInstances(plans, observed);
  const slotOf = new Map([...instances.values()].map((instance) => [instance.cubeKey, instance.slot]));
  const overlay = graph.overlay && input.interfaces.get(OVERLAY_DEVICE);
  const attachments = attachmentsOf(input);
  const ports = new Map([...attachments.values()].map((a) => [a.name, a.row.port]));
  const closed = xdpClosed(graph);
  const edges = new Map(xdpEdges(graph, slotOf, ports));
  const copies = copyDevice(input);
  if (copies) edges.set(edgeIndex(0, AttachPort.Copies), edgeWord(EdgeKind.Device, copies.ifindex));
  for (const wire of graph.wires) {
    const [a, b] = wire.ends;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      if (from.type === 'Interface' && closed.has(from.name)) continue;
      const at = sourceIndex(from, graph, slotOf, ports);
      const word = edgeTo(to, wire.layer, graph, slotOf, input.interfaces);
      if (at !== undefined && word !== undefined) edges.set(at, word);
    }
  }
  const { links, ...rows } = interfaceRows(input, plans, attachments);
  return {
    entry: input.objectHashes.get('tcx') ?? '',
    instances,
    edges,
    config: encodeConfig({
      overlayIfindex: overlay?.ifindex ?? 0,
      overlayVni: graph.overlay?.vni ?? node.overlayVni,
      sourceLengthsV4: sources.lengthsV4,
      sourceLengthsV6: sources.lengthsV6,
    }),
    rows: {
      ...rows,
      overlay_sources: graph.overlay === undefined ? new Map() : new Map([...sources.nodes, ...sources.rows]),
      host_addresses: hostAddressRows(input),
    },
    links,
    xdp: xdpAttachments(graph, input.objectHashes.get('xdp')),
    cgroup: cgroupAttachments(instances, input.cgroup),
  };
}

export type PodsNow = Pick<DesiredInput, 'observed' | 'interfaces' | 'pods' | 'newDevices'>;

/** The same with the pods that there are now, and their interfaces; nothing else may differ. */
export function withPods({ input: before, desired, plans, accepted }: Resolved, now: PodsNow): Resolved {
  const input = { ...before, ...now };
  const { links, ...rows } = interfaceRows(input, plans, attachmentsOf(input));
  return { input, desired: { ...desired, rows: { ...desired.rows, ...rows }, links }, plans, accepted };
}

/** What follows from interfaces and pods alone. */
function interfaceRows(
  input: DesiredInput,
  plans: ReadonlyMap<string, InstancePlan>,
  attachments: ReadonlyMap<number, Attached>,
): Pick<DesiredState['rows'], 'attachments' | 'pods'> & Pick<DesiredState, 'links'> {
  const withoutTc = xdpOnly(input.graph);
  const copies = copyDevice(input);
  return {
    attachments: new Map(
      [...attachments].map(([ifindex, { row }]) => [encodeIfindex(ifindex), encodeAttachment(row)]),
    ),
    pods: podRows(input),
    links: new Map([
      ...[...attachments]
        .filter(([, { name }]) => !withoutTc.has(name))
        .map(([ifindex, { name }]) => linkOf(input, { ifindex, name })),
      ...unpluggedDevices(input).filter(([, { ifindex }]) => !attachments.has(ifindex)),
      ...egressOfCopies(input.graph, plans),
      ...(copies === undefined ? [] : [[pinNameOfEgress(copies.name), copies] as const]),
    ]),
  };
}

function linkOf({ newDevices }: DesiredInput, at: DesiredLink): readonly [pin: string, link: DesiredLink] {
  return [pinNameOfInterface(at.name), newDevices.has(at.ifindex) ? { ...at, isNew: true } : at];
}

/** A pair of the CNI plugin's keeps what it has until it is gone: taking that off would wait for the kernel. */
function unpluggedDevices(input: DesiredInput): (readonly [pin: string, link: DesiredLink])[] {
  const { links, filters } = input.observed;
  return [...input.interfaces.values()].flatMap(({ name, ifindex }) => {
    if (!isPodDevice(name)) return [];
    const [pin, link] = linkOf(input, { name, ifindex });
    if (links.get(pin)?.ifindex === ifindex) return [[pin, link] as const];
    return filters.has(ifindex) ? [[pin, { ...link, isNew: true }] as const] : [];
  });
}

/** Interfaces that copies leave by which have to be cut there. */
function egressOfCopies(
  { wires }: Graph,
  plans: ReadonlyMap<string, InstancePlan>,
): [pin: string, link: { ifindex: number; name: string }][] {
  const cuts = (end: WireEnd) =>
    end.type === 'Cube' && plans.get(end.cube)?.config.copyPorts?.includes(end.port) === true;
  return wires
    .flatMap(({ ends: [a, b] }) => [cuts(a) ? [b] : [], cuts(b) ? [a] : []].flat())
    .flatMap((end) =>
      end.type === 'Interface' && end.info !== undefined
        ? [[pinNameOfEgress(end.name), { ifindex: end.info.ifindex, name: end.name }]]
        : [],
    );
}

/** The device by which copies come to cubes, where a cube makes such. */
function copyDevice({ graph, interfaces }: DesiredInput): { ifindex: number; name: string } | undefined {
  const device = graph.copies ? interfaces.get(COPY_DEVICES[0]) : undefined;
  return device && { ifindex: device.ifindex, name: device.name };
}

/** Where the edge of an end stands: of a cube in its slot, of anything else in slot 0. */
function sourceIndex(
  end: WireEnd,
  graph: Graph,
  slotOf: ReadonlyMap<string, number>,
  ports: ReadonlyMap<string, number>,
): number | undefined {
  if (end.type === 'Cube') {
    const slot = slotOf.get(end.cube);
    const port = portId(graph, end);
    return slot === undefined || port === undefined ? undefined : edgeIndex(slot, port);
  }
  if (end.type === 'Interface') {
    const port = ports.get(end.name);
    return port === undefined ? undefined : edgeIndex(0, port);
  }
  // Packets leave by these and come in by none.
  if (end.type === 'Next' || end.type === 'Host' || end.type === 'Cut') return undefined;
  return edgeIndex(0, AttachPort[end.type === 'Pods' ? 'Pod' : end.type]);
}

function edgeTo(
  to: WireEnd,
  layer: Wire['layer'],
  graph: Graph,
  slotOf: ReadonlyMap<string, number>,
  interfaces: ReadonlyMap<string, InterfaceInfo>,
): bigint | undefined {
  if (to.type === 'Cube') {
    const slot = slotOf.get(to.cube);
    const port = portId(graph, to);
    return slot === undefined || port === undefined ? undefined : edgeWord(EdgeKind.Cube, slot, port);
  }
  if (to.type === 'Pods') return edgeWord(EdgeKind.Pod, 0);
  if (to.type === 'Interface') {
    const routed = to.others === undefined ? EdgeKind.Neigh : EdgeKind.Route;
    return to.info && edgeWord(layer === 2 ? EdgeKind.Device : routed, to.info.ifindex);
  }
  if (to.type === 'Host') return edgeWord(EdgeKind.Pass, 0);
  if (to.type === 'Cut') return edgeWord(EdgeKind.Cut, 0);
  if (to.type === 'Next') return undefined;
  const device = interfaces.get(to.type === 'Overlay' ? OVERLAY_DEVICE : STACK_DEVICES[0]);
  return device && edgeWord(to.type === 'Overlay' ? EdgeKind.Tunnel : EdgeKind.Stack, device.ifindex);
}

function portId(graph: Graph, end: { cube: string; port: string }): number | undefined {
  return graph.cubes.get(end.cube)?.input.ports.find((port) => port.name === end.port)?.id;
}

interface Attached {
  readonly name: string;
  readonly row: Attachment;
}

/** Every interface that the entry program sits on. Numbers that are in use in the kernel stay as they are. */
function attachmentsOf(input: DesiredInput): Map<number, Attached> {
  const before = new Map(
    [...input.observed.rows.attachments].map(([key, row]) => [decodeIfindex(key), decodeAttachment(row)]),
  );
  const numbers = new Numbers(before);
  const result = new Map<number, Attached>();
  const add = (info: InterfaceInfo | undefined, row: Omit<Attachment, 'counters'>) => {
    if (info === undefined || result.has(info.ifindex)) return;
    result.set(info.ifindex, { name: info.name, row: { ...row, counters: numbers.counters(info.ifindex) } });
  };
  // The chain that owns an interface says more of it than one that is spliced in before.
  const links = [...input.graph.links.values()];
  const isHead = ({ object }: (typeof links)[number]) => object.spec.splice !== undefined;
  for (const { ends } of [...links.filter((link) => !isHead(link)), ...links.filter(isHead)]) {
    for (const [i, end] of ends.entries()) {
      if (end.type === 'Interface' && end.info !== undefined) {
        const all = sharesHost(ends[1 - i], input.graph);
        const port = numbers.port(end.info.ifindex);
        for (const info of [end.info, ...(end.others ?? [])])
          add(info, { port, open: end.open, mac: info.mac, all });
      } else if (end.type === 'Overlay') {
        add(input.interfaces.get(OVERLAY_DEVICE), { port: AttachPort.Overlay, open: end.open });
      } else if (end.type === 'Stack') {
        add(input.interfaces.get(STACK_DEVICES[1]), { port: AttachPort.Stack, open: end.open });
      }
    }
  }
  const podsOpen = links
    .filter((link) => !isHead(link))
    .flatMap((link) => link.ends)
    .some((end) => end.type === 'Pods' && end.open);
  for (const pod of input.pods) {
    add(input.interfaces.get(pod.interface), {
      port: AttachPort.Pod,
      open: podsOpen,
      mac: pod.mac,
      addresses: pod.addresses,
    });
  }
  return result;
}

/** Whether the cube at the other end of an interface's link tells the host's own packets apart. */
function sharesHost(end: WireEnd | undefined, { cubes }: Graph): boolean {
  const cube = end?.type === 'Cube' ? cubes.get(end.cube) : undefined;
  return cube?.type.sharesHost?.(cube.input) === true;
}

/** Gives out counter indexes and ports of slot 0: the same again to an interface that has some. */
class Numbers {
  readonly #before: ReadonlyMap<number, Attachment>;
  readonly #counters: Set<number>;
  readonly #ports: Set<number>;
  #next = 0;

  constructor(before: ReadonlyMap<number, Attachment>) {
    this.#before = before;
    this.#counters = new Set([...before.values()].map((a) => a.counters));
    this.#ports = new Set([...before.values()].map((a) => a.port));
  }

  counters(ifindex: number): number {
    const old = this.#before.get(ifindex)?.counters;
    if (old !== undefined) return old;
    while (this.#counters.has(this.#next)) this.#next++;
    if (this.#next >= MAX_ATTACHMENTS) throw new Error(`more than ${MAX_ATTACHMENTS} interfaces on one node`);
    this.#counters.add(this.#next);
    return this.#next;
  }

  port(ifindex: number): number {
    const old = this.#before.get(ifindex)?.port;
    if (old !== undefined && old >= AttachPort.Interface) return old;
    let port: number = AttachPort.Interface;
    while (this.#ports.has(port)) port++;
    if (port >= CUBE_PORTS)
      throw new Error(`more than ${CUBE_PORTS - AttachPort.Interface} linked interfaces`);
    this.#ports.add(port);
    return port;
  }
}

/** Only where an interface is shared: elsewhere nothing looks them up. */
function hostAddressRows({ graph, hostAddresses }: DesiredInput): Map<Hex, Hex> {
  const isShared = [...graph.links.values()].some(({ ends }) =>
    ends.some(({ type }) => type === 'Interface'),
  );
  return new Map(isShared ? hostAddresses.map((address) => [encodeAddress(address), HOST_ADDRESS]) : []);
}

function podRows(input: DesiredInput): Map<Hex, Hex> {
  const rows = new Map<Hex, Hex>();
  for (const pod of input.pods) {
    const info = input.interfaces.get(pod.interface);
    if (info === undefined) continue;
    for (const address of pod.addresses) {
      rows.set(encodeAddress(address), encodePod({ ifindex: info.ifindex, mac: pod.mac }));
    }
  }
  return rows;
}
