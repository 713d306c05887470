// SPDX-License-Identifier: Apache-2.0
/** An event of the flow log → what a person or a program reads, with the names of pods, Services and policies. Pure. */
import type { Explanation } from '../../cubes/cube-type.ts';
import type { FlowEvent } from '../generated/tcx.ts';
import type { NamedCube, TraceNames } from '../trace/names.ts';
import { PKT, PROTOCOL_TITLES } from '../trace/packet-words.ts';
import { dropOf } from '../trace/story.ts';

/** FLOW_* of bpf/include/flow.h, by number. */
export const VERDICTS = ['Forwarded', 'Dropped', 'Audit'] as const;
export type FlowVerdict = (typeof VERDICTS)[number];

export interface FlowPeer {
  /** `World`: none of the cluster that this node knows. */
  readonly kind: 'Pod' | 'Node' | 'Service' | 'World';
  /** Of a pod or Service. */
  readonly namespace?: string;
  /** Of a Service, a pod of this node, or this node; of pods and nodes elsewhere it is not known here. */
  readonly name?: string;
  readonly address: string;
  /** Absent without ports. */
  readonly port?: number;
}

/** One line of the flow log. Names and values stay. */
export interface FlowRecord {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly node: string;
  /** `namespace/name` of the cube that tells it, or `entry`. */
  readonly cube: string;
  readonly verdict: FlowVerdict;
  /** Of a drop, as in docs/reference/drop-reasons.md; with Audit what it would have been dropped for. */
  readonly reason?: string;
  /** The rule or policy that decided. */
  readonly rule?: Explanation;
  readonly direction: 'Ingress' | 'Egress';
  readonly family?: 'IPv4' | 'IPv6';
  /** `TCP`, …, or a number; absent for what is no IP packet. */
  readonly protocol?: string;
  readonly source: FlowPeer;
  readonly destination: FlowPeer;
  /** Of a connection to a Service: who got it. */
  readonly backend?: FlowPeer;
  /** Bytes of the packet that the record is about. */
  readonly length: number;
}

export interface FlowNames extends TraceNames {
  readonly node: string;
  /** Whether the address is one of this node. */
  isOwn(address: string): boolean;
  isOtherNode(address: string): boolean;
  /** Of the pods that have it, on whatever node, as far as policies look at them. */
  namespaceAt(address: string): string | undefined;
}

/** @param boot milliseconds since the epoch when the clock of the programs was 0. */
export function flowRecord(event: FlowEvent, names: FlowNames, boot: number): FlowRecord {
  const { tuple, flags, slot, object, reason } = event;
  const cube = slot === 0 ? undefined : names.cube(slot);
  const verdict = VERDICTS[event.verdict] ?? 'Dropped';
  const rule = cube?.explain(object, tuple);
  const service = cube?.serviceOf(tuple, verdict === 'Forwarded' ? object : undefined);
  const hasPorts = (flags & PKT.PORTS) !== 0 && (flags & PKT.ICMP_ERROR) === 0;
  const peer = (address: string, port: number) => peerOf(address, hasPorts ? port : undefined, names);
  const { backend } = service ?? {};
  const destination = peer(tuple.dst, tuple.dport);
  return {
    time: new Date(boot + Number(event.time / 1_000_000n)).toISOString(),
    node: names.node,
    cube: cube?.key ?? (slot === 0 ? 'entry' : `slot ${slot}`),
    verdict,
    ...(verdict !== 'Forwarded' ? { reason: dropOf(cube?.type ?? '', reason).reason } : {}),
    ...(rule === undefined ? {} : { rule }),
    direction: rule?.origin.direction ?? directionOf(event, cube, names),
    ...((flags & PKT.IP) === 0
      ? {}
      : {
          family: tuple.src.includes(':') ? 'IPv6' : 'IPv4',
          protocol: PROTOCOL_TITLES[event.l4Proto] ?? `${event.l4Proto}`,
        }),
    source: peer(tuple.src, tuple.sport),
    destination:
      service === undefined
        ? destination
        : { ...destination, kind: 'Service', namespace: service.namespace, name: service.name },
    ...(backend === undefined ? {} : { backend: peerOf(backend.address, backend.port, names) }),
    length: event.length,
  };
}

/** As the pod at the end sees it: cubes between an inside and an outside say it by the port. */
function directionOf(
  { port, tuple }: FlowEvent,
  cube: NamedCube | undefined,
  names: FlowNames,
): 'Ingress' | 'Egress' {
  const name = cube?.port(port);
  if (name === 'outside') return 'Ingress';
  return name === 'inside' || names.podAt(tuple.src) !== undefined ? 'Egress' : 'Ingress';
}

function peerOf(address: string, port: number | undefined, names: FlowNames): FlowPeer {
  const at = { address, ...(port === undefined ? {} : { port }) };
  const pod = names.podAt(address);
  if (pod !== undefined) return { kind: 'Pod', namespace: pod.namespace, name: pod.name, ...at };
  if (names.isOwn(address)) return { kind: 'Node', name: names.node, ...at };
  if (names.isOtherNode(address)) return { kind: 'Node', ...at };
  const namespace = names.namespaceAt(address);
  return namespace === undefined ? { kind: 'World', ...at } : { kind: 'Pod', namespace, ...at };
}
