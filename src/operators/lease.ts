// SPDX-License-Identifier: Apache-2.0
import { setCondition } from '../api/conditions.ts';
import type { Condition } from '../api/generated/types.ts';

/** An agent renews every 10 s; after 40 s of silence it is taken for dead, unless `--agent-timeout` says otherwise. */
export const AGENT_DEAD_MS = 40_000;

/**
 * Whether agents are alive, judged by this process's own clock: an agent is dead when its Lease has not changed here for
 * the time, or was never seen for so long. So nobody is declared dead in the first 40 s after a start.
 */
export class AgentLiveness {
  readonly #deadMs: number;
  readonly #seen = new Map<string, { renewal: string; atMs: number }>();

  constructor(deadMs = AGENT_DEAD_MS) {
    this.#deadMs = deadMs;
  }

  /** A Lease as it is now; `renewal` is any text that changes with each renewal, '' where there is no Lease. */
  observe(node: string, renewal: string, nowMs: number): void {
    if (this.#seen.get(node)?.renewal !== renewal) this.#seen.set(node, { renewal, atMs: nowMs });
  }

  /** ms until the node's agent counts as dead; 0 when it does. A node never observed starts its time now. */
  leftMs(node: string, nowMs: number): number {
    const seen = this.#seen.get(node);
    if (seen === undefined) {
      this.observe(node, '', nowMs);
      return this.#deadMs;
    }
    return Math.max(0, seen.atMs + this.#deadMs - nowMs);
  }

  forget(node: string): void {
    this.#seen.delete(node);
  }
}

/** The conditions that say what an agent last saw; what it accepted stays accepted. */
const AGENT_WORD = ['Programmed', 'Ready'] as const;

/**
 * What to write on an object of a node whose agent is dead: Programmed and Ready, Unknown. Undefined when it says so
 * already, or never said anything else. The other conditions stay with the agent.
 */
export function unreachable(
  object: { generation: number; conditions: readonly Condition[] },
  node: string,
  now: Date,
): Condition[] | undefined {
  const said = object.conditions.filter((condition) => AGENT_WORD.some((type) => type === condition.type));
  if (said.every((condition) => condition.status === 'Unknown')) return undefined;
  return said.map((condition) => {
    const next = {
      type: condition.type as (typeof AGENT_WORD)[number],
      status: 'Unknown' as const,
      reason: 'AgentUnreachable',
      message: `The agent of node ${node} has not renewed its Lease; the kernel goes on as it was. Check the agent there`,
    };
    const generation = condition.observedGeneration ?? object.generation;
    return setCondition([condition], next, generation, now)[0] as Condition;
  });
}
