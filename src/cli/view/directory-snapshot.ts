// SPDX-License-Identifier: Apache-2.0
import { readdir } from 'node:fs/promises';
import type { Condition, ServiceChain } from '../../api/generated/types.ts';
import { ManifestDirectory } from '../../dataplane/sources/manifests/directory.ts';
import { FileSet } from '../../dataplane/sources/manifests/file-set.ts';
import { Ledger } from '../../dataplane/sources/manifests/ledger.ts';
import {
  type KubeManifest,
  keyOfObject,
  type ManifestObject,
} from '../../dataplane/sources/manifests/manifest-object.ts';
import { nodeView } from '../../dataplane/sources/manifests/node-view.ts';
import { type ManifestProblem, problemText } from '../../dataplane/sources/manifests/problem.ts';
import { readVersion } from '../../dataplane/sources/manifests/read-version.ts';
import { readStatuses, type StatusFile } from '../../dataplane/sources/manifests/status-files.ts';
import { ManifestStore } from '../../dataplane/sources/manifests/store.ts';
import { TableTranslator } from '../../dataplane/sources/manifests/tables.ts';
import type { Stamp } from '../../operators/service-chain.ts';
import { CliError, EXIT } from '../errors.ts';
import { chainStatus } from './chain-status.ts';
import type { ViewObject } from './object-view.ts';

/** What one agent on the directory has kept and said. */
export interface AgentState {
  readonly node: string;
  readonly ledger: Ledger;
  readonly stamps: ReadonlyMap<string, Stamp>;
  readonly statuses: ReadonlyMap<string, StatusFile>;
}

/** A directory at one moment, with what its agents made of it. */
export interface Snapshot {
  /** Objects that stand in files, by key, with their places. */
  readonly manifests: ReadonlyMap<string, ManifestObject>;
  /** All objects, those that agents derive included, by key. */
  readonly objects: ReadonlyMap<string, ViewObject>;
  readonly problems: readonly ManifestProblem[];
}

/**
 * Reads the directory as an agent does, and adds what is in the state directories of its agents: generations, statuses,
 * the last good versions of broken files. Works without any agent.
 */
export async function readSnapshot(directory: string, stateRoot: string): Promise<Snapshot> {
  const change = await new ManifestDirectory(directory).scan();
  if (change.failure !== undefined) throw new CliError(EXIT.failure, change.failure, 'check --manifests DIR');
  const nodes = await readdir(stateRoot).catch(() => [] as string[]);
  const files = new FileSet();
  const goodTexts = await lastGoodTexts(stateRoot, nodes);
  for (const [file, text] of change.changed) {
    const newest = readVersion(file, text, () => undefined);
    const good = newest.problems.length > 0 ? goodTexts.get(file) : undefined;
    files.set(file, newest, good === undefined ? undefined : readVersion(file, good, () => undefined));
  }
  const { objects: manifests, problems } = files.resolve();
  const agents = new Map<string, AgentState>();
  const known = [...manifests.values()].filter(({ object }) => object.kind === 'Node');
  for (const node of new Set([...nodes, ...known.map(({ object }) => object.metadata.name)])) {
    agents.set(node, await agentState(stateRoot, node));
  }
  return { manifests, problems, objects: derive(manifests, agents) };
}

/** What an API server would fill in until an agent has written a status; see src/api/schemas/conditions.ts. */
const pending = (...types: string[]) => ({
  conditions: types.map((type) => ({
    type,
    status: 'Unknown',
    reason: 'Pending',
    message: 'Waiting for the agent of the node',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  })),
});
const DEFAULT_STATUS: Readonly<Record<string, unknown>> = {
  Cube: pending('Accepted', 'ResolvedRefs', 'Programmed', 'Ready'),
  CubeLink: pending('Accepted', 'ResolvedRefs', 'Programmed', 'Ready'),
  CubeNode: pending('Programmed', 'Ready'),
};

async function lastGoodTexts(stateRoot: string, nodes: readonly string[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const node of nodes) {
    for (const [file, text] of await new ManifestStore(stateRoot, node).loadGoodFiles())
      texts.set(file, text);
  }
  return texts;
}

async function agentState(stateRoot: string, node: string): Promise<AgentState> {
  const store = new ManifestStore(stateRoot, node);
  return {
    node,
    ledger: new Ledger(await store.loadLedger()),
    stamps: await store.loadStamps(),
    statuses: await readStatuses(stateRoot, node),
  };
}

function derive(
  manifests: ReadonlyMap<string, ManifestObject>,
  agents: ReadonlyMap<string, AgentState>,
): Map<string, ViewObject> {
  const now = new Date();
  const all = new Map<string, ViewObject>();
  // Objects of no node have the generation that the first agent counted; every agent counts the same changes.
  const anyLedger = [...agents.values()][0]?.ledger ?? new Ledger();
  const dress = (object: KubeManifest, agent: AgentState | undefined): ViewObject => {
    const meta = (agent?.ledger ?? anyLedger).see(object, now);
    const status =
      agent?.statuses.get(keyOfObject(object))?.status ?? object.status ?? DEFAULT_STATUS[object.kind];
    return {
      ...object,
      metadata: { ...object.metadata, ...meta },
      ...(status === undefined ? {} : { status }),
    };
  };
  for (const { key, object } of manifests.values()) {
    const { nodeName } = (object.spec ?? {}) as { nodeName?: string };
    all.set(key, dress(object, agents.get(nodeName ?? '')));
  }
  const given = [...all.values()] as KubeManifest[];
  for (const table of new TableTranslator().translate(given).tables as unknown as KubeManifest[]) {
    if (!all.has(keyOfObject(table))) all.set(keyOfObject(table), dress(table, undefined));
  }
  for (const agent of agents.values()) {
    if (!manifests.has(`Node//${agent.node}`) && agent.statuses.size === 0) continue;
    for (const object of nodeView(given, agent.node, agent.stamps).objects) {
      if (object.kind !== 'Node') all.set(keyOfObject(object), dress(object, agent));
    }
  }
  for (const [key, object] of all) {
    if (object.kind !== 'ServiceChain') continue;
    const told = [...agents.values()].flatMap((agent) => {
      const conditions = agent.statuses.get(key)?.status.conditions as Condition[] | undefined;
      return conditions === undefined ? [] : [{ node: agent.node, conditions }];
    });
    all.set(key, { ...object, status: chainStatus(object as unknown as ServiceChain, all, told) });
  }
  return all;
}

/** One line a problem, for standard error. */
export function problemLines(snapshot: Snapshot): string[] {
  return snapshot.problems.map((problem) => `${problemText(problem)}: the last good version stays in force`);
}
