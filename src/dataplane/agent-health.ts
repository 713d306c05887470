// SPDX-License-Identifier: Apache-2.0
import type { AgentOptions } from './agent-options.ts';
import type { Reconciler } from './reconciler.ts';
import type { SlowPathCounts } from './slow-path.ts';
import type { SourceHealth } from './sources/source.ts';
import type { Failure } from './status.ts';
import type { Store } from './store.ts';

/** How an agent is, as it tells those who ask. */
export interface AgentHealth {
  readonly node: string;
  readonly source: string;
  readonly version: string;
  readonly synced: boolean;
  readonly sourceHealth: SourceHealth;
  readonly cubes: number;
  readonly pods: number;
  readonly tables: number;
  /** Rounds since the start. */
  readonly rounds: number;
  readonly failure?: Failure;
  readonly waiting: Readonly<Record<string, string>>;
  readonly slowPath: SlowPathCounts;
  /** What CNI calls have left for later: pairs to be deleted, and new pods whose interfaces have no link yet. */
  readonly afterwork?: { readonly idle: number; readonly unsettled: number };
  /** While the node, started anew, runs on what was saved on its disk: as of when (RFC 3339). */
  readonly restored?: { readonly asOf: string; readonly tables: number; readonly damaged: number };
}

export function agentHealth(
  { node, source, version }: AgentOptions,
  { isSynced, isRestored, tables }: Store,
  { running, inForce }: Reconciler,
  own: Pick<AgentHealth, 'pods' | 'rounds' | 'slowPath' | 'failure'>,
): AgentHealth {
  const { restored } = inForce;
  return {
    node,
    source: source.name,
    version: version ?? '0.0.0',
    synced: isSynced,
    sourceHealth: source.health(),
    cubes: running.size,
    tables: tables.size,
    waiting: Object.fromEntries(inForce.waiting),
    ...(isRestored && restored ? { restored: { ...restored, asOf: restored.asOf.toISOString() } } : {}),
    ...own,
  };
}
