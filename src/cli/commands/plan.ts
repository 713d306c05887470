// SPDX-License-Identifier: Apache-2.0
import type { AgentHealth } from '../../dataplane/agent-health.ts';
import { askAgent } from '../../dataplane/client.ts';
import { CliError, EXIT } from '../errors.ts';
import { agentDirectory } from './plug.ts';

export interface PlanOptions {
  readonly node?: string;
  readonly stateDir?: string;
  readonly output?: string;
}

export async function plan(options: PlanOptions): Promise<void> {
  const { output } = options;
  if (output !== undefined && output !== 'json') {
    throw new CliError(EXIT.usage, `there is no output format ${output} here`, 'use json, or leave -o out');
  }
  const directory = agentDirectory(options);
  const { actions } = await askAgent(directory, 'plan', {});
  const status = await askAgent(directory, 'status', {});
  const { node, source, sourceHealth, failure, waiting, restored } = status;
  if (output === 'json') {
    process.stdout.write(
      `${JSON.stringify({ node, source, actions, waiting, failure, sourceHealth, restored }, null, 2)}\n`,
    );
    return;
  }
  for (const action of actions) process.stdout.write(`${action}\n`);
  if (actions.length === 0) process.stdout.write('nothing to do: the kernel holds what the objects say\n');
  for (const [chain, why] of Object.entries(waiting)) process.stdout.write(`waiting: ${chain}: ${why}\n`);
  if (failure !== undefined) process.stdout.write(`failed: ${failure.reason}: ${failure.message}\n`);
  if (restored !== undefined)
    process.stdout.write(`restored: ${restoredText(restored, Date.now())} until ${source} is heard\n`);
  if (sourceHealth.problem !== undefined) process.stdout.write(`${source}: ${sourceHealth.problem}\n`);
}

/** `the node started anew and runs on 120 saved tables of 2026-07-31T06:00:00.000Z (3 min old)`. */
export function restoredText(
  { asOf, tables, damaged }: NonNullable<AgentHealth['restored']>,
  now: number,
): string {
  const minutes = Math.max(0, Math.round((now - Date.parse(asOf)) / 60_000));
  const lost = damaged > 0 ? `, less ${damaged} damaged ${damaged === 1 ? 'entry' : 'entries'},` : '';
  return `the node started anew and runs on ${tables} saved tables of ${asOf} (${minutes} min old)${lost}`;
}
