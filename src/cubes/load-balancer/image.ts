// SPDX-License-Identifier: Apache-2.0

/**
 * What the maps of one load balancer should hold. A change of one Service touches only its own rows.
 *
 * Order of writes, so that at every step a frontend of the kernel points to places that hold ids of live backends:
 * backends in, stale frontends out, segments, source ranges in, frontends in; then backends that nobody lists
 * any more get their deadline. Source ranges that are gone leave after the grace. A backend that a service has let go of, and another
 * has not, is written on both sides of that (backends.ts).
 *
 * Two services that want one address and port: the smaller `namespace/name` has it, whatever came first, so that all nodes
 * agree; the other gets a Problem, and the place when the first one goes.
 */
import type { Service } from '../../api/generated/types.ts';
import type {
  CubeImage,
  DecidedPacket,
  ImageChange,
  MapWrite,
  NodeInput,
  PacketService,
  Problem,
  ServiceHealth,
  TableSlice,
} from '../cube-type.ts';
import { followsNode } from '../node-ports.ts';
import { PackedTable } from '../packed-table.ts';
import { Backends } from './backends.ts';
import { type DesiredBackend, type DesiredFrontend, desired, type Place } from './desired.ts';
import {
  BASE,
  encodeFrontend,
  GROUP,
  hasDatagrams,
  isGrouped,
  type Plan,
  SIZE,
  wordAt,
} from './frontend-rows.ts';
import { full } from './full.ts';
import { frontends as codec } from './generated/codec.ts';
import { Groups } from './groups.ts';
import type { Held } from './held.ts';
import { giveUp, idOf, list, unlist } from './listed.ts';
import { backendText, frontendText, packetService } from './names.ts';
import { Picks } from './picks.ts';
import { contentOf, maglevSegment, randomSegment } from './segments.ts';
import type { ServiceSettings } from './settings.ts';
import { Slices } from './slices.ts';
import { SourceRanges } from './source-ranges.ts';
import { Waiting } from './waiting.ts';

const scratchKey = new Uint8Array(codec.keySize);

export class LoadBalancerImage implements CubeImage {
  readonly #spec: ServiceSettings;
  #node: Place;
  /** Of services that could not be set when the addresses of the node changed. */
  readonly #nodeProblems = new Map<string, readonly Problem[]>();
  readonly backends: Backends;
  readonly groups: Groups;
  readonly #picks: Picks;
  readonly #frontends: PackedTable;
  readonly #ranges: SourceRanges;
  readonly #slices = new Slices();
  /** By `owner service`. */
  readonly #held = new Map<string, Held>();
  /** Who has a row of `frontends`: key of #held. */
  readonly #owners: (string | undefined)[] = [];
  readonly #waiting = new Waiting();
  /** There are rows of an agent before this one. */
  #isAdopted = false;

  constructor(spec: ServiceSettings, node: Place, previous?: LoadBalancerImage) {
    const { sessions } = spec;
    this.#spec = spec;
    this.#node = node;
    this.backends = new Backends(sessions.maxBackends, {
      stream: spec.drainSeconds,
      datagram: spec.udpDrainSeconds,
    });
    this.groups = new Groups(previous?.groups);
    this.#picks = new Picks(sessions.maxPicks);
    this.#frontends = new PackedTable('frontends', codec.keySize, codec.valueSize, sessions.maxFrontends);
    this.#ranges = new SourceRanges(sessions.maxSourceRanges);
    if (previous) this.backends.adoptFrom(previous.backends);
  }

  /** Bytes of the mirrors. */
  get bytes(): number {
    return this.backends.bytes + this.#picks.bytes + this.#frontends.bytes + this.#ranges.table.bytes;
  }

  adopt(map: string, count: number, keys: Uint8Array, values: Uint8Array): void {
    this.#isAdopted ||= count > 0;
    if (map === 'backends') this.backends.adopt(count, keys, values);
    else if (map === 'picks') this.#picks.adopt(count, keys, values);
    else if (map === 'source_ranges') this.#ranges.table.adopt(count, keys, values);
    else if (map === 'frontends') {
      this.#frontends.adopt(count, keys, values);
      for (let at = 0; at < count * 24; at += 24) {
        this.#picks.adoptSegment(wordAt(values, at + BASE), wordAt(values, at + SIZE));
      }
    }
  }

  setTable(key: string, rows: readonly unknown[] | undefined, slice?: TableSlice): readonly Problem[] {
    const problems: Problem[] = [];
    for (const change of this.#slices.set(key, rows as readonly Service[] | undefined, slice)) {
      for (const name of change.removed) this.#remove(`${change.owner} ${name}`);
      for (const service of change.set) {
        const name = `${change.owner} ${service.namespace}/${service.name}`;
        this.#nodeProblems.delete(name);
        this.#set(name, service, problems);
      }
    }
    return problems;
  }

  setNode({ addresses }: NodeInput): void {
    if (addresses.join() === this.#node.addresses.join()) return;
    this.#node = { ...this.#node, addresses };
    for (const [key, { service }] of [...this.#held]) {
      if (!service) continue;
      const problems: Problem[] = [];
      this.#set(key, service, problems);
      if (problems.length > 0) this.#nodeProblems.set(key, problems);
      else this.#nodeProblems.delete(key);
    }
  }

  problems(): readonly Problem[] {
    return [...this.#nodeProblems.values()].flat();
  }

  #set(key: string, service: Service, problems: Problem[]): void {
    const want = desired(this.#spec, this.#node, service);
    problems.push(...want.problems);
    const name = `${service.namespace}/${service.name}`;
    const backends = list(this.backends, want.backends);
    if (!backends) {
      problems.push(full(this.#spec, name, 'backends', 'maxBackends'));
      return;
    }
    const plans = this.#plan(want.frontends, want.backends, backends, name, problems);
    if (!plans) {
      unlist(this.backends, backends);
      return;
    }
    const before = this.#held.get(key);
    const held: Held = {
      name,
      backends,
      frontends: [],
      parked: [],
      groups: want.frontends.filter(isGrouped).map((one) => one.group),
      service: service.frontends.some(followsNode) ? service : undefined,
      health: want.health,
    };
    this.#held.set(key, held);
    for (const text of before?.parked ?? []) this.#unpark(text, key);
    for (const plan of plans) this.#place(key, held, plan, problems);
    if (before) this.#letGo(key, before, held);
  }

  #remove(key: string): void {
    this.#nodeProblems.delete(key);
    const before = this.#held.get(key);
    if (!before) return;
    this.#held.delete(key);
    for (const text of before.parked) this.#unpark(text, key);
    this.#letGo(key, before);
  }

  /** Segments for all frontends. Undefined, and nothing changed, when something does not fit. */
  #plan(
    frontends: readonly DesiredFrontend[],
    backends: readonly DesiredBackend[],
    held: Uint32Array,
    name: string,
    problems: Problem[],
  ): Plan[] | undefined {
    const ids = held.map(idOf);
    const plans: Plan[] = [];
    const made = new Map<string, { base: number; size: number }>();
    let fresh = 0;
    let problem: Problem | undefined;
    for (const frontend of frontends) {
      const key = new Uint8Array(codec.keySize);
      codec.encodeKey({ addr: frontend.address, port: frontend.port, proto: frontend.proto }, key);
      if (this.#frontends.row(key) < 0) fresh++;
      if (this.#frontends.size + fresh > this.#frontends.max) {
        problem = full(this.#spec, name, 'frontends', 'maxFrontends');
        break;
      }
      const content = frontends.length > 1 ? contentOf(frontend) : '';
      let segment = made.get(content);
      const alike =
        segment || content === '' ? [frontend] : frontends.filter((one) => contentOf(one) === content);
      if (segment) this.#picks.share(segment.base, segment.size);
      else segment = this.#segment(alike, backends, ids);
      if (!segment) {
        problem = full(this.#spec, name, 'picks', 'maxPicks');
        break;
      }
      made.set(content, segment);
      plans.push({ key, frontend, ...segment });
    }
    if (!problem) return plans;
    problems.push(problem);
    for (const { base, size } of plans) this.#picks.drop(base, size);
    return undefined;
  }

  #place(key: string, held: Held, plan: Plan, problems: Problem[]): void {
    const known = this.#frontends.known(plan.key);
    const value = this.#value(plan, known, held.name, problems);
    const row = this.#frontends.row(plan.key);
    const owner = row < 0 ? undefined : this.#owners[row];
    if (owner === undefined) {
      held.frontends = [...held.frontends, this.#put(plan.key, value, key)];
      return;
    }
    if (owner === key) {
      this.#picks.drop(wordAt(this.#frontends.value(row), BASE), wordAt(this.#frontends.value(row), SIZE));
      this.#put(plan.key, value, key);
      if (!held.frontends.includes(row)) held.frontends = [...held.frontends, row];
      return;
    }
    const other = this.#held.get(owner);
    const wins = !other || held.name < other.name || (held.name === other.name && key < owner);
    if (wins) {
      this.#park(plan.key, owner, this.#frontends.value(row).slice());
      if (other) other.frontends = other.frontends.filter((one) => one !== row);
      held.frontends = [...held.frontends, this.#put(plan.key, value, key)];
    } else {
      this.#park(plan.key, key, value);
    }
    const loser = wins ? other?.name : held.name;
    const winner = wins ? held.name : other?.name;
    const { addr, port } = codec.decodeKey(plan.key);
    problems.push({
      reason: 'Conflict',
      message: `Service ${loser}: ${addr} port ${port} is served by Service ${winner}; give one of them another address or port`,
    });
  }

  #put(rowKey: Uint8Array, value: Uint8Array, key: string): number {
    const row = this.#frontends.set(rowKey, value);
    this.#owners[row] = key;
    return row;
  }

  #park(rowKey: Uint8Array, key: string, value: Uint8Array): void {
    const text = rowKey.join();
    const held = this.#held.get(key);
    this.#waiting.add(text, key, value);
    this.#picks.park(wordAt(value, BASE), wordAt(value, SIZE), true);
    if (held) held.parked = [...held.parked, text];
  }

  #unpark(text: string, key: string): void {
    const value = this.#waiting.remove(text, key);
    if (!value) return;
    this.#picks.park(wordAt(value, BASE), wordAt(value, SIZE), false);
    this.#picks.drop(wordAt(value, BASE), wordAt(value, SIZE));
  }

  /** Gives back what a service held and, where it goes on as `now`, holds no more. */
  #letGo(key: string, before: Held, now?: Held): void {
    for (const row of before.frontends) {
      if (this.#owners[row] !== key || now?.frontends.includes(row)) continue;
      const rowKey = this.#frontends.key(row).slice();
      this.#picks.drop(wordAt(this.#frontends.value(row), BASE), wordAt(this.#frontends.value(row), SIZE));
      const text = rowKey.join();
      const next = this.#waiting.first(text, (one) => `${this.#held.get(one)?.name} ${one}`);
      const value = next === undefined ? undefined : this.#waiting.remove(text, next);
      const heir = next === undefined ? undefined : this.#held.get(next);
      if (next !== undefined && value && heir) {
        this.#picks.park(wordAt(value, BASE), wordAt(value, SIZE), false);
        heir.parked = heir.parked.filter((one) => one !== text);
        heir.frontends = [...heir.frontends, this.#put(rowKey, value, next)];
      } else {
        this.#frontends.deleteRow(row);
        this.#owners[row] = undefined;
      }
    }
    for (const group of before.groups) {
      const id = this.groups.drop(group);
      if (id !== undefined) this.#ranges.set(id, []);
    }
    giveUp(this.backends, before.backends, now?.backends);
  }

  #value({ frontend, base, size }: Plan, known: number, name: string, problems: Problem[]): Uint8Array {
    const hint = known < 0 ? 0 : wordAt(this.#frontends.kernelValue(known), GROUP);
    const group = isGrouped(frontend) ? this.groups.take(frontend.group, hint) : 0;
    if (group !== 0 && !this.#ranges.set(group, frontend.sourceRanges)) {
      problems.push({
        reason: 'MapFull',
        field: 'spec.loadBalancer.sessions.maxSourceRanges',
        message: `Service ${name}: there is no room for its source ranges (${this.#ranges.table.max} in all); nobody new is let in. Raise maxSourceRanges, or use fewer, wider prefixes`,
      });
    }
    return encodeFrontend(frontend, { base, size, group });
  }

  /** The segment of frontends that are alike: one that the kernel has for one of them, or a new one. */
  #segment(
    alike: readonly DesiredFrontend[],
    backends: readonly DesiredBackend[],
    ids: Uint32Array,
  ): { base: number; size: number } | undefined {
    const { picks, maglev } = alike[0] as DesiredFrontend;
    if (picks.length === 0) return { base: 0, size: 0 };
    const segment = maglev ? maglevSegment(picks, backends, ids) : randomSegment(picks, ids);
    const size = segment.length;
    for (const { address, port, proto } of alike) {
      codec.encodeKey({ addr: address, port, proto }, scratchKey);
      const row = this.#frontends.known(scratchKey);
      if (row < 0) continue;
      const value = this.#frontends.kernelValue(row);
      const base = wordAt(value, BASE);
      if (wordAt(value, SIZE) === size && this.#picks.holds(base, segment)) {
        this.#picks.share(base, size);
        return { base, size };
      }
    }
    const base = this.#picks.add(segment);
    return base < 0 ? undefined : { base, size };
  }

  settle(): void {
    this.#frontends.settle();
    this.#ranges.table.settle();
    this.#picks.settle();
    this.backends.settle();
  }

  tick(now: number): number | undefined {
    return this.backends.tick(now);
  }

  take(): ImageChange {
    const frontends = this.#frontends.take();
    const ranges = this.#ranges.take();
    // who left a service while no agent ran is not known
    if (this.#isAdopted && [...frontends.deletes, ...frontends.updates].some(hasDatagrams))
      this.backends.departAll();
    this.#isAdopted = false;
    const backends = this.backends.take();
    const writes: MapWrite[] = [
      ...backends.arriving,
      ...frontends.deletes,
      ...this.#picks.take(),
      ...ranges.updates,
      ...frontends.updates,
      ...backends.leaving,
    ];
    return { writes, afterGrace: ranges.deletes };
  }

  health(): ServiceHealth[] {
    return [...this.#held.values()].flatMap(({ health }) => health ?? []);
  }

  usage(): Readonly<Record<string, { readonly used: number; readonly max: number }>> {
    return {
      frontends: { used: this.#frontends.size, max: this.#frontends.max },
      backends: { used: this.backends.used, max: this.backends.max },
      picks: { used: this.#picks.used, max: this.#picks.max },
      source_ranges: { used: this.#ranges.table.size, max: this.#ranges.table.max },
    };
  }

  /** The row of `frontends` that a packet is for, below 0: none, and the Service that has it. */
  #frontendOf({ dst, dport, proto }: DecidedPacket): { row: number; owner: Held | undefined } {
    codec.encodeKey({ addr: dst, port: dport, proto }, scratchKey);
    const row = this.#frontends.row(scratchKey);
    return { row, owner: this.#held.get(this.#owners[row] ?? '') };
  }

  serviceOf(packet: DecidedPacket, object?: bigint): PacketService | undefined {
    const { row, owner } = this.#frontendOf(packet);
    return row < 0 || owner === undefined ? undefined : packetService(owner.name, this.backends, object);
  }

  nameObject(kind: string, id: bigint, packet: DecidedPacket): string | undefined {
    const { row, owner } = this.#frontendOf(packet);
    if (kind === 'frontend') return row < 0 ? undefined : frontendText(packet, owner?.name);
    return backendText(Number(id), this.backends, kind, owner ? [owner] : this.#held.values());
  }
}
