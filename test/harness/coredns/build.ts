// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureGoBuild } from '../go-build.ts';
import { type Log, stderrLog } from '../progress.ts';

const DIRECTORY = import.meta.dirname;

/** Path of CoreDNS, static; built when the cache has none. Throws GoBuildError. */
export async function ensureCoreDns(log: Log = stderrLog): Promise<string> {
  const goMod = await readFile(join(DIRECTORY, 'go.mod'), 'utf8');
  const folder = await ensureGoBuild(
    {
      name: 'CoreDNS',
      folder: 'coredns',
      version: /coredns\/coredns (v\S+)/.exec(goMod)?.[1] ?? 'unknown',
      directory: DIRECTORY,
      sources: ['main.go', 'go.mod', 'go.sum'],
      argv: (staging) => ['-ldflags', '-s -w', '-o', `${staging}/`, '.'],
      packages: 900,
      remedy: '',
    },
    log,
  );
  return join(folder, 'coredns');
}
