// SPDX-License-Identifier: Apache-2.0
/** What the agent found and did → status of Cubes, CubeLinks and the CubeNode. Pure; equal input gives an equal status. */
import { type NewCondition, removeCondition, setCondition } from '../api/conditions.ts';
import type { Condition, CubeLinkStatus, CubeNodeStatus, CubeStatus } from '../api/generated/types.ts';
import type { Finding, Graph, WireEnd } from './graph-model.ts';
import { CUBE_ABI } from './layout.ts';
import { type CubeObject, keyOf, type LinkObject } from './objects.ts';
import type { SourceMeta } from './sources/source.ts';

/** Why the kernel does not hold what it should, for one object or for all. */
export interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** What is known of one object when its status is made. */
export interface Verdict {
  readonly metadata: SourceMeta;
  /** Of its newest generation. */
  readonly findings: readonly Finding[];
  /** Generation that is in the kernel; undefined: none. */
  readonly programmed: number | undefined;
  /** Why a newer one is not in force yet, while nothing stands against it. */
  readonly waiting: string | undefined;
  /** The last plan failed. */
  readonly failure: Failure | undefined;
  /** Names of ports or ends that are down. */
  readonly down: readonly string[];
  /** What of its policies is not enforced, in words. */
  readonly audit?: string | undefined;
}

type Old = { conditions?: readonly Condition[] } | undefined;

const condition = (
  type: NewCondition['type'],
  status: NewCondition['status'],
  reason: string,
  message: string,
): NewCondition => ({ type, status, reason, message });

export function conditionsOf(verdict: Verdict, old: Old, now: Date): Condition[] {
  const { generation } = verdict.metadata;
  const all = decide(verdict);
  let list: readonly Condition[] = old?.conditions ?? [];
  for (const next of all) {
    const at =
      next.type === 'Programmed' && next.status === 'True' ? (verdict.programmed ?? generation) : generation;
    list = setCondition(list, next, at, now);
  }
  for (const type of ['Reconciling', 'Stalled'] as const) {
    if (!all.some((next) => next.type === type)) list = removeCondition(list, type);
  }
  return [...list];
}

function decide(verdict: Verdict): NewCondition[] {
  const { findings, programmed, waiting, failure, down, metadata } = verdict;
  const refusal = findings.find((finding) => finding.condition === 'Accepted');
  const missing = findings.filter((finding) => finding.condition === 'ResolvedRefs');
  const kernel = findings.find((finding) => finding.condition === 'Programmed') ?? failure;
  const current = programmed === metadata.generation;
  const result: NewCondition[] = [];
  if (refusal !== undefined) {
    result.push(condition('Accepted', 'False', refusal.reason, refusal.message));
  } else if (waiting !== undefined) {
    result.push(condition('Accepted', 'Unknown', 'Pending', waiting));
  } else {
    result.push(condition('Accepted', 'True', 'Accepted', 'This release does what the object asks for'));
  }
  const first = missing[0];
  if (first === undefined)
    result.push(condition('ResolvedRefs', 'True', 'ResolvedRefs', 'All that it names is there'));
  else
    result.push(condition('ResolvedRefs', 'False', first.reason, missing.map((m) => m.message).join('; ')));
  result.push(programmedCondition(verdict, refusal, kernel, current));
  const ready =
    current && first === undefined && refusal === undefined && kernel === undefined && down.length === 0;
  if (ready && verdict.audit !== undefined)
    result.push(condition('Ready', 'True', 'PolicyAudit', `Packets pass, but ${verdict.audit}`));
  else if (ready) result.push(condition('Ready', 'True', 'Ready', 'Packets pass'));
  else if (refusal !== undefined) result.push(condition('Ready', 'False', 'NotAccepted', refusal.message));
  else if (first !== undefined) result.push(condition('Ready', 'False', 'RefsNotResolved', first.message));
  else if (!current || kernel !== undefined) {
    result.push(
      condition(
        'Ready',
        'False',
        'NotProgrammed',
        kernel?.message ?? waiting ?? 'It is not in the kernel yet',
      ),
    );
  } else result.push(condition('Ready', 'False', 'PortDown', `Down: ${down.join(', ')}`));
  if (refusal !== undefined) result.push(condition('Stalled', 'True', 'NotAccepted', refusal.message));
  else if (first !== undefined) result.push(condition('Stalled', 'True', 'RefsNotResolved', first.message));
  else if (kernel !== undefined) result.push(condition('Stalled', 'True', 'NotProgrammed', kernel.message));
  else if (!current)
    result.push(condition('Reconciling', 'True', 'Progressing', waiting ?? 'On its way to the kernel'));
  return result;
}

function programmedCondition(
  { programmed, waiting, metadata }: Verdict,
  refusal: Finding | undefined,
  kernel: Failure | undefined,
  current: boolean,
): NewCondition {
  const kept = programmed === undefined ? '' : `; generation ${programmed} stays in the kernel`;
  if (current && kernel === undefined)
    return condition('Programmed', 'True', 'Programmed', 'The kernel holds it');
  if (programmed !== undefined) {
    const why = refusal?.message ?? kernel?.message ?? waiting ?? 'work is under way';
    return condition(
      'Programmed',
      kernel === undefined ? 'True' : 'False',
      kernel?.reason ?? 'Programmed',
      `The kernel holds generation ${programmed}, not ${metadata.generation}: ${why}`,
    );
  }
  if (refusal !== undefined)
    return condition('Programmed', 'False', 'NotAccepted', `It is not accepted${kept}`);
  if (kernel !== undefined) return condition('Programmed', 'False', kernel.reason, kernel.message);
  return condition(
    'Programmed',
    'False',
    waiting === undefined ? 'Pending' : 'WaitingForCommit',
    waiting ?? 'On its way to the kernel',
  );
}

/** Text of an end as others call it: `CUBE/PORT`, `Interface eth0`, `Pods`. */
export function endText(end: WireEnd): string {
  if (end.type === 'Cut') return `${end.cube.slice(end.cube.indexOf('/') + 1)}, which is not programmed`;
  if (end.type === 'Host') return 'Stack';
  if (end.type === 'Cube') return `${end.cube.slice(end.cube.indexOf('/') + 1)}/${end.port}`;
  return end.type === 'Interface' ? `Interface ${end.name}` : end.type;
}

/** Whether packets pass an end. */
export function isUp(end: WireEnd, graph: Graph): boolean {
  if (end.type === 'Cube') return graph.cubes.has(end.cube);
  if (end.type === 'Next' || end.type === 'Cut') return false;
  return end.type === 'Interface' ? end.info?.up === true : true;
}

export function portsOf(key: string, graph: Graph): NonNullable<CubeStatus['ports']> {
  const ports: NonNullable<CubeStatus['ports']> = [];
  // What is at XDP has its links and no wires.
  const isAtXdp = graph.cubes.get(key)?.object.spec.hook === 'XDP';
  for (const { ends } of graph.links.values()) {
    for (const [i, end] of ends.entries()) {
      if (end.type !== 'Cube' || end.cube !== key) continue;
      const peer = isAtXdp ? ends[1 - i] : peerOf(graph, end);
      // A chain that is left out: its cube stands nowhere.
      if (peer === undefined) ports.push({ name: end.port, peer: 'Next', state: 'Down' });
      else ports.push({ name: end.port, peer: endText(peer), state: isUp(peer, graph) ? 'Up' : 'Down' });
    }
  }
  return ports.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What is behind a port in the end, with all that is spliced in. */
function peerOf(graph: Graph, port: { cube: string; port: string }): WireEnd | undefined {
  for (const { ends } of graph.wires) {
    const at = ends.findIndex(
      (end) => end.type === 'Cube' && end.cube === port.cube && end.port === port.port,
    );
    if (at >= 0) return ends[1 - at];
  }
  return undefined;
}

export function cubeStatus(
  object: CubeObject,
  verdict: Omit<Verdict, 'metadata' | 'down'>,
  graph: Graph,
  { tag, mode }: { tag: string | undefined; mode: NonNullable<CubeStatus['program']>['mode'] | undefined },
  old: unknown,
  now: Date,
): CubeStatus {
  const ports = verdict.programmed === undefined ? [] : portsOf(keyOf(object.metadata), graph);
  const down = ports.filter((port) => port.state !== 'Up').map((port) => port.name);
  return {
    observedGeneration: object.metadata.generation,
    ...(tag === undefined
      ? {}
      : { program: { tag, abi: CUBE_ABI, ...(mode === undefined ? {} : { mode }) } }),
    ports,
    conditions: conditionsOf({ ...verdict, metadata: object.metadata, down }, old as Old, now),
  };
}

export function linkStatus(
  object: LinkObject,
  verdict: Omit<Verdict, 'metadata' | 'down'>,
  graph: Graph,
  devices: ReadonlyMap<string, { readonly ifindex: number }>,
  old: unknown,
  now: Date,
): CubeLinkStatus {
  const link = graph.links.get(keyOf(object.metadata));
  const names = { Overlay: 'cubevxlan', Stack: 'cube0' } as const;
  const ends = link?.ends ?? [];
  const endpoints: NonNullable<CubeLinkStatus['endpoints']> = ends.map((own, i) => {
    // The link of a chain that is spliced in leads to whoever is next to the chain.
    const inner = ends[1 - i];
    const isOuter = own.type === 'Next' || (own.type !== 'Cube' && object.spec.splice !== undefined);
    const end = (isOuter && inner?.type === 'Cube' && peerOf(graph, inner)) || own;
    const device = end.type === 'Overlay' || end.type === 'Stack' ? devices.get(names[end.type]) : undefined;
    const ifindex = end.type === 'Interface' ? end.info?.ifindex : device?.ifindex;
    return {
      type: own.type,
      peer: endText(end),
      ...(ifindex === undefined ? {} : { ifindex }),
      state: isUp(end, graph) ? 'Up' : 'Down',
    };
  });
  const down = endpoints.filter((end) => end.state !== 'Up').map((end) => end.peer ?? end.type);
  const through = graph.through.get(keyOf(object.metadata));
  return {
    observedGeneration: object.metadata.generation,
    endpoints,
    ...(through === undefined ? {} : { through: [...through] }),
    conditions: conditionsOf({ ...verdict, metadata: object.metadata, down }, old as Old, now),
  };
}

export interface NodeFacts {
  readonly agentVersion: string;
  readonly release: string;
  readonly features: readonly string[];
  readonly uplink: string | undefined;
  readonly chains: ReadonlyMap<string, string>;
  readonly pressure: NonNullable<CubeNodeStatus['mapPressure']>;
  /** Nothing is done until somebody helps: a guard, or a failure of the whole node. */
  readonly failure: Failure | undefined;
  /** What the kernel cannot hold of what the objects say, while all else is in force. */
  readonly problems: readonly string[];
  /** Chains that wait or are held back, with the reason. */
  readonly waiting: ReadonlyMap<string, string>;
}

export function nodeStatus(metadata: SourceMeta, facts: NodeFacts, old: unknown, now: Date): CubeNodeStatus {
  const { failure, problems, waiting } = facts;
  const behind = [...waiting].map(([chain, why]) => `${chain}: ${why}`).join('; ');
  const next: NewCondition[] = [];
  if (failure !== undefined) {
    next.push(condition('Programmed', 'False', failure.reason, failure.message));
    next.push(condition('Ready', 'False', 'NotProgrammed', failure.message));
    next.push(condition('Stalled', 'True', 'NotProgrammed', failure.message));
  } else {
    next.push(
      condition(
        'Programmed',
        'True',
        'Programmed',
        ['The kernel holds all that is in force on the node', ...problems].join('; but '),
      ),
    );
    if (behind === '') next.push(condition('Ready', 'True', 'Ready', 'Packets pass'));
    else {
      next.push(condition('Ready', 'False', 'NotProgrammed', behind));
      next.push(condition('Reconciling', 'True', 'Progressing', behind));
    }
  }
  let list: readonly Condition[] = (old as Old)?.conditions ?? [];
  for (const one of next) list = setCondition(list, one, metadata.generation, now);
  for (const type of ['Reconciling', 'Stalled'] as const) {
    if (!next.some((one) => one.type === type)) list = removeCondition(list, type);
  }
  return {
    observedGeneration: metadata.generation,
    agentVersion: facts.agentVersion,
    abi: CUBE_ABI,
    kernel: { release: facts.release, features: [...facts.features] as never },
    ...(facts.uplink === undefined ? {} : { uplink: facts.uplink }),
    chains: [...facts.chains].map(([chain, revision]) => {
      const slash = chain.indexOf('/');
      return { namespace: chain.slice(0, slash), name: chain.slice(slash + 1), revision };
    }),
    mapPressure: facts.pressure,
    conditions: [...list],
  };
}
