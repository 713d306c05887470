// SPDX-License-Identifier: Apache-2.0
/**
 * Objects → the graph of the node, and what stands against each object. Pure. An object with an `Accepted` finding is
 * not in the graph; a link with a `ResolvedRefs` finding is in it with the end that could not be found left open, so
 * that packets there are counted drops.
 */
import type { Cube, CubeLink } from '../api/generated/types.ts';
import { type NotSupported, notSupported } from '../api/not-supported.ts';
import type { CubeInput, CubePort, CubeType } from '../cubes/cube-type.ts';
import { broadcastLoops } from './broadcast-loops.ts';
import { type Claim, claimsOf } from './claim.ts';
import type { Cgroup, Finding, Graph, GraphCube, GraphLink, InterfaceInfo, LinkEnd } from './graph-model.ts';
import { interfaceEnd, mtuOf } from './interface-end.ts';
import {
  type AnyCubeSpec,
  byAge,
  type CubeObject,
  type Endpoint,
  keyOf,
  type LinkObject,
  refOf,
} from './objects.ts';
import { closedRings } from './rings.ts';
import { resolveSplices } from './splice.ts';
import { UPLINK } from './uplink.ts';
import { type PortsAtXdp, type XdpPrefixes, xdpPrefixes } from './xdp-prefix.ts';

export interface GraphInput {
  readonly nodeName: string;
  readonly cubes: Iterable<CubeObject>;
  readonly links: Iterable<LinkObject>;
  readonly types: ReadonlyMap<string, CubeType>;
  readonly interfaces: ReadonlyMap<string, InterfaceInfo>;
  /** Where cubes at the hook Cgroup are attached; absent: there is no such directory. */
  readonly cgroup?: Cgroup | undefined;
  /** What $(node.uplink) stands for. */
  readonly uplink: string | undefined;
  /** MTU that the overlay device has or will have. */
  readonly overlayMtu: number;
  /** Cubes whose program or rows the kernel refused, by key. */
  readonly refused?: ReadonlyMap<string, Refused>;
}

export interface Refused {
  readonly uid: string;
  readonly generation: number;
  readonly reason: string;
  readonly message: string;
}

const MAX_PORTS = 64;

export function resolveGraph(input: GraphInput): Graph {
  return new Resolver(input).run();
}

class Resolver {
  readonly #input: GraphInput;
  readonly #findings = new Map<string, Finding[]>();
  readonly #cubes = new Map<string, { object: CubeObject; type: CubeType }>();
  /** Who has a port, an interface, the pods: the key of a link. */
  readonly #taken = new Map<string, string>();

  constructor(input: GraphInput) {
    this.#input = input;
  }

  run(): Graph {
    for (const object of [...this.#input.cubes].sort(byAge)) this.#takeCube(object);
    const links = new Map<string, GraphLink>();
    for (const object of [...this.#input.links].sort(byAge)) {
      const link = this.#takeLink(object);
      if (link !== undefined) links.set(link.key, link);
    }
    this.#refuseClosedLoops(links);
    this.#refuseBroadcastLoops(links);
    const { prefixes: xdp, links: tcLinks } = this.#xdp(links);
    this.#refuseSplices(tcLinks, links);
    const cubes = new Map<string, GraphCube>();
    for (const [key, { object, type }] of this.#cubes) {
      const cube = this.#finishCube(key, object, type, this.#atXdp(key) ? links : tcLinks);
      if (cube !== undefined) cubes.set(key, cube);
    }
    const isProgrammed = (cube: string) => cubes.has(cube);
    const { wires, through } = resolveSplices({ links: tcLinks, typeOf: this.#typeOf, isProgrammed });
    for (const link of links.values()) this.#checkEnds(link, cubes);
    const terminating = [...tcLinks.values()].filter(({ object }) => object.spec.splice === undefined);
    const overlay = terminating
      .flatMap((link) => link.object.spec.endpoints)
      .find((endpoint) => endpoint.type === 'Overlay');
    return {
      cubes,
      links,
      wires,
      through,
      xdp,
      findings: this.#findings,
      overlay: overlay && {
        vni: overlay.overlay?.vni ?? 1,
        port: overlay.overlay?.port ?? 4789,
        isDirect: overlay.overlay?.directRouting === 'SameSubnet',
      },
      stack: terminating.some((link) => link.ends.some((end) => end.type === 'Stack')),
      copies: [...cubes.values()].some(({ type, input }) => type.copiesToCubes?.(input) === true),
    };
  }

  #find(ref: string, condition: Finding['condition'], reason: string, message: string): void {
    const list = this.#findings.get(ref);
    if (list === undefined) this.#findings.set(ref, [{ condition, reason, message }]);
    else list.push({ condition, reason, message });
  }

  #takeCube(object: CubeObject): void {
    const refused = this.#input.refused?.get(keyOf(object.metadata));
    const { uid, generation } = object.metadata;
    if (refused?.uid === uid && refused.generation === generation) {
      this.#find(refOf('Cube', object.metadata), 'Programmed', refused.reason, refused.message);
      return;
    }
    const refusal = this.#refusalOf(object);
    const type = this.#input.types.get(object.spec.type);
    if (refusal !== undefined) this.#find(refOf('Cube', object.metadata), 'Accepted', ...refusal);
    else if (type !== undefined) this.#cubes.set(keyOf(object.metadata), { object, type });
  }

  /** Reason and message; what is left to the cube type itself comes later, when its ports are known. */
  #refusalOf({ metadata, spec }: CubeObject): [string, string] | undefined {
    const type = this.#input.types.get(spec.type);
    if (spec.nodeName !== this.#input.nodeName) return wrongNode(spec.nodeName, this.#input.nodeName);
    if (type === undefined) {
      const known = [...this.#input.types.keys()].sort().join(', ');
      return ['NotSupported', `spec.type: this agent has no cube type ${spec.type}; it has ${known}`];
    }
    const [unsupported] = notSupported({ kind: 'Cube', metadata, spec } as unknown as Cube);
    if (unsupported !== undefined) return asRefusal(unsupported);
    for (const [i, table] of (spec.tables ?? []).entries()) {
      if (type.tableTypes.includes(table.type)) continue;
      const used = type.tableTypes.join(', ') || 'none';
      const message = `a ${spec.type} uses no tables of type ${table.type}; it uses ${used}`;
      return ['NotSupported', `spec.tables[${i}].type: ${message}`];
    }
    return undefined;
  }

  #takeLink(object: LinkObject): GraphLink | undefined {
    const ref = refOf('CubeLink', object.metadata);
    const key = keyOf(object.metadata);
    const { metadata, spec } = object;
    const [unsupported] = notSupported({ kind: 'CubeLink', metadata, spec } as unknown as CubeLink);
    const refusal =
      spec.nodeName !== this.#input.nodeName
        ? wrongNode(spec.nodeName, this.#input.nodeName)
        : unsupported && asRefusal(unsupported);
    if (refusal !== undefined) {
      this.#find(ref, 'Accepted', ...refusal);
      return undefined;
    }
    const claims: string[] = [];
    const ends: LinkEnd[] = [];
    for (const [i, endpoint] of object.spec.endpoints.entries()) {
      const end = this.#end(endpoint, object.metadata.namespace ?? '');
      // Many chains go to one place.
      const wanted =
        object.spec.splice === undefined || end.type === 'Cube' ? this.#claimsOf(end, ends[0]) : [];
      ends.push(end);
      for (const claim of wanted) {
        const holder = this.#taken.get(claim.id);
        if (holder === undefined && !claims.includes(claim.id)) {
          claims.push(claim.id);
          continue;
        }
        this.#find(
          ref,
          'Accepted',
          claim.reason,
          `spec.endpoints[${i}]: ${claim.what} is already linked by CubeLink ${holder ?? key}; ${claim.remedy}`,
        );
        return undefined;
      }
    }
    const [a, b] = ends;
    if (a === undefined || b === undefined) return undefined;
    for (const claim of claims) this.#taken.set(claim, key);
    return { key, object, ends: [a, b] };
  }

  #end(endpoint: Endpoint, namespace: string): LinkEnd {
    if (endpoint.type === 'Cube') {
      const cube = `${namespace}/${endpoint.cube.name}`;
      return { type: 'Cube', cube, port: this.#portOf(cube, endpoint.cube.port) };
    }
    const open = endpoint.failurePolicy === 'Open';
    if (endpoint.type === 'Interface')
      return interfaceEnd(endpoint, this.#input.uplink, this.#input.interfaces);
    if (endpoint.type === 'Stack') return { type: 'Stack', open: endpoint.failurePolicy !== 'Closed' };
    return { type: endpoint.type, open };
  }

  /** Behind cubes at XDP the Stack is the host as it receives on that interface, and there are many of those. */
  #claimsOf(end: LinkEnd, other: LinkEnd | undefined): Claim[] {
    return end.type === 'Stack' && other?.type === 'Cube' && this.#atXdp(other.cube) ? [] : claimsOf(end);
  }

  #atXdp: PortsAtXdp = (key) => {
    const cube = this.#cubes.get(key);
    return cube?.object.spec.hook === 'XDP' ? cube.type.transparent : undefined;
  };

  #xdp(links: Map<string, GraphLink>): XdpPrefixes {
    const found = xdpPrefixes(links, this.#atXdp);
    for (const [key, { condition, reason, message }] of found.refused) {
      const link = links.get(key);
      if (link !== undefined) this.#find(refOf('CubeLink', link.object.metadata), condition, reason, message);
      links.delete(key);
    }
    for (const [ref, { condition, reason, message }] of found.findings)
      this.#find(ref, condition, reason, message);
    return found;
  }

  /** A step of a path that says nothing goes in by `in` and out by `out`. */
  #portOf(cube: string, name: string): string {
    const pair = this.#cubes.get(cube)?.type.transparent;
    if (pair === undefined || (name !== 'in' && name !== 'out')) return name;
    return name === 'in' ? pair.outside : pair.inside;
  }

  /** Before the ports of cubes are counted, since the head of a chain that is not accepted gives its cube none. */
  #refuseSplices(links: Map<string, GraphLink>, all: Map<string, GraphLink>): void {
    const { findings } = resolveSplices({ links, typeOf: this.#typeOf, isProgrammed: () => true });
    for (const [ref, { condition, reason, message }] of findings) {
      this.#find(ref, condition, reason, message);
      if (condition !== 'Accepted') continue;
      links.delete(ref.slice('CubeLink '.length));
      all.delete(ref.slice('CubeLink '.length));
    }
  }

  readonly #typeOf = (cube: string): CubeType | undefined => this.#cubes.get(cube)?.type;

  /** A packet could neither come into such a ring nor leave it. */
  #refuseClosedLoops(links: Map<string, GraphLink>): void {
    for (const { links: keys, cubes } of closedRings(links)) {
      for (const key of keys) {
        const link = links.get(key);
        if (link === undefined) continue;
        this.#find(
          refOf('CubeLink', link.object.metadata),
          'Accepted',
          'LinkCycle',
          `spec.endpoints: the cubes ${cubes.join(', ')} are linked in a ring that no packet can enter or leave; link one of them to an interface, pods, the overlay or the stack, or delete a link`,
        );
        links.delete(key);
      }
    }
  }

  /** A broadcast would go round such a ring for ever, and grow with each round. The newest link of it goes. */
  #refuseBroadcastLoops(links: Map<string, GraphLink>): void {
    const segmentOf = (cube: string) => this.#cubes.get(cube)?.type.segment;
    for (const { link: key, cubes } of broadcastLoops(links, segmentOf)) {
      const link = links.get(key);
      if (link === undefined) continue;
      this.#find(
        refOf('CubeLink', link.object.metadata),
        'Accepted',
        'LinkCycle',
        `spec.endpoints: it closes a ring of the cubes ${cubes.join(', ')}, in which a broadcast would go round for ever; delete this link or another one of the ring, or put a Router into it`,
      );
      links.delete(key);
    }
  }

  #finishCube(
    key: string,
    object: CubeObject,
    type: CubeType,
    links: ReadonlyMap<string, GraphLink>,
  ): GraphCube | undefined {
    const ref = refOf('Cube', object.metadata);
    const ports = this.#ports(key, object.spec, type, links);
    if (ports.some((port) => port.id >= MAX_PORTS)) {
      this.#find(
        ref,
        'Accepted',
        'TooManyPorts',
        `links and spec.ports name more than ${MAX_PORTS} ports; delete CubeLinks`,
      );
      return undefined;
    }
    const { namespace = '', name, uid } = object.metadata;
    const input: CubeInput<unknown> = { namespace, name, uid, spec: object.spec[type.member] ?? {}, ports };
    const problems = type.check(input);
    for (const { reason, message, field } of problems) {
      this.#find(ref, 'Accepted', reason, field === undefined ? message : `${field}: ${message}`);
    }
    if (object.spec.hook === 'Cgroup' && this.#input.cgroup === undefined)
      this.#find(
        ref,
        'ResolvedRefs',
        'CgroupNotFound',
        'spec.hook: the agent finds no directory of cgroup2; mount it (mount -t cgroup2 none /sys/fs/cgroup), or name one with --cgroup',
      );
    return problems.length > 0 ? undefined : { key, object, type, input };
  }

  #ports(
    key: string,
    spec: AnyCubeSpec,
    type: CubeType,
    links: ReadonlyMap<string, GraphLink>,
  ): readonly CubePort[] {
    const peers = new Map<string, LinkEnd>();
    for (const { ends } of links.values()) {
      for (const [i, end] of ends.entries()) {
        const peer = ends[1 - i];
        if (end.type === 'Cube' && end.cube === key && peer !== undefined) peers.set(end.port, peer);
      }
    }
    const settings = new Map((spec.ports ?? []).map((port) => [port.name, port]));
    const fixed = Object.keys(type.fixedPorts);
    const named = [...new Set([...peers.keys(), ...settings.keys()])]
      .filter((name) => !fixed.includes(name))
      .sort();
    const port = (name: string, id: number): CubePort => {
      const peer = peers.get(name);
      const mtu = settings.get(name)?.mtu ?? this.#mtuOf(peer);
      return {
        name,
        id,
        addresses: settings.get(name)?.addresses ?? [],
        ...(mtu === undefined ? {} : { mtu }),
        // What is spliced in next to it comes and goes: the program must not depend on it.
        ...(peer === undefined ? {} : { endpoint: peer.type === 'Next' ? 'Cube' : peer.type }),
        ...(peer?.type === 'Interface' && peer.others !== undefined ? { isSeveral: true } : {}),
        ...(peer?.type === 'Cube' && this.#cubes.get(peer.cube)?.type.segment === 'ends'
          ? { endsSegment: true }
          : {}),
      };
    };
    return [
      ...Object.entries(type.fixedPorts).map(([name, id]) => port(name, id)),
      ...named.map((name, i) => port(name, type.firstNamedPort + i)),
    ];
  }

  #mtuOf(peer: LinkEnd | undefined): number | undefined {
    if (peer?.type === 'Interface') return mtuOf(peer);
    return peer?.type === 'Overlay' ? this.#input.overlayMtu : undefined;
  }

  #checkEnds(link: GraphLink, cubes: ReadonlyMap<string, GraphCube>): void {
    const ref = refOf('CubeLink', link.object.metadata);
    for (const [i, end] of link.ends.entries()) {
      const field = `spec.endpoints[${i}]`;
      const miss = (reason: string, message: string) =>
        this.#find(ref, 'ResolvedRefs', reason, `${field}${message}`);
      if (end.type === 'Cube' && !this.#cubes.has(end.cube)) {
        const known = this.#findings.has(`Cube ${end.cube}`);
        if (known)
          miss('CubeNotAccepted', `.cube.name: Cube ${end.cube} is not accepted; its status says why`);
        else
          miss(
            'CubeNotFound',
            `.cube.name: there is no Cube ${end.cube} on node ${this.#input.nodeName}; create it or correct the name`,
          );
      } else if (end.type === 'Cube' && !cubes.has(end.cube)) {
        miss('CubeNotAccepted', `.cube.name: Cube ${end.cube} is not accepted; its status says why`);
      } else if (end.type === 'Interface' && end.name === UPLINK) {
        miss(
          'UplinkNotFound',
          `.interface.name: node ${this.#input.nodeName} has neither a default route nor an interface with an address of its Node object; add a route or name the interface`,
        );
      } else if (end.type === 'Interface' && end.info === undefined) {
        miss(
          'InterfaceNotFound',
          `.interface.name: node ${this.#input.nodeName} has no interface ${end.name}; create it or correct the name`,
        );
      }
    }
  }
}

function wrongNode(asked: string, here: string): [string, string] {
  return [
    'Conflict',
    `spec.nodeName is ${asked}, but this agent serves ${here}; create it for the right node`,
  ];
}

function asRefusal({ reason, field, message, remedy }: NotSupported): [string, string] {
  return [reason, `${field}: ${message}; ${remedy}`];
}
