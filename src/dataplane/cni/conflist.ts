// SPDX-License-Identifier: Apache-2.0
/** The network configuration that the agent gives to the node's runtime. Pure. */
import { CAPABILITIES } from './configuration.ts';

export const PLUGIN = 'cubeplane-cni';
/** Runtimes take the first file by name. */
export const CONFLIST = '05-cubeplane.conflist';

export interface ConflistOptions {
  readonly socket: string;
}

/**
 * Text of the file. `cniVersion` is what runtimes since 2021 know; newer ones choose from `cniVersions` (CNI 1.1), and
 * then ask STATUS and GC.
 */
export function renderConflist({ socket }: ConflistOptions): string {
  // Also while nothing limits pods: a runtime that passes a wish on lets it be refused, another one forgets it in silence.
  const capabilities = Object.fromEntries(CAPABILITIES.map((name) => [name, true]));
  const list = {
    cniVersion: '1.0.0',
    cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    name: 'cubeplane',
    plugins: [{ type: PLUGIN, socket, capabilities }],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}
