// SPDX-License-Identifier: Apache-2.0
/** After each round: the status of every Cube, CubeLink and of the CubeNode. */
import type { CubeNodeStatus } from '../api/generated/types.ts';
import type { Problem } from '../cubes/cube-type.ts';
import { chainOf } from './committed.ts';
import type { Finding } from './graph-model.ts';
import type { Running } from './images.ts';
import type { CubeObject, LinkObject } from './objects.ts';
import { pressureOf } from './pressure.ts';
import type { Reconciler } from './reconciler.ts';
import { cubeStatus, type Failure, linkStatus, nodeStatus } from './status.ts';
import type { StatusWriter } from './statuses.ts';
import type { Store } from './store.ts';

export interface ReportInput {
  readonly store: Store;
  readonly reconciler: Reconciler;
  readonly writer: StatusWriter;
  readonly agentVersion: string;
  readonly kernel: { readonly release: string; readonly features: readonly string[] };
  /** The last round failed. */
  readonly failure: Failure | undefined;
  /** Of Services whose `healthCheckNodePort` cannot be had. */
  readonly healthProblems: readonly string[];
  readonly now: Date;
}

export function report(input: ReportInput): void {
  const { store, writer } = input;
  if (!store.isSynced) return;
  for (const [key, cube] of store.cubes) reportCube(input, key, cube);
  for (const [key, link] of store.links) reportLink(input, key, link);
  reportNode(input);
  writer.forget((ref) => {
    const key = ref.slice(ref.indexOf(' ') + 1);
    return store.cubes.has(key) || store.links.has(key) || store.cubeNode?.metadata.name === key;
  });
}

function verdictOf(
  { reconciler, failure }: Pick<ReportInput, 'reconciler' | 'failure'>,
  ref: string,
  object: CubeObject | LinkObject,
  effective: CubeObject | LinkObject | undefined,
  extra: readonly Finding[],
) {
  const findings = [...(reconciler.inForce.accepted?.findings.get(ref) ?? []), ...extra];
  const refused = findings.some(({ condition }) => condition !== 'ResolvedRefs');
  const chain = chainOf(object);
  const isCurrent =
    effective?.metadata.uid === object.metadata.uid &&
    effective.metadata.generation === object.metadata.generation;
  const waits =
    refused || isCurrent || chain === undefined ? undefined : reconciler.inForce.waiting.get(chain);
  const uncommitted =
    refused || isCurrent || chain === undefined || effective !== undefined
      ? undefined
      : `Waiting for the CubeNode to name it in a revision of chain ${chain}`;
  return {
    findings,
    programmed: effective?.metadata.uid === object.metadata.uid ? effective.metadata.generation : undefined,
    waiting: waits ?? uncommitted,
    failure,
  };
}

function reportCube(input: ReportInput, key: string, cube: CubeObject): void {
  const { store, reconciler, writer, now } = input;
  const ref = `Cube ${key}`;
  const graph = reconciler.inForce.accepted?.graph;
  if (graph === undefined) return;
  const running = reconciler.running.get(key);
  const verdict = verdictOf(
    input,
    ref,
    cube,
    reconciler.inForce.effective.cubes.get(key),
    tableFindings(running),
  );
  const failure = reconciler.rowFailures.get(key) ?? verdict.failure;
  const shown = store.statuses.get(ref);
  const old = writer.last(ref, cube.metadata.uid, shown);
  const tag = running && reconciler.tagOf(key);
  const front = graph.xdp.find(({ cubes, isBlocked }) => cubes.includes(key) && !isBlocked);
  const mode = front && reconciler.network.interfaces.get(front.interface.name)?.xdp?.mode;
  const status = cubeStatus(
    cube,
    { ...verdict, failure, audit: running?.image.audit?.() },
    graph,
    { tag, mode },
    old,
    now,
  );
  writer.set(ref, { kind: 'Cube', ...target(cube) }, status, shown);
}

function reportLink(input: ReportInput, key: string, link: LinkObject): void {
  const { store, reconciler, writer, now } = input;
  const ref = `CubeLink ${key}`;
  const graph = reconciler.inForce.accepted?.graph;
  if (graph === undefined) return;
  const verdict = verdictOf(input, ref, link, reconciler.inForce.effective.links.get(key), []);
  const shown = store.statuses.get(ref);
  const old = writer.last(ref, link.metadata.uid, shown);
  const status = linkStatus(link, verdict, graph, reconciler.network.interfaces, old, now);
  writer.set(ref, { kind: 'CubeLink', ...target(link) }, status, shown);
}

function reportNode(input: ReportInput): void {
  const { store, reconciler, writer, now, agentVersion, kernel } = input;
  const node = store.cubeNode;
  if (node === undefined) return;
  const ref = `CubeNode ${node.metadata.name}`;
  const shown = store.statuses.get(ref);
  const old = writer.last(ref, node.metadata.uid, shown) as CubeNodeStatus | undefined;
  const facts = {
    agentVersion,
    release: kernel.release,
    features: kernel.features,
    uplink: reconciler.inForce.uplink(reconciler.network),
    chains: reconciler.inForce.effective.chains,
    pressure: pressureOf(reconciler.upkeep.usage, old?.mapPressure ?? []),
    failure: reconciler.inForce.guarded ?? input.failure,
    problems: [...reconciler.inForce.sources.problems, ...input.healthProblems],
    waiting: reconciler.inForce.waiting,
  };
  writer.set(
    ref,
    { kind: 'CubeNode', name: node.metadata.name, uid: node.metadata.uid },
    nodeStatus(node.metadata, facts, old, now),
    shown,
  );
}

function target(object: CubeObject | LinkObject) {
  const { namespace, name, uid } = object.metadata;
  return { ...(namespace === undefined ? {} : { namespace }), name, uid };
}

const SHOWN = 5;

const ofTable = ({ message, table }: Problem): string =>
  table === undefined ? message : `CubeTable ${table}: ${message}`;

function tableFindings(running: Running | undefined): Finding[] {
  const ofTables = [...(running?.problems ?? [])].flatMap(([key, list]) =>
    list.map(
      ({ message, field }) => `CubeTable ${key}: ${field === undefined ? '' : `${field}: `}${message}`,
    ),
  );
  const all = [...ofTables, ...(running?.image.problems?.() ?? []).map(ofTable)];
  if (all.length === 0) return [];
  const more = all.length > SHOWN ? `; and ${all.length - SHOWN} more` : '';
  return [
    {
      condition: 'ResolvedRefs',
      reason: 'TableInvalid',
      message: `${all.slice(0, SHOWN).join('; ')}${more}`,
    },
  ];
}
