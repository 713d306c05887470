// SPDX-License-Identifier: Apache-2.0
/** What the agent puts into the runtime's folders: the plugin, and the configuration that makes the runtime use it. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { readJson, writeAtomically } from '../files.ts';
import { CONFLIST, PLUGIN, renderConflist } from './conflist.ts';

/** The plugin as `make` builds it. */
const BUILT_PLUGIN = new URL('../../../build/cubeplane-cni', import.meta.url).pathname;

export interface CniOptions {
  /** Folder of network configurations. */
  readonly confDir: string;
  /** Folder where the runtime looks for plugins. */
  readonly binDir: string;
  readonly socket: string;
}

/** Written down, so that `cubeplane down` finds what an agent with other options has installed. */
function settingsPath(stateDir: string): string {
  return join(stateDir, 'cni', 'installed.json');
}

export class Installation {
  readonly #options: CniOptions;
  readonly #stateDir: string;

  constructor(options: CniOptions, stateDir: string) {
    this.#options = options;
    this.#stateDir = stateDir;
  }

  /** Throws AgentError ObjectMissing where the plugin was not built. */
  installPlugin(): void {
    writeAtomically(settingsPath(this.#stateDir), `${JSON.stringify(this.#options)}\n`);
    let program: Buffer;
    try {
      program = readFileSync(BUILT_PLUGIN);
    } catch (error) {
      throw new AgentError(
        'ObjectMissing',
        `${BUILT_PLUGIN} cannot be read`,
        'build it with make plugin',
        error,
      );
    }
    const path = join(this.#options.binDir, PLUGIN);
    if (existsSync(path) && readFileSync(path).equals(program)) return;
    writeAtomically(path, program, { file: 0o755, folder: 0o755 });
  }

  /** Makes the runtime use the plugin. Returns whether anything was to be written. */
  publish(): boolean {
    const path = join(this.#options.confDir, CONFLIST);
    const text = renderConflist(this.#options);
    if (existsSync(path) && readFileSync(path, 'utf8') === text) return false;
    writeAtomically(path, text, { file: 0o644, folder: 0o755 });
    return true;
  }
}

/** Takes plugin, configuration and socket of a node away; for what is gone already nothing. */
export function uninstall(stateDir: string): void {
  const options = readJson(settingsPath(stateDir)) as CniOptions | undefined;
  if (options === undefined) return;
  // The configuration first: a runtime that has one must find its plugin.
  for (const path of [join(options.confDir, CONFLIST), join(options.binDir, PLUGIN), options.socket])
    rmSync(path, { force: true });
}
