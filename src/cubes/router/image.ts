// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one router should hold. A change of one table touches only its own prefixes.
 *
 * Order of writes, so that every packet is routed by the old or the new routes at each step: rows into the hash and
 * the trie; the word that says which lengths are in the hash; and only when packets under way have passed, the rows
 * that are gone or that lie in the other map now. A packet that has read the old word still finds its rows.
 */
import type { Route, Router } from '../../api/generated/types.ts';
import { ArrayRows } from '../array-rows.ts';
import type {
  CubeImage,
  CubeInput,
  CubePort,
  DecidedPacket,
  ImageChange,
  MapWrite,
  NodeInput,
  PacketOut,
  Problem,
  PuntAnswer,
  PuntRecord,
} from '../cube-type.ts';
import { PackedTable } from '../packed-table.ts';
import { type Desired, desired, isProblem } from './desired.ts';
import {
  neighbours,
  ownAddresses,
  routeLengths,
  routerPorts,
  routesHash,
  routesLpm,
} from './generated/codec.ts';
import { familyOf, Lengths, type RouteFamily } from './lengths.ts';
import { matchOf, routeText } from './names.ts';
import { listen } from './neighbour-frames.ts';
import { Neighbours } from './neighbours.ts';
import { destinationOf, nextHopOf } from './next-hop.ts';
import { neighboursOf } from './resolving.ts';
import { prefixName, type RouteRow, returnRow, routeName } from './route-row.ts';
import { derivedFrom, HOST, isDerived, RouteSet, SPEC } from './route-set.ts';

/** PUNT_* of bpf/router/resolve.h. */
const Punt = { Unresolved: 1, Stale: 2, Heard: 3 } as const;

const FAMILIES: readonly RouteFamily[] = [0, 1];

export class RouterImage implements CubeImage {
  readonly #name: string;
  readonly #maxRoutes: number;
  readonly #maxNeighbours: number;
  readonly #cubePorts: readonly CubePort[];
  readonly #desired: Desired;
  readonly #routes = new RouteSet();
  readonly #lengths = new Lengths();
  readonly #hash: PackedTable;
  readonly #trie: PackedTable;
  readonly #own: PackedTable;
  readonly #ports = new ArrayRows(routerPorts.name, routerPorts.maxEntries, routerPorts.valueSize);
  readonly #words = new ArrayRows(routeLengths.name, routeLengths.maxEntries, routeLengths.valueSize);
  readonly #neighbours: Neighbours;
  /** Neighbours of an agent before this one, until it is known what time it is. */
  #adopted: [key: Uint8Array, value: Uint8Array][] = [];
  #before: Neighbours | undefined;
  #now = 0;
  /** Lengths whose rows lie in the hash as of the last take. */
  readonly #placed: [Set<number>, Set<number>] = [new Set(), new Set()];
  /** Prefixes to look at in the next take. */
  #touched = new Set<string>();

  constructor(cube: CubeInput<Router>, node: NodeInput, previous?: RouterImage) {
    this.#name = `${cube.namespace}/${cube.name}`;
    this.#maxRoutes = cube.spec.maxRoutes;
    this.#cubePorts = cube.ports;
    this.#desired = desired(cube, node);
    // rows move between hash and trie, so either may have to hold all of them; the limit is checked here
    this.#hash = new PackedTable(routesHash.name, routesHash.keySize, routesHash.valueSize, Infinity);
    this.#trie = new PackedTable(routesLpm.name, routesLpm.keySize, routesLpm.valueSize, Infinity);
    this.#own = new PackedTable(
      ownAddresses.name,
      ownAddresses.keySize,
      ownAddresses.valueSize,
      ownAddresses.maxEntries,
    );
    const { reachableSeconds, maxNeighbours: max } = neighboursOf(cube.spec);
    const { ports, statics } = this.#desired.resolving;
    this.#maxNeighbours = max;
    const { gatewayMac } = node;
    this.#neighbours = new Neighbours({ ports, statics, gatewayMac, reachableSeconds, max });
    if (previous !== undefined) this.#before = previous.#neighbours;
    for (const { port, ...value } of this.#desired.ports)
      this.#ports.set(port, encodeValue(routerPorts, value));
    for (const route of this.#desired.routes) this.#add(SPEC, route);
    this.setNode(node);
  }

  /** Pods reach the host at each of its addresses, whatever the routes to all else are. */
  setNode({ addresses }: Pick<NodeInput, 'addresses'>): void {
    const rows = addresses.flatMap((address) => this.#desired.hostRoute(address) ?? []);
    const wanted = new Set(rows.map(prefixName));
    for (const prefix of [...this.#routes.prefixesOf(HOST)])
      if (!wanted.has(prefix)) this.#remove(HOST, prefix);
    const there = this.#routes.prefixesOf(HOST);
    for (const row of rows) if (!there.has(prefixName(row))) this.#add(HOST, row);
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    const tables: Record<string, PackedTable | ArrayRows> = {
      [routesHash.name]: this.#hash,
      [routesLpm.name]: this.#trie,
      [ownAddresses.name]: this.#own,
      [routerPorts.name]: this.#ports,
      [routeLengths.name]: this.#words,
      [neighbours.name]: this.#neighbours.rows,
    };
    const table = tables[map];
    if (!table) throw new Error(`a router has no map ${map} whose rows could be taken over`);
    table.adopt(count, keys, values);
    if (map !== neighbours.name) return;
    const { keySize, valueSize } = neighbours;
    for (let i = 0; i < count; i++) {
      const key = keys.slice(i * keySize, (i + 1) * keySize);
      this.#adopted.push([key, values.slice(i * valueSize, (i + 1) * valueSize)]);
    }
  }

  setTable(key: string, rows: readonly unknown[] | undefined): readonly Problem[] {
    const problems: Problem[] = [];
    const wanted = new Map<string, { row: RouteRow; field: string; where: string }>();
    ((rows ?? []) as readonly Route[]).forEach((route, i) => {
      const field = `spec.routes[${i}]`;
      const where = `CubeTable ${key}, route ${i} to ${route.destination}`;
      const row = this.#desired.resolve(route, where, field);
      if (isProblem(row)) {
        problems.push(row);
      } else if (wanted.has(prefixName(row))) {
        problems.push({
          reason: 'DuplicateRoute',
          field,
          message: `${where}: the table has the prefix twice; its first route is used. Remove one`,
        });
      } else {
        wanted.set(prefixName(row), { row, field, where });
      }
    });
    for (const prefix of [...this.#routes.prefixesOf(key)])
      if (!wanted.has(prefix)) this.#remove(key, prefix);
    for (const [prefix, { row, field, where }] of wanted) {
      if (!this.#routes.isWritten(prefix) && this.#routes.size >= this.#maxRoutes) {
        problems.push({
          reason: 'TooManyRoutes',
          field,
          message: `${where}: the router ${this.#name} has ${this.#routes.size} routes already; raise spec.router.maxRoutes`,
        });
        continue;
      }
      const other = this.#add(key, row);
      if (other === undefined || other === SPEC || other === HOST || isDerived(other)) continue;
      problems.push({
        reason: 'RouteConflict',
        field,
        message: `${where}: CubeTable ${other} has another route to ${routeName(row)}; that of ${other < key ? other : key} is used. Remove one of them`,
      });
    }
    return problems;
  }

  #add(source: string, row: RouteRow): string | undefined {
    const prefix = prefixName(row);
    if (!this.#routes.has(prefix)) this.#lengths.change(familyOf(row.addr), row.length, 1);
    this.#touched.add(prefix);
    const other = this.#routes.add(source, row);
    if (!isDerived(source)) this.#derive(prefix);
    return other;
  }

  #remove(source: string, prefix: string): void {
    const row = this.#routes.winner(prefix);
    this.#routes.remove(source, prefix);
    if (row && !this.#routes.has(prefix)) this.#lengths.change(familyOf(row.addr), row.length, -1);
    this.#touched.add(prefix);
    if (!isDerived(source)) this.#derive(prefix);
  }

  /** What follows from the route in force for a prefix: one that another hides leads nowhere. */
  #derive(from: string): void {
    const source = derivedFrom(from);
    const written = this.#routes.isWritten(from) ? this.#routes.winner(from) : undefined;
    const row = written && returnRow(written);
    for (const prefix of [...this.#routes.prefixesOf(source)])
      if (row === undefined || prefix !== prefixName(row)) this.#remove(source, prefix);
    if (row !== undefined) this.#add(source, row);
  }

  settle(): void {
    for (const prefix of this.#routes.prefixes()) this.#touched.add(prefix);
    this.#place();
    this.#hash.settle();
    this.#trie.settle();
    this.#own.settle();
    this.#neighbours.addStatics();
    for (const [key, value] of this.#adopted) this.#neighbours.adopt(key, value, this.#now);
    if (this.#before) this.#neighbours.inherit(this.#before, this.#now);
    this.#adopted = [];
    this.#before = undefined;
    this.#neighbours.rows.settle();
  }

  tick(now: number): number | undefined {
    this.#now = now;
    return this.#neighbours.tick(now);
  }

  punted({ code, metadata, packet, length, l3Offset, port, time }: PuntRecord): PuntAnswer {
    const now = time / 1000;
    if (code === Punt.Heard) {
      const heard = listen(packet, l3Offset, (address) => this.#isOwn(port, address));
      if (heard) this.#neighbours.heard(port, heard, now);
    } else {
      const destination = destinationOf(packet, l3Offset);
      const hop = destination === undefined ? undefined : nextHopOf(metadata, destination, this.#routes);
      if (hop && code === Punt.Stale) this.#neighbours.stale(hop.port, hop.address, now);
      // what was cut off, because a record holds no more, cannot be sent on; its neighbour is asked for all the same
      const held = packet.length === length ? { port, packet: packet.slice() } : undefined;
      if (hop && code === Punt.Unresolved) this.#neighbours.unresolved(hop.port, hop.address, held, now);
    }
    return { packets: this.takePackets(), dueAt: this.#neighbours.dueAt };
  }

  takePackets(): PacketOut[] {
    return this.#neighbours.takePackets();
  }

  #isOwn(port: number, address: string): boolean {
    return this.#desired.own.some((own) => own.port === port && own.addr === address);
  }

  /** Puts the rows of touched prefixes, and of lengths that change their map, where they belong. */
  #place(): void {
    if (this.#own.size === 0) {
      for (const { addr, ...value } of this.#desired.own) {
        this.#own.set(encodeKey(ownAddresses, addr), encodeValue(ownAddresses, value));
      }
    }
    for (const family of FAMILIES) {
      const hashed = new Set(this.#lengths.hashed(family));
      const before = this.#placed[family];
      const moved = new Set(
        [...hashed, ...before].filter((length) => hashed.has(length) !== before.has(length)),
      );
      if (moved.size > 0) {
        for (const prefix of this.#routes.prefixes()) {
          const row = this.#routes.winner(prefix);
          if (row && familyOf(row.addr) === family && moved.has(row.length)) this.#touched.add(prefix);
        }
      }
      this.#placed[family] = hashed;
      this.#words.set(
        family,
        encodeValue(routeLengths, {
          lengths: [...hashed],
          count: hashed.size,
          lpm: this.#lengths.needsTrie(family) ? 1 : 0,
        }),
      );
    }
    // Updates from the longest prefix to the shortest, deletes the other way round: so a packet never falls through to a
    // shorter route that is itself only about to change or to go.
    const touched = [...this.#touched].map((name) => ({ ...split(name), row: this.#routes.winner(name) }));
    this.#touched = new Set();
    touched.sort((a, b) => b.length - a.length);
    for (const { addr, length, row } of touched) if (row) this.#tableOf(addr, length).set(...packed(row));
    for (const { addr, length, row } of touched.reverse()) {
      const key = encodeKey(routesHash, { addr, length });
      const table = this.#tableOf(addr, length);
      if (!row || table !== this.#hash) this.#hash.delete(key);
      if (!row || table !== this.#trie) this.#trie.delete(key);
    }
  }

  #tableOf(addr: string, length: number): PackedTable {
    return this.#placed[familyOf(addr)].has(length) ? this.#hash : this.#trie;
  }

  take(): ImageChange {
    this.#place();
    const hash = this.#hash.take();
    const trie = this.#trie.take();
    const own = this.#own.take();
    const known = this.#neighbours.rows.take();
    const writes: MapWrite[] = [
      ...own.updates,
      ...this.#ports.take(),
      ...hash.updates,
      ...trie.updates,
      ...this.#words.take(),
      // the places of those that are gone may be needed at once
      ...known.deletes,
      ...known.updates,
    ];
    return { writes, afterGrace: [...trie.deletes, ...hash.deletes, ...own.deletes] };
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    this.#place();
    return {
      // rows that follow from others are no routes of the limit
      [routesHash.name]: { used: this.#hash.size - this.#routes.derived, max: this.#maxRoutes },
      [routesLpm.name]: { used: this.#trie.size, max: this.#maxRoutes },
      [ownAddresses.name]: { used: this.#own.size, max: ownAddresses.maxEntries },
      [neighbours.name]: { used: this.#neighbours.size, max: this.#maxNeighbours },
    };
  }

  nameObject(kind: string, id: bigint, packet: DecidedPacket): string | undefined {
    if (kind === 'neighbour') {
      const hop = nextHopOf(id, packet.dst, this.#routes);
      const name = this.#cubePorts.find(({ id }) => id === hop?.port)?.name;
      return hop && `${hop.address} on port ${name}, ${this.#neighbours.describe(hop.port, hop.address)}`;
    }
    if (kind === 'route') {
      const row = matchOf(this.#routes, packet.dst, Number(id));
      return row && routeText(row, this.#routes, this.#cubePorts);
    }
    const own = this.#desired.own.find(({ addr }) => addr === packet.dst || addr === packet.src);
    const port = this.#cubePorts.find(({ id }) => id === own?.port);
    return own && `${own.addr} of port ${port?.name}`;
  }
}

/** Reads the name of a prefix, see {@link prefixName}. */
function split(name: string): { addr: string; length: number } {
  const slash = name.lastIndexOf('/');
  return { addr: name.slice(0, slash), length: Number(name.slice(slash + 1)) };
}

function packed(row: RouteRow): [key: Uint8Array, value: Uint8Array] {
  return [encodeKey(routesHash, row), encodeValue(routesHash, row)];
}

function encodeKey<K>(
  codec: { keySize: number; encodeKey(key: K, bytes: Uint8Array): void },
  key: K,
): Uint8Array {
  const bytes = new Uint8Array(codec.keySize);
  codec.encodeKey(key, bytes);
  return bytes;
}

function encodeValue<V>(
  codec: { valueSize: number; encodeValue(value: V, bytes: Uint8Array): void },
  value: V,
): Uint8Array {
  const bytes = new Uint8Array(codec.valueSize);
  codec.encodeValue(value, bytes);
  return bytes;
}
