// SPDX-License-Identifier: Apache-2.0
/** Whether a node runs on what was saved. Pure. */
import type { KernelState } from '../state.ts';
import type { Store } from '../store.ts';
import type { PackedTable } from '../tables.ts';

/** Of the tables that a node runs on while its source is silent. */
export interface Restored {
  /** When they were last known to be right. */
  readonly asOf: Date;
  readonly tables: number;
  /** Entries that could not be read. */
  readonly damaged: number;
}

/**
 * Whether the kernel holds nothing that works: the node was booted, or all devices are gone with its network namespace. An
 * agent that was killed while it restored left no graph in force either. Otherwise what is there goes on untouched.
 */
export function isBare({ ready, epoch, links, older }: KernelState): boolean {
  if (older !== undefined) return false;
  if (!ready || epoch === 0) return true;
  return links.size > 0 && [...links.values()].every(({ ifindex }) => ifindex === 0);
}

/** Whether a table may come into force again: the node that answers for an address may be another one by now. */
export function isRestorable({ type }: PackedTable): boolean {
  return type !== 'Announcement';
}

/** What of a store belongs on disk: what follows from pods is made anew. */
export function contentOf({ tables }: Store): PackedTable[] {
  return [...tables.applied.values()].filter(({ isOwn }) => isOwn !== true);
}
