// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureGoBuild } from '../go-build.ts';
import { type Log, stderrLog } from '../progress.ts';

const DIRECTORY = import.meta.dirname;

/** The CNI project's own programs, as go.mod pins them: each is a path. */
export interface CniTools {
  /** A runtime on the command line. */
  readonly cnitool: string;
  /** The folder of the plugins `bridge` and `host-local`. */
  readonly plugins: string;
}

/** Builds them when the cache has none: half a minute, 10 MB. Throws GoBuildError. */
export async function ensureCniTools(log: Log = stderrLog): Promise<CniTools> {
  const goMod = await readFile(join(DIRECTORY, 'go.mod'), 'utf8');
  const versionOf = (module: string) =>
    new RegExp(`^\\s*github.com/containernetworking/${module} (v\\S+)`, 'm').exec(goMod)?.[1] ?? 'unknown';
  const plugins = await ensureGoBuild(
    {
      name: 'CNI tools',
      folder: 'cni',
      version: `cnitool ${versionOf('cni')}, plugins ${versionOf('plugins')}`,
      directory: DIRECTORY,
      sources: ['go.mod', 'go.sum'],
      // `tool`: what go.mod lists as such.
      argv: (staging) => ['-ldflags', '-s -w', '-o', `${staging}/`, 'tool'],
      packages: 200,
      remedy: '',
    },
    log,
  );
  return { cnitool: join(plugins, 'cnitool'), plugins };
}
