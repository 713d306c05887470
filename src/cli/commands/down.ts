// SPDX-License-Identifier: Apache-2.0
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { down as removeAll } from '../../dataplane/down.ts';
import { manifestStateDirectory, statusDirectory } from '../../dataplane/sources/manifests/state-files.ts';
import { agentLog } from '../agent-log.ts';
import { stateRootOf } from '../context.ts';
import { nodeOf } from '../node-option.ts';

export interface DownOptions {
  readonly node?: string;
  readonly bpffs: string;
  readonly stateDir?: string;
}

export async function down(options: DownOptions): Promise<void> {
  const node = nodeOf(options);
  const stateRoot = stateRootOf(options);
  await removeAll({ node, stateDir: join(stateRoot, node), bpffs: options.bpffs, log: agentLog('warn') });
  for (const folder of [manifestStateDirectory(stateRoot, node), statusDirectory(stateRoot, node)]) {
    await rm(folder, { recursive: true, force: true });
  }
  process.stdout.write(`node ${node}: everything is removed\n`);
}
