// SPDX-License-Identifier: Apache-2.0
/** Programs that are built from Go modules once, and kept in a cache. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findGo } from './kube/go.ts';
import { formatElapsed, type Log } from './progress.ts';

export interface GoBuild {
  /** In messages, and its folder in the cache. */
  readonly name: string;
  readonly folder: string;
  readonly version: string;
  /** Where go.mod is. */
  readonly directory: string;
  /** Files of that folder: a change of one line is another folder of programs. */
  readonly sources: readonly string[];
  /** `['build']` unless told otherwise; `['test', '-c']` compiles a package's tests into a program. */
  readonly verb?: readonly string[];
  /** What it is given beside the usual flags; `staging` is where programs go. */
  readonly argv: (staging: string) => readonly string[];
  /** Packages there are to compile, about. */
  readonly packages: number;
  /** Done in the folder before it is kept. */
  readonly finish?: (staging: string) => Promise<void>;
  /** What to do where it cannot be built. */
  readonly remedy: string;
}

class GoBuildError extends Error {
  override name = 'GoBuildError';
}

/** Where this project keeps what is costly to make again: `$CUBEPLANE_CACHE`, else the user's cache folder. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    environment.CUBEPLANE_CACHE || join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cubeplane')
  );
}

/** The folder of the programs built from the present sources. */
async function folderOf(build: GoBuild): Promise<string> {
  const hash = createHash('sha256').update(process.arch);
  for (const name of build.sources)
    hash.update(`\n${name}\n`).update(await readFile(join(build.directory, name)));
  return join(cacheDirectory(), build.folder, hash.digest('hex').slice(0, 16));
}

/**
 * The folder that holds the programs, building them first when the cache has none. Several callers at once build once:
 * the others wait for the first.
 *
 * @throws GoBuildError with the last lines of the compiler.
 */
export async function ensureGoBuild(build: GoBuild, log: Log): Promise<string> {
  const target = await folderOf(build);
  if (existsSync(target)) return target;
  const parent = join(target, '..');
  await mkdir(parent, { recursive: true });
  const unlock = await lock(join(parent, 'build.lock'), build.name, log);
  try {
    if (!existsSync(target)) await make(build, parent, target, log);
  } finally {
    unlock();
  }
  return target;
}

/**
 * Takes a lock that the kernel gives back when this process ends, however it ends: flock(1) holds it for a child that
 * lives as long as our end of its standard input is open.
 */
async function lock(path: string, name: string, log: Log): Promise<() => void> {
  const started = Date.now();
  const holder = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = setInterval(() => {
    log(`${name}: another process is building it, waiting (${formatElapsed(Date.now() - started)})`);
  }, 10_000);
  try {
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve());
      holder.once('error', reject);
      holder.once('exit', (code) => reject(new GoBuildError(`flock ${path} ended with status ${code}`)));
    });
  } finally {
    clearInterval(waiting);
  }
  holder.removeAllListeners('exit');
  return () => holder.stdin.end();
}

async function make(build: GoBuild, parent: string, target: string, log: Log): Promise<void> {
  const started = Date.now();
  const go = await findGo(cacheDirectory(), log);
  const staging = await mkdtemp(join(parent, 'staging-'));
  log(`${build.name}: building ${build.version} once, into ${target}`);
  try {
    const verb = build.verb ?? ['build'];
    const flags = [...verb, '-v', '-trimpath', '-mod=readonly', ...build.argv(staging)];
    // nice: a build must not disturb what else the machine does, least of all measurements.
    const compiler = spawn('nice', [go, ...flags], {
      cwd: build.directory,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOTOOLCHAIN: 'local', GOWORK: 'off' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await follow(compiler, build, { logPath: join(parent, 'build.log'), started, log });
    await build.finish?.(staging);
    await writeFile(join(staging, 'version'), `${build.version}\n`);
    await rename(staging, target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  log(`${build.name}: ready (${formatElapsed(Date.now() - started)})`);
}

/** Turns the compiler's one line a package into a line of progress every 10 s; keeps all of it in a log. */
async function follow(
  compiler: ChildProcess,
  build: GoBuild,
  { logPath, started, log }: { readonly logPath: string; readonly started: number; readonly log: Log },
): Promise<void> {
  const stop = (signal: NodeJS.Signals) => {
    compiler.kill('SIGTERM');
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let modules = 0;
  let packages = 0;
  const last: string[] = [];
  const file = createWriteStream(logPath);
  if (compiler.stderr === null) throw new GoBuildError('the compiler was started without a pipe');
  createInterface(compiler.stderr).on('line', (line) => {
    file.write(`${line}\n`);
    if (line.startsWith('go: downloading')) modules += 1;
    else if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(line)) packages += 1;
    else if (last.push(line) > 20) last.shift();
  });
  const report = setInterval(() => {
    const done =
      packages > 0
        ? `${packages} of about ${build.packages} packages compiled`
        : `${modules} modules downloaded`;
    log(`${build.name}: ${done} (${formatElapsed(Date.now() - started)})`);
  }, 10_000);
  try {
    const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      compiler.once('error', reject);
      compiler.once('close', (code, signal) => resolve(code ?? signal));
    });
    if (status === 0) return;
    throw new GoBuildError(
      `building ${build.name} failed (go ${build.verb?.[0] ?? 'build'}: ${status}); all of its output is in ${logPath}\n${last.join('\n')}\n` +
        `It needs the Go module proxy (see GOPROXY) or a filled module cache. ${build.remedy}`,
    );
  } finally {
    clearInterval(report);
    file.end();
    process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
  }
}
