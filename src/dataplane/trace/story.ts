// SPDX-License-Identifier: Apache-2.0
/** The events of one packet → its way through the chain, by the names of the objects that decided. Pure. */
import { CUBE_DECISIONS, dropReason } from '../../api/generated/reasons.ts';
import type { Explanation } from '../../cubes/cube-type.ts';
import type { CubeEvent } from '../generated/tcx.ts';
import { EdgeKind, edgeText } from '../layout.ts';
import type { NamedCube, TraceNames } from './names.ts';
import { packetWords } from './packet-words.ts';

export interface Decision {
  /** As in the reference of the cube type. */
  readonly decision: string;
  readonly description: string;
  /** The object that it was about. */
  readonly object?: string;
}

export interface Drop {
  readonly reason: string;
  readonly description: string;
  readonly remedy: string;
  /** The rule or policy that refused the packet, where one did. */
  readonly rule?: Explanation;
}

export interface Hop {
  /** `namespace/name`. */
  readonly cube: string;
  readonly type: string;
  /** Port that the packet came in by. */
  readonly port: string;
  readonly packet: string;
  readonly decisions: readonly Decision[];
  /** What the packet was refused for; it may have become an answer to its sender. */
  readonly drop?: Drop;
  /** Ports that it, or copies of it, left by. */
  readonly outputs: readonly { readonly port: string; readonly packet: string; readonly to: string }[];
}

/** `Answered`: refused, and the sender told. `Unknown`: the end of the story is missing. */
export type TraceVerdict = 'Delivered' | 'Sent' | 'Host' | 'Dropped' | 'Answered' | 'Unknown';

export interface Story {
  readonly packet: string;
  /** Bytes of the frame. */
  readonly length: number;
  /** Interface that it came in by; absent where a dry run began at a cube. */
  readonly interface?: string;
  readonly hops: readonly Hop[];
  readonly verdict: TraceVerdict;
  /** Where it went, in words. */
  readonly to?: string;
  /** Who dropped or refused it: a cube, or `entry`. */
  readonly by?: string;
  readonly drop?: Drop;
}

/** EVENT_* of bpf/include/events.h. */
export const EventKind = { Hop: 1, Decision: 2, Output: 3, Drop: 4, Enter: 5, Pass: 6 } as const;

const PASSES: Readonly<Record<number, string>> = {
  1: 'the interface is none of the chain',
  2: "the destination is the host's own address",
  3: 'no chain is programmed, and the failure policy is Open',
  4: 'the cube leaves it to the host, which shares the interface',
};

interface OpenHop {
  readonly slot: number;
  /** Cubes passed so far, this one counted. */
  readonly depth: number;
  readonly cube: NamedCube | undefined;
  readonly hop: { -readonly [K in keyof Hop]: Hop[K] } & {
    decisions: Decision[];
    outputs: Hop['outputs'][number][];
  };
}

interface End {
  verdict: TraceVerdict;
  /** Cubes passed until then. */
  depth: number;
  to?: string;
  by?: string;
  drop?: Drop;
}

/** `events` of one packet, in order; at least one. */
export function storyOf(events: readonly CubeEvent[], names: TraceNames): Story {
  const hops: OpenHop[] = [];
  let end: End = { verdict: 'Unknown', depth: 0 };
  for (const event of events) end = tell(event, hops, end, names) ?? end;
  const first = events[0] as CubeEvent;
  const entered = events.find(({ kind }) => kind === EventKind.Enter);
  const { depth: _, ...said } = end;
  const name = entered && (names.interface(entered.ifindex) ?? `interface ${entered.ifindex}`);
  return {
    packet: packetWords(first),
    length: first.length,
    ...(name === undefined ? {} : { interface: name }),
    hops: hops.map(({ hop }) => hop),
    ...said,
  };
}

/** Adds an event to the story. Returns the end that it makes, if it does. */
function tell(event: CubeEvent, hops: OpenHop[], end: End, names: TraceNames): End | undefined {
  const { kind, slot, value, hops: depth } = event;
  if (kind === EventKind.Hop) {
    hops.push(openHop(event, names));
    return undefined;
  }
  // A copy may have come back to the same cube meanwhile.
  const open = slot === 0 ? undefined : hops.findLast((one) => one.slot === slot && one.depth === depth);
  switch (kind) {
    case EventKind.Decision:
      open?.hop.decisions.push(decisionOf(event, open.cube));
      return undefined;
    case EventKind.Output: {
      const to = open?.cube?.hook === 'XDP' ? xdpEdgeWords(event, names) : edgeWords(event, names);
      const port = open?.cube?.port(value) ?? String(value);
      open?.hop.outputs.push({ port, packet: packetWords(event), to: to.text });
      if (to.verdict === undefined) return undefined;
      // A drop before it was of the packet that this one answers, unless it was of a copy, further on.
      if (end.drop === undefined || depth < end.depth) return { verdict: to.verdict, to: to.text, depth };
      return { ...end, verdict: 'Answered', to: to.text, depth };
    }
    case EventKind.Drop: {
      const rule = event.object === 0n ? undefined : open?.cube?.explain(event.object, event.tuple);
      const drop = { ...dropOf(open?.cube?.type ?? '', value), ...(rule === undefined ? {} : { rule }) };
      if (open !== undefined) open.hop.drop = drop;
      const by = open?.hop.cube ?? (slot === 0 ? 'entry' : `slot ${slot}`);
      return { verdict: 'Dropped', by, drop, depth };
    }
    case EventKind.Pass:
      return { verdict: 'Host', to: `the host's stack: ${PASSES[value] ?? `reason ${value}`}`, depth };
    default:
      return undefined;
  }
}

function openHop(event: CubeEvent, names: TraceNames): OpenHop {
  const cube = names.cube(event.slot);
  return {
    slot: event.slot,
    depth: event.hops,
    cube,
    hop: {
      cube: cube?.key ?? `slot ${event.slot}`,
      type: cube?.type ?? 'Unknown',
      port: cube?.port(event.value) ?? String(event.value),
      packet: packetWords(event),
      decisions: [],
      outputs: [],
    },
  };
}

function decisionOf(event: CubeEvent, cube: NamedCube | undefined): Decision {
  const known = CUBE_DECISIONS[cube?.type ?? '']?.find(({ id }) => id === event.value);
  if (known === undefined)
    return { decision: `Decision${event.value}`, description: 'This version does not know it.' };
  const base = { decision: known.name, description: known.description };
  if (known.object === undefined) return base;
  const object =
    cube?.nameObject(known.object, event.object, event.tuple) ?? `${known.object} ${event.object}`;
  return { ...base, object };
}

export function dropOf(type: string, id: number): Drop {
  const reason = dropReason(type, id);
  if (reason === undefined)
    return { reason: `Reason${id}`, description: 'This version does not know it.', remedy: '' };
  return { reason: reason.name, description: reason.description, remedy: reason.remedy };
}

/** Whether a packet of which these are the events at XDP, in order, goes on to TC. */
export function leavesXdp(events: readonly CubeEvent[]): boolean {
  const last = events.at(-1);
  return last?.kind === EventKind.Output && edgeKind(last.object) === EdgeKind.Pass;
}

/** What comes after XDP tells the rest of the story; without cubes in TC there is the host alone. */
function xdpEdgeWords(event: CubeEvent, names: TraceNames): ReturnType<typeof edgeWords> {
  if (edgeKind(event.object) !== EdgeKind.Pass) return edgeWords(event, names);
  return { text: 'what is behind XDP', verdict: 'Host' };
}

function edgeKind(word: bigint): number {
  return Number((word >> 48n) & 0xffn);
}

function edgeWords(event: CubeEvent, names: TraceNames): { text: string; verdict?: TraceVerdict } {
  const word = event.object;
  const kind = edgeKind(word);
  const target = Number(word & 0xffffffffn);
  const device = names.interface(target) ?? `interface ${target}`;
  switch (kind) {
    case EdgeKind.Cube: {
      const next = names.cube(target);
      const port = Number((word >> 32n) & 0xffffn);
      return { text: `${next?.key ?? `slot ${target}`} port ${next?.port(port) ?? port}` };
    }
    case EdgeKind.Pod: {
      const pod = names.podAt(event.tuple.dst);
      if (pod === undefined) return { text: `the pod ${event.tuple.dst}`, verdict: 'Delivered' };
      return { text: `Pod ${pod.namespace}/${pod.name} at ${pod.interface}`, verdict: 'Delivered' };
    }
    case EdgeKind.Tunnel:
      return { text: `a tunnel to ${event.via} by ${device}`, verdict: 'Sent' };
    case EdgeKind.Neigh:
    case EdgeKind.Route:
      return { text: `${event.via === '::' ? event.tuple.dst : event.via} on ${device}`, verdict: 'Sent' };
    case EdgeKind.Device:
      return { text: device, verdict: 'Sent' };
    case EdgeKind.Stack:
      return { text: `the host by ${device}`, verdict: 'Host' };
    case EdgeKind.Pass:
      return { text: "the host's stack, as if no chain were there", verdict: 'Host' };
    default:
      return { text: edgeText(word) };
  }
}
