// SPDX-License-Identifier: Apache-2.0
import type { SlowPathCounts } from './slow-path.ts';
import type { SourceHealth } from './sources/source.ts';
import type { Failure } from './status.ts';

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
}
