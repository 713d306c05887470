// SPDX-License-Identifier: Apache-2.0
/** Plugins that stand behind ours in a runtime's configuration and could not do their work there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CniError, CODE } from './cni-error.ts';
import { PLUGIN } from './conflist.ts';

/** Why each cannot: its rules or queues sit where packets of cubes do not pass. */
const IMPOSSIBLE: Readonly<Record<string, string>> = {
  portmap: 'its NAT rules never see packets that cubes redirect, and cubeplane-cni does portMappings itself',
  bandwidth: 'its queues never see packets that cubes redirect, and cubeplane-cni does bandwidth itself',
};

/** Plugins of a list that cannot work behind ours, by name. Pure. */
export function impossiblePlugins(list: unknown, network: string): string[] {
  const { name, plugins } = (list ?? {}) as { name?: unknown; plugins?: unknown };
  if (name !== network || !Array.isArray(plugins)) return [];
  const types = plugins.map((plugin) => (plugin as { type?: unknown } | null)?.type);
  if (!types.includes(PLUGIN)) return [];
  return Object.keys(IMPOSSIBLE).filter((type) => types.includes(type));
}

/**
 * Throws CniError where the list that a network is configured by names such a plugin too. A plugin is not told of the
 * others, so the files are looked at; what cannot be read is the runtime's to complain about.
 */
export function refuseOthersInChain(confDir: string, network: string): void {
  for (const file of filesOf(confDir)) {
    const [found] = impossiblePlugins(contentOf(join(confDir, file)), network);
    if (found === undefined) continue;
    throw new CniError(
      CODE.InvalidConfig,
      `plugins: ${join(confDir, file)} has the plugin ${found} behind ${PLUGIN}: ${IMPOSSIBLE[found]}`,
      `take ${found} out of the list`,
    );
  }
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /\.(conf|conflist|json)$/.test(name));
  } catch {
    return [];
  }
}

function contentOf(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
