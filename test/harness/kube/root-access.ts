// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withoutLength } from '../addresses.ts';
import type { Lab } from '../lab.ts';
import type { Cluster } from './cluster.ts';

const RELAY = join(import.meta.dirname, 'relay.ts');

/**
 * A way to the API server from the root network namespace, on a port of localhost that the kernel picks: the path of a kubeconfig
 * for it, the administrator's.
 */
export async function openToRoot(lab: Lab, { machine, server, kubeconfig }: Cluster): Promise<string> {
  const socket = `unix:${join(machine.namespace.directory, 'relay.sock')}`;
  const target = withoutLength(new URL(server).host);
  const inner = await machine.namespace.start('relay', [process.execPath, RELAY, socket, target]);
  await inner.waitForOutput(/listening/);
  const outer = await lab.start('relay', [process.execPath, RELAY, '127.0.0.1:0', socket]);
  const [, port = ''] = await outer.waitForOutput(/listening (\d+)/);
  const path = join(lab.directory, 'kubeconfig');
  const config = await readFile(kubeconfig, 'utf8');
  // The certificate is for this name too.
  await writeFile(path, config.replaceAll(server, `https://localhost:${port}`), { mode: 0o600 });
  return path;
}
