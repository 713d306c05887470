// SPDX-License-Identifier: Apache-2.0
import { askAgent } from '../../dataplane/client.ts';
import { nodeOf } from '../node-option.ts';
import { agentDirectory } from './plug.ts';

export interface AllowRemovalOptions {
  readonly node?: string;
  readonly stateDir?: string;
}

export async function allowRemoval(options: AllowRemovalOptions): Promise<void> {
  const { held } = await askAgent(agentDirectory(options), 'allowRemoval', {});
  const text = held === undefined ? 'nothing is held back' : `let go: ${held}`;
  process.stdout.write(`node ${nodeOf(options)}: ${text}\n`);
}
