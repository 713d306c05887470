// SPDX-License-Identifier: Apache-2.0
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
  const { node, source, sourceHealth, failure, waiting } = status;
  if (output === 'json') {
    process.stdout.write(
      `${JSON.stringify({ node, source, actions, waiting, failure, sourceHealth }, null, 2)}\n`,
    );
    return;
  }
  for (const action of actions) process.stdout.write(`${action}\n`);
  if (actions.length === 0) process.stdout.write('nothing to do: the kernel holds what the objects say\n');
  for (const [chain, why] of Object.entries(waiting)) process.stdout.write(`waiting: ${chain}: ${why}\n`);
  if (failure !== undefined) process.stdout.write(`failed: ${failure.reason}: ${failure.message}\n`);
  if (sourceHealth.problem !== undefined) process.stdout.write(`${source}: ${sourceHealth.problem}\n`);
}
