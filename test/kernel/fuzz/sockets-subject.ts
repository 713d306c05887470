// SPDX-License-Identifier: Apache-2.0
/** Random calls of real sockets, and random changes of Services, next to what the model allows. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../../../src/api/generated/types.ts';
import type { Caller, Place } from '../../harness/calls.ts';
import { ipText } from '../support/bytes.ts';
import { SocketBalancer } from '../support/socket-balancer.ts';
import { add, compareSums, type Subject } from './campaign.ts';
import type { Random } from './random.ts';
import type { Samples } from './samples.ts';
import { NETNSES, type SocketsLab, textOf } from './sockets-lab.ts';
import { type Counts, type Outcome, type Socket, SocketsModel } from './sockets-model.ts';
import {
  FAMILIES,
  type Family,
  keyOf,
  NAMED,
  NAMES,
  NODES,
  PROTOS,
  randomService,
  randomSpec,
  SERVED,
} from './sockets-world.ts';

/** Sockets that are open at a time: few, so that each has a history. */
const OPEN = 6;
const CHANGES = 0.06;
/** How often a socket is connected again where chance decides to whom. */
const AGAIN = 30;
/** The clock that the program reads may be so far behind the one by which a backend was given up, ms. */
const CLOCK_BEHIND = 20;

/** A socket of the model and its number in the process. */
interface Held {
  readonly socket: Socket;
  readonly id: number;
  readonly caller: Caller;
  /** Of the addresses that it names: an IPv6 socket may talk IPv4. */
  readonly talks: Family;
  /** Its calls until now, for people. */
  readonly calls: string[];
  /**
   * A connect() failed for want of a route: Linux sends what follows to that address over the old route, from the second
   * datagram on (IPv4; `cork.fl` of the socket).
   */
  isAstray?: boolean;
}

/** What came of a call, in the words of the model. */
interface Seen {
  readonly error: string | null;
  readonly told?: Place | undefined;
  readonly text?: string | undefined;
}

interface Done {
  readonly what: string;
  readonly allowed: readonly Outcome[];
  readonly seen: Seen;
  /** Where a socket was connected to, if chance alone decided which of several that is. */
  readonly again?: Place;
}

/** A place as the socket has to name it. */
function namedBy({ socket, talks }: Held, [address, port]: Place): Place {
  return [socket.family === 6 && talks === 4 ? `::ffff:${address}` : address, port];
}

const protoOf = (key: string): 'tcp' | 'udp' => (key.charCodeAt(18) === PROTOS.tcp ? 'tcp' : 'udp');
const placeOfKey = (key: string): Place => {
  const bytes = Buffer.from(key, 'latin1');
  return [ipText(bytes.subarray(0, 16)), bytes.readUInt16BE(16)];
};
const nameOf = (key: string): string => placeOfKey(key).join(' ');
const write = (value: unknown): string => JSON.stringify(value);

/**
 * @param options.path another build of the object file.
 * @param options.seen takes the names of all that was counted.
 * @param options.samples takes, of each pick by chance among n backends of one weight, n and whether it was the first of them.
 */
export async function openSockets(
  random: Random,
  lab: SocketsLab,
  options: { path?: string; seen?: Set<string>; samples: Samples },
): Promise<Subject> {
  const spec = randomSpec(random);
  const { seen, samples, path } = options;
  const { cgroup, netnsCookie } = lab;
  const balancer = await SocketBalancer.open({
    ...{ cgroup, netnsCookie, spec },
    ...(path === undefined ? {} : { path }),
  });
  const served = (['tcp', 'udp'] as const).flatMap((proto) => SERVED.map((place) => keyOf(proto, place)));
  const model = new SocketsModel(spec, new Set(served));
  const sums = new Map<string, number>();
  const services = new Map<string, Service>();
  let addresses: readonly string[] = [];
  let held: Held[] = [];
  let before = counted();

  for (const name of NAMES) if (random.chance(0.7)) services.set(name, randomService(random, name));
  await apply([...services.values()], random.pick(NODES));

  function counted(): { counts: Map<string, number>; picks: Map<string, number> } {
    const counts = new Map(Object.entries({ ...balancer.counters(), ...balancer.drops() }));
    return { counts, picks: balancer.picked() };
  }

  async function apply(changed: readonly Service[], node: readonly string[]): Promise<void> {
    if (node !== addresses) balancer.move(node);
    addresses = node;
    balancer.set(...changed);
    model.configure([...services.values()], addresses);
    await sleep(CLOCK_BEHIND);
    before = counted(); // counters of a backend that is given up are gone
  }

  async function change(): Promise<string> {
    const name = random.pick(NAMES);
    const old = services.get(name);
    if (random.chance(0.1)) {
      await apply([], random.pick(NODES));
      return `the node has ${addresses.join(' ') || 'no addresses'}`;
    }
    if (old && random.chance(0.2)) {
      services.delete(name);
      balancer.remove(name);
      await apply([], addresses);
      return `without service ${name}`;
    }
    const next = randomService(random, name);
    // often the same service with other backends
    const service = old && random.chance(0.6) ? { ...old, backends: next.backends } : next;
    services.set(name, service);
    await apply([service], addresses);
    return `service ${write(service)}`;
  }

  async function open(): Promise<string> {
    const proto = random.chance(0.35) ? 'tcp' : 'udp';
    const family = random.pick(FAMILIES);
    const talks = family === 4 || random.chance(0.4) ? 4 : 6;
    const netns = random.chance(0.8) ? NETNSES[0] : NETNSES[1];
    const caller = lab.callers.get(netns) as Caller;
    const id = await caller.open(proto, family);
    held.push({ socket: model.open(proto, family, netns), id, caller, talks, calls: [] });
    return `open ${netns} ${proto} ${family}, talks ${talks}`;
  }

  async function close(one: Held): Promise<string> {
    held = held.filter((other) => other !== one);
    model.close(one.socket);
    await one.caller.closeSocket(one.id);
    return `close ${one.id}`;
  }

  /** One call, and what may come of it. */
  async function call(one: Held): Promise<Done> {
    const { socket, id, caller, talks } = one;
    const place = random.pick(NAMED[talks]);
    const key = keyOf(socket.proto, place);
    const isUdp = socket.proto === 'udp';
    const dice = random.below(100);
    // answers on their way would be lost, or not, when a socket gets another peer
    if (
      socket.awaited.length > 0 &&
      (dice < 60 || socket.awaited.length > 3 || socket.connected !== undefined)
    ) {
      const allowed = model.receive(socket);
      const { error, text, from } = await caller.receive(id);
      return { what: 'receive', allowed, seen: { error, text, told: from } };
    }
    if (dice < 15) {
      const allowed = model.getpeername(socket);
      const { error, peer } = await caller.call('peer', { id });
      return { what: 'getpeername', allowed, seen: { error, told: peer } };
    }
    // one of IPv6 still hears the old peer's address alone: Linux forgets the port only
    if (isUdp && talks === 4 && socket.connected !== undefined && dice < 22) {
      const allowed = model.disconnect(socket);
      return { what: 'disconnect', allowed, seen: { error: await caller.disconnect(id) } };
    }
    if (isUdp && !one.isAstray && (socket.connected !== undefined ? dice < 60 : dice < 20)) {
      const allowed = model.send(socket);
      return { what: 'send', allowed, seen: { error: await caller.send(id) } };
    }
    if (isUdp && socket.connected === undefined && dice < 80) {
      const allowed = model.sendTo(socket, key);
      return {
        what: `sendto ${place.join(' ')}`,
        allowed,
        seen: { error: await caller.send(id, namedBy(one, place)) },
      };
    }
    if (isUdp && socket.awaited.length > 0) {
      const allowed = model.receive(socket);
      const { error, text, from } = await caller.receive(id);
      return { what: 'receive', allowed, seen: { error, text, told: from } };
    }
    return await connect(one, place);
  }

  async function connect(one: Held, place: Place): Promise<Done> {
    const { socket, id, caller, talks } = one;
    const key = keyOf(socket.proto, place);
    const allowed = model.connect(socket, key);
    const error = await caller.connect(id, namedBy(one, place));
    if (error === null) one.isAstray = false;
    else if (error === 'ENETUNREACH' && socket.proto === 'udp' && talks === 4) one.isAstray = true;
    const again = socket.proto === 'udp' && model.areAlike(allowed, socket, key) ? place : undefined;
    return { what: `connect ${place.join(' ')}`, allowed, seen: { error }, ...(again && { again }) };
  }

  /** Whether that came of a call. */
  function fits(outcome: Outcome, one: Held, what: { seen: Seen; counts: Counts; picks: Counts }): boolean {
    const { error, counts, picked, told, sender } = outcome;
    if (error !== what.seen.error) return false;
    if (compareSums(new Map(Object.entries(counts)), new Map(Object.entries(what.counts))).length > 0)
      return false;
    if (write(what.picks) !== write(picked === undefined ? {} : { [nameOf(picked)]: 1 })) return false;
    if (told !== undefined && write(what.seen.told) !== write(placeOfKey(told))) return false;
    if (sender === undefined) return true;
    return what.seen.text === textOf(one.socket.netns, protoOf(sender), ...placeOfKey(sender));
  }

  /** Finds what came of a call among what may, and goes on from there. */
  function judge(
    one: Held,
    { what, allowed, seen: result }: Done,
  ): { differences: readonly string[]; picked?: string | undefined } {
    const now = counted();
    const [counts, picks] = [since(before.counts, now.counts), since(before.picks, now.picks)];
    before = now;
    for (const name of Object.keys(counts)) seen?.add(name);
    const outcome = allowed.find((each) => fits(each, one, { seen: result, counts, picks }));
    if (!outcome) {
      const { proto, family, netns } = one.socket;
      const differences = [
        `a ${proto} socket of IPv${family}, ${netns}; before: ${one.calls.join(', ')}`,
        what,
        `seen: ${write({ ...result, counts, picks })}`,
        ...allowed.map((each) => `allowed: ${inWords(each)}`),
      ];
      return { differences };
    }
    one.calls.push(`${what} → ${inWords(outcome)}`);
    outcome.commit();
    for (const [name, count] of Object.entries(outcome.counts))
      for (let i = 0; i < count; i++) add(sums, name);
    return { differences: [], picked: outcome.picked };
  }

  return {
    async shoot() {
      if (random.chance(CHANGES)) {
        await change();
        return [];
      }
      if (held.length < 2 || (held.length < OPEN && random.chance(0.1))) {
        await open();
        return [];
      }
      const one = random.pick(held);
      if (random.chance(one.socket.proto === 'tcp' && one.socket.awaited.length === 0 ? 0.2 : 0.03)) {
        await close(one);
        return [];
      }
      const first = await call(one);
      let judged = judge(one, first);
      // what chance decides is asked several times, each next to the time before
      for (let i = 0; i < AGAIN && first.again && judged.differences.length === 0; i++) {
        const { picked } = judged;
        const next = await connect(one, first.again);
        judged = judge(one, next);
        if (next.again) samples.add(next.allowed.length, judged.picked === picked);
      }
      return judged.differences;
    },
    sums: () => [...compareSums(sums, counted().counts), ...samples.improbable()],
    async close() {
      for (const one of held) await one.caller.closeSocket(one.id);
      balancer.close();
    },
  };
}

/** What became more. */
function since(
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): Record<string, number> {
  const more: Record<string, number> = {};
  for (const [name, count] of now) {
    const difference = count - (before.get(name) ?? 0);
    if (difference !== 0) more[name] = difference;
  }
  return more;
}

function inWords({ error, counts, picked, told, sender }: Outcome): string {
  const names = Object.entries({ picked, told, sender }).flatMap(([name, key]) =>
    key === undefined ? [] : [`${name} ${nameOf(key)}`],
  );
  return [write(error), write(counts), ...names].join(', ');
}
