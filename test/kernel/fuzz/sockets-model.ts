// SPDX-License-Identifier: Apache-2.0

/**
 * What processes meet when a SocketLB looks at their calls, written from docs/reference/socket-lb.md and
 * docs/adr/0029-sockets-at-a-cgroup.md. Of each call it says all that may come of it; which of that came of it decides how it
 * goes on. It knows no time: affinities and flows of a history are younger than their timeouts.
 */
import type { LoadBalancer, Service, SocketLB } from '../../../src/api/generated/types.ts';
import { type ModelServices, modelServices } from './load-balancer-services.ts';

/** As load-balancer-services.ts has it: address, port and protocol, one character a byte. */
type Place = string;
export type Counts = Readonly<Record<string, number>>;

/** One thing that may come of a call. */
export interface Outcome {
  /** Name of errno; null: the call succeeds. */
  readonly error: string | null;
  /** What the program counts, and drops by reason. */
  readonly counts: Counts;
  /** The backend that was newly picked. */
  readonly picked?: Place;
  /** Whom the process is told: the sender of a datagram, a peer. */
  readonly told?: Place;
  /** Who sent what was received. */
  readonly sender?: Place;
  /** Goes on from here. */
  readonly commit: () => void;
}

/** A backend that somebody keeps. */
interface Kept {
  readonly backend: Place;
  /** Nobody listed it for a while: whether it was given up by then is a matter of seconds. */
  wasGone: boolean;
  /** Departures of it that its owner has heard of. */
  heard: number;
}

/** How often a Service listed a backend no longer while another one did. */
interface Departures {
  count: number;
  /** Nobody listed it for a while: its row may be another one. */
  isUnsure: boolean;
}

export interface Socket {
  readonly proto: 'tcp' | 'udp';
  readonly family: 4 | 6;
  /** Its network namespace. */
  readonly netns: string;
  /** Whom the kernel has connected it to. */
  connected?: Place | undefined;
  /** What its process named instead. */
  service?: Place | undefined;
  /** By service: backends that it keeps without being connected. */
  readonly flows: Map<Place, Kept>;
  /** By backend: whose address its answers get. Several: services share it, and the last one to send to it is the one. */
  readonly replies: Map<Place, Set<Place>>;
  /** Who is to answer, in no order. */
  readonly awaited: Place[];
}

type Settings = Pick<SocketLB, 'scope' | 'scopes' | 'noBackends' | 'udpDrainSeconds'>;
type ModelFrontend = NonNullable<ReturnType<ModelServices['frontends']['get']>>;

/** Network namespace of the node itself. */
export const HOST = 'host';
const LOOPBACK = ['127.0.0.1', '::1'];
const UDP = String.fromCharCode(17);
/** Places of a segment that are looked at for one that is not taken. */
const LOOKED_AT = 4;

const plus = (...all: readonly Counts[]): Counts => {
  const sum: Record<string, number> = {};
  for (const counts of all)
    for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
};

export class SocketsModel {
  readonly #settings: Settings;
  /** Where somebody listens. All else is unreachable. */
  readonly #served: ReadonlySet<Place>;
  #services: ModelServices = { frontends: new Map(), backends: new Map(), listed: new Map() };
  readonly #departures = new Map<Place, Departures>();
  readonly #affinities = new Map<string, Kept>();
  readonly sockets = new Set<Socket>();

  constructor(settings: Settings, served: ReadonlySet<Place>) {
    this.#settings = settings;
    this.#served = served;
  }

  configure(services: readonly Service[], addresses: readonly string[]): void {
    const { scopes, noBackends } = this.#settings;
    const spec = { scopes, noBackends, algorithm: 'Random', clients: 'Pods', clusterSources: [] };
    const node = { name: 'node-a', addresses: [...addresses, ...LOOPBACK] };
    const before = this.#services;
    this.#services = modelServices(spec as unknown as LoadBalancer, node, services.map(leftAlone));
    this.#depart(before.listed);
    const kept = [
      ...this.#affinities.values(),
      ...[...this.sockets].flatMap(({ flows }) => [...flows.values()]),
    ];
    for (const one of kept)
      if (!this.#services.backends.has(one.backend) && !this.#drains(one.backend)) one.wasGone = true;
  }

  #depart(before: ModelServices['listed']): void {
    const { listed, backends } = this.#services;
    const left = new Set(
      [...before].flatMap(([name, all]) => [...all].filter((one) => !listed.get(name)?.has(one))),
    );
    for (const place of left) {
      const known = this.#departures.get(place) ?? { count: 0, isUnsure: false };
      if (!backends.has(place)) known.isUnsure = true;
      else if (place.endsWith(UDP)) known.count++;
      this.#departures.set(place, known);
    }
  }

  /** Whether a flow may stay with its backend, go to another one, or both: which of them is not to be known. */
  #ways(frontend: ModelFrontend, { backend, heard }: Kept): { stays: boolean; moves: boolean } {
    const { count, isUnsure } = this.#departures.get(backend) ?? { count: 0, isUnsure: false };
    const isServed = this.#services.backends.get(backend) !== true || frontend.candidates.has(backend);
    if (isServed) return { stays: true, moves: false };
    return { stays: isUnsure || heard === count, moves: isUnsure || heard !== count };
  }

  open(proto: 'tcp' | 'udp', family: 4 | 6, netns: string): Socket {
    const socket = { proto, family, netns, flows: new Map(), replies: new Map(), awaited: [] };
    this.sockets.add(socket);
    return socket;
  }

  close(socket: Socket): void {
    this.sockets.delete(socket);
  }

  connect(socket: Socket, to: Place): Outcome[] {
    // the call that tells of a connection that was made meanwhile succeeds
    if (socket.proto === 'tcp' && socket.connected !== undefined) return [without('EISCONN'), without(null)];
    const frontend = this.#frontend(socket, to);
    const settle = (connected: Place, service?: Place) => () => {
      socket.connected = connected;
      socket.service = service;
      if (socket.proto === 'tcp') socket.awaited.push(connected);
    };
    if (!frontend) return this.#served.has(to) ? [without(null, settle(to))] : [without('ENETUNREACH')];
    return this.#choices(socket, frontend, to, false).map((choice) =>
      choice.error === null ? also(choice, { connected: 1 }, settle(choice.picked as Place, to)) : choice,
    );
  }

  /** connect() with AF_UNSPEC. */
  disconnect(socket: Socket): Outcome[] {
    return [
      without(null, () => {
        socket.connected = undefined;
        socket.service = undefined;
      }),
    ];
  }

  /** send() to the peer. */
  send(socket: Socket): Outcome[] {
    const { connected } = socket;
    if (connected === undefined) return [without('EDESTADDRREQ')];
    return [without(null, () => socket.awaited.push(connected))];
  }

  /** sendto(), of UDP. */
  sendTo(socket: Socket, to: Place): Outcome[] {
    const frontend = this.#frontend(socket, to);
    if (!frontend)
      return this.#served.has(to) ? [without(null, () => socket.awaited.push(to))] : [without('ENETUNREACH')];
    const flow = socket.flows.get(to);
    const fresh = (counts: Counts): Outcome[] =>
      this.#choices(socket, frontend, to, true).map((choice) => {
        if (choice.error !== null) return also(choice, counts);
        const backend = choice.picked as Place;
        return also(choice, plus(counts, { flows: 1, sent: 1 }), () => {
          socket.flows.set(to, { backend, wasGone: false, heard: 0 });
          socket.replies.set(backend, new Set([to]));
          socket.awaited.push(backend);
        });
      });
    if (!flow) return fresh({});
    const outcomes: Outcome[] = [];
    const { stays, moves } = this.#ways(frontend, flow);
    if (this.#lives(flow) && stays)
      outcomes.push({
        error: null,
        counts: { sent: 1 },
        commit: () => {
          flow.wasGone = false;
          flow.heard = this.#departures.get(flow.backend)?.count ?? 0;
          socket.replies.set(flow.backend, new Set([...(socket.replies.get(flow.backend) ?? []), to]));
          socket.awaited.push(flow.backend);
        },
      });
    if (!this.#lives(flow) || flow.wasGone || moves) outcomes.push(...fresh({ repicked: 1 }));
    return outcomes;
  }

  /** recv() of TCP; recvfrom() of UDP. Somebody must be awaited. */
  receive(socket: Socket): Outcome[] {
    return [...new Set(socket.awaited)].flatMap((sender) => {
      const commit = (): void => {
        socket.awaited.splice(socket.awaited.indexOf(sender), 1);
      };
      if (socket.proto === 'tcp') return [{ error: null, counts: {}, sender, commit }];
      const isPeer = socket.service !== undefined && socket.connected === sender;
      const services = isPeer ? [socket.service as Place] : [...(socket.replies.get(sender) ?? [])];
      if (services.length === 0) return [{ error: null, counts: {}, sender, told: sender, commit }];
      return services.map((told) => ({ error: null, counts: { received: 1 }, sender, told, commit }));
    });
  }

  getpeername(socket: Socket): Outcome[] {
    const { connected, service } = socket;
    if (connected === undefined) return [without('ENOTCONN')];
    if (service === undefined) return [{ ...without(null), told: connected }];
    return [{ ...without(null), counts: { peerNames: 1 }, told: service }];
  }

  /** Whether these are all candidates of a frontend, several and of one weight, so that each is as likely as another. */
  areAlike(outcomes: readonly Outcome[], socket: Socket, to: Place): boolean {
    const weights = [...(this.#frontend(socket, to)?.candidates.values() ?? [])];
    return weights.length > 1 && weights.length === outcomes.length && new Set(weights).size === 1;
  }

  #frontend({ netns }: Socket, to: Place): ModelFrontend | undefined {
    if (netns !== HOST && this.#settings.scope === 'Host') return undefined;
    return this.#services.frontends.get(to);
  }

  #drains(backend: Place): boolean {
    return backend.endsWith(UDP) && this.#settings.udpDrainSeconds > 0;
  }

  /** Whether it may still be in use. */
  #lives({ backend }: Kept): boolean {
    return this.#services.backends.has(backend) || this.#drains(backend);
  }

  /** What a pick may bring. `keeps`: the socket is not connected, and tells its services apart by their backends. */
  #choices(socket: Socket, frontend: ModelFrontend, to: Place, keeps: boolean): Outcome[] {
    const { candidates, elsewhere, reject, affinity, group } = frontend;
    if (candidates.size === 0) {
      const reason = elsewhere ? 'NoLocalBackend' : 'NoBackend';
      return [
        { ...without(reject && !elsewhere ? 'ECONNREFUSED' : 'EHOSTUNREACH'), counts: { [reason]: 1 } },
      ];
    }
    const client = `${socket.netns} ${to.startsWith('\0'.repeat(10)) && to.slice(10, 12) === '\xff\xff' ? 4 : 6} ${group}`;
    const outcome = (picked: Place, counts: Counts, isShared: boolean): Outcome => ({
      error: null,
      counts: isShared ? plus(counts, { sharedBackends: 1 }) : counts,
      picked,
      commit: () => {
        if (affinity > 0) this.#affinities.set(client, { backend: picked, wasGone: false, heard: 0 });
      },
    });
    const others = (backend: Place): ReadonlySet<Place> =>
      (keeps ? socket.replies.get(backend) : undefined) ?? new Set([to]);
    const mayBeTaken = (backend: Place) => [...others(backend)].some((one) => one !== to);
    const mayBeFree = (backend: Place) => others(backend).has(to);
    const outcomes: Outcome[] = [];
    const held = affinity > 0 ? this.#affinities.get(client) : undefined;
    const isHeld = held !== undefined && candidates.has(held.backend);
    if (isHeld) {
      const hit = { affinityHits: 1 };
      if (mayBeFree(held.backend)) outcomes.push(outcome(held.backend, hit, false));
      if (mayBeTaken(held.backend)) outcomes.push(outcome(held.backend, hit, true));
      if (!held.wasGone) return outcomes;
    }
    const all = [...candidates.keys()];
    const areAllSeen = sizeOf([...candidates.values()]) <= LOOKED_AT;
    for (const backend of all) {
      if (mayBeFree(backend)) outcomes.push(outcome(backend, {}, false));
      if (mayBeTaken(backend) && (!areAllSeen || all.every(mayBeTaken)))
        outcomes.push(outcome(backend, {}, true));
    }
    return outcomes;
  }
}

/** Source ranges are for those who see the source. Its addresses are still addresses of the service. */
function leftAlone(service: Service): Service {
  const nowhere = 'nowhere' as unknown as Service['frontends'][number]['scope'];
  const frontends = service.frontends.map((one) =>
    one.sourceRanges.length > 0 || one.protocol === 'SCTP' ? { ...one, scope: nowhere } : one,
  );
  return { ...service, frontends };
}

/** Places that the weights take. */
function sizeOf(weights: readonly number[]): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  const unit = weights.reduce(gcd, 0) || 1;
  return weights.reduce((sum, weight) => sum + weight / unit, 0);
}

/** Nothing is counted. */
function without(error: string | null, commit: () => void = () => undefined): Outcome {
  return { error, counts: {}, commit };
}

function also(outcome: Outcome, counts: Counts, commit: () => void = () => undefined): Outcome {
  return {
    ...outcome,
    counts: plus(outcome.counts, counts),
    commit: () => {
      outcome.commit();
      commit();
    },
  };
}
