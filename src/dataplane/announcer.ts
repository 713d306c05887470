// SPDX-License-Identifier: Apache-2.0
/** When the node tells its neighbours which addresses it answers for. Pure: time and what is there come in, frames go out. */
import { announcementFrames, solicitedNodeGroup } from './announcement-frames.ts';
import { isIn } from './direct-networks.ts';
import type { Graph } from './graph-model.ts';
import type { Running } from './images.ts';
import type { LinkInfo } from './kernel/netlink.ts';
import type { Outgoing } from './slow-path.ts';

/** Told so often, with these pauses, s: a frame may be lost (RFC 4861 7.2.6, RFC 5227 2.3). */
const PAUSES = [1, 2] as const;
/** Addresses that are told in one go; the others wait for a second. */
const MOST_AT_ONCE = 128;

/** What a cube answers for at an interface. */
export interface Answered {
  /** The same list as long as they are the same. */
  readonly addresses: readonly string[];
  readonly slot: number;
  readonly port: number;
  readonly interface: Pick<LinkInfo, 'name' | 'ifindex' | 'mac'>;
}

/** A multicast group that an interface has to let in. */
export interface Membership {
  readonly group: string;
  readonly interface: string;
  readonly ifindex: number;
}

/**
 * What running cubes answer for, at interfaces that are up. Of several at one port those are told of an address in whose
 * subnet it is; an address in none of them, to which others have routes, is told of by the first.
 */
export function answeredBy(
  running: Iterable<Pick<Running, 'instance' | 'image' | 'plan'>>,
  graph: Pick<Graph, 'links'> | undefined,
  interfaces: ReadonlyMap<string, LinkInfo>,
): Answered[] {
  const found: Answered[] = [];
  for (const { instance, image, plan } of running) {
    const { port, addresses } = image.announced?.() ?? NOTHING;
    const id = plan.cube.input.ports.find(({ name }) => name === port)?.id;
    if (id === undefined || addresses.length === 0) continue;
    const names = interfacesBehind(graph, instance.cubeKey, port);
    for (const [at, list] of sharesOf(
      addresses,
      names.flatMap((name) => interfaces.get(name) ?? []),
    )) {
      if (list.length === 0 || !at.up || at.mac === '') continue;
      found.push({ addresses: list, slot: instance.slot, port: id, interface: at });
    }
  }
  return found;
}

/** Shares of lists that were asked for last, so that the same list gives the same shares. */
const shares = new WeakMap<readonly string[], { key: string; lists: readonly (readonly string[])[] }>();

/** The addresses that each of the interfaces of a port is told of. */
function sharesOf(
  addresses: readonly string[],
  [first, ...others]: readonly LinkInfo[],
): [LinkInfo, readonly string[]][] {
  if (first === undefined) return [];
  if (others.length === 0) return [[first, addresses]];
  const all = [first, ...others];
  const key = all.map(({ ifindex, networks = [] }) => `${ifindex} ${networks.join(' ')}`).join();
  let known = shares.get(addresses);
  if (known?.key !== key) {
    const holds = ({ networks = [] }: LinkInfo, address: string) =>
      networks.some((network) => isIn(network, address));
    const isElsewhere = (address: string) =>
      !holds(first, address) && others.some((at) => holds(at, address));
    const lists = [
      addresses.filter((address) => !isElsewhere(address)),
      ...others.map((at) => addresses.filter((address) => holds(at, address))),
    ];
    known = { key, lists };
    shares.set(addresses, known);
  }
  const { lists } = known;
  return all.map((at, index) => [at, lists[index] ?? []]);
}

const NOTHING = { port: '', addresses: [] };

/** The first of them first. */
function interfacesBehind(
  graph: Pick<Graph, 'links'> | undefined,
  cube: string,
  port: string,
): readonly string[] {
  for (const { ends } of graph?.links.values() ?? []) {
    const own = ends.findIndex((end) => end.type === 'Cube' && end.cube === cube && end.port === port);
    const other = own < 0 ? undefined : ends[1 - own];
    if (other?.type === 'Interface')
      return [other.info?.name ?? other.name, ...(other.others ?? []).map(({ name }) => name)];
  }
  return [];
}

interface Told {
  times: number;
  /** When it is told next, s. */
  dueAt: number;
}

export class Announcer {
  /** By address, interface and MAC. */
  #told = new Map<string, Told>();
  #answered: readonly Answered[] = [];
  #dueAt = Number.POSITIVE_INFINITY;

  /** Whether it is what `follow` was told last. */
  isFollowed(answered: readonly Answered[]): boolean {
    return isSame(answered, this.#answered);
  }

  /** Frames that are due. `now`: seconds. */
  follow(answered: readonly Answered[], now: number): Outgoing[] {
    // Called after each round, for thousands of addresses of which none is new.
    if (this.isFollowed(answered) && this.#dueAt > now) return [];
    this.#answered = answered;
    const told = new Map<string, Told>();
    const frames: Outgoing[] = [];
    let addresses = 0;
    for (const { addresses: list, slot, port, interface: at } of answered) {
      for (const address of list) {
        const key = `${address} ${at.ifindex} ${at.mac}`;
        const state = this.#told.get(key) ?? { times: 0, dueAt: now };
        told.set(key, state);
        if (state.dueAt > now) continue;
        if (++addresses > MOST_AT_ONCE) {
          state.dueAt = now + 1;
          continue;
        }
        state.dueAt = now + (PAUSES[state.times++] ?? Number.POSITIVE_INFINITY);
        for (const packet of announcementFrames(address, at.mac))
          frames.push({ packet, slot, port, direction: 'out', metadata: BigInt(at.ifindex) });
      }
    }
    this.#told = told;
    let due = Number.POSITIVE_INFINITY;
    for (const { dueAt } of told.values()) due = Math.min(due, dueAt);
    this.#dueAt = due;
    return frames;
  }

  /** When `follow` has something to say by itself, s; undefined: never. */
  get dueAt(): number | undefined {
    return this.#dueAt === Number.POSITIVE_INFINITY ? undefined : this.#dueAt;
  }
}

function isSame(a: readonly Answered[], b: readonly Answered[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ addresses, slot, port, interface: at }, i) => {
      const other = b[i];
      return (
        other !== undefined &&
        addresses === other.addresses &&
        slot === other.slot &&
        port === other.port &&
        at.ifindex === other.interface.ifindex &&
        at.mac === other.interface.mac
      );
    })
  );
}

/** Groups without which questions for the addresses may not come in: switches and network cards leave them out. */
export function membershipsOf(answered: readonly Answered[]): Membership[] {
  const found = new Map<string, Membership>();
  for (const { addresses, interface: at } of answered)
    for (const address of addresses) {
      const group = solicitedNodeGroup(address);
      if (group !== undefined)
        found.set(`${group} ${at.ifindex}`, { group, interface: at.name, ifindex: at.ifindex });
    }
  return [...found.values()];
}
