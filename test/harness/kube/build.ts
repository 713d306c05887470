// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { formatElapsed, type Log, stderrLog } from '../progress.ts';
import { findGo } from './go.ts';

/** The programs that one build yields, each a symbolic link to the same file. */
const KUBE_PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-proxy', 'kubectl'] as const;
export type KubeProgram = (typeof KUBE_PROGRAMS)[number];

const SOURCE_DIRECTORY = import.meta.dirname;
const SOURCES = ['main.go', 'go.mod', 'go.sum'];

class KubeBuildError extends Error {
  override name = 'KubeBuildError';
}

/** Where this project keeps what is costly to make again: `$CUBEPLANE_CACHE`, else the user's cache folder. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    environment.CUBEPLANE_CACHE || join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cubeplane')
  );
}

/** The folder of the programs built from the present sources: a change of one line is another folder. */
async function kubeCacheDirectory(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const hash = createHash('sha256').update(process.arch);
  for (const name of SOURCES) hash.update(`\n${name}\n`).update(await readFile(join(SOURCE_DIRECTORY, name)));
  return join(cacheDirectory(environment), 'kube', hash.digest('hex').slice(0, 16));
}

/** Kubernetes' version as go.mod pins it, for example `v1.35.4`. */
export function kubernetesVersion(goMod: string): string {
  const version = /^\s*k8s\.io\/kubernetes (v1\.\d+\.\d+)$/m.exec(goMod)?.[1];
  if (version === undefined) throw new KubeBuildError('go.mod requires no release of k8s.io/kubernetes');
  return version;
}

/**
 * The linker's part of the version: without it kubectl and the API server call themselves v0.0.0-master and
 * version-gated code misbehaves. client-go carries a second copy of the variables for its user agent.
 */
export function linkerFlags(version: string): string {
  const [major, minor] = version.slice(1).split('.');
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'archive' };
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  const sets = packages.flatMap((p) =>
    Object.entries(variables).map(([name, value]) => `-X ${p}.${name}=${value}`),
  );
  return ['-s', '-w', ...sets].join(' ');
}

/**
 * The folder that holds {@link KUBE_PROGRAMS}, building them first when the cache has none (5 to 10 minutes on two
 * cores, 3.5 GB of Go caches). `$KUBEBUILDER_ASSETS` wins where it is set and must then hold all but kube-proxy.
 * Several callers at once build once: the others wait for the first.
 *
 * @throws KubeBuildError with the last lines of the compiler, or naming the program that is missing.
 */
export async function ensureKubernetes(log: Log = stderrLog): Promise<string> {
  const given = process.env.KUBEBUILDER_ASSETS;
  if (given) {
    const missing = KUBE_PROGRAMS.filter((name) => name !== 'kube-proxy' && !existsSync(join(given, name)));
    if (missing.length === 0) return given;
    throw new KubeBuildError(
      `KUBEBUILDER_ASSETS=${given} holds no ${missing.join(', ')}: add what is missing, or unset the variable to have Kubernetes built`,
    );
  }
  const target = await kubeCacheDirectory();
  if (existsSync(target)) return target;
  const parent = join(target, '..');
  await mkdir(parent, { recursive: true });
  const unlock = await lock(join(parent, 'build.lock'), log);
  try {
    if (!existsSync(target)) await build(parent, target, log);
  } finally {
    unlock();
  }
  return target;
}

/**
 * Takes a lock that the kernel gives back when this process ends, however it ends: flock(1) holds it for a child that
 * lives as long as our end of its standard input is open.
 */
async function lock(path: string, log: Log): Promise<() => void> {
  const started = Date.now();
  const holder = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = setInterval(() => {
    log(`kubernetes: another process is building it, waiting (${formatElapsed(Date.now() - started)})`);
  }, 10_000);
  try {
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve());
      holder.once('error', reject);
      holder.once('exit', (code) => reject(new KubeBuildError(`flock ${path} ended with status ${code}`)));
    });
  } finally {
    clearInterval(waiting);
  }
  holder.removeAllListeners('exit');
  return () => holder.stdin.end();
}

async function build(parent: string, target: string, log: Log): Promise<void> {
  const started = Date.now();
  const version = kubernetesVersion(await readFile(join(SOURCE_DIRECTORY, 'go.mod'), 'utf8'));
  const go = await findGo(cacheDirectory(), log);
  const staging = await mkdtemp(join(parent, 'staging-'));
  const binary = join(staging, 'kube');
  log(`kubernetes: building ${version} once, into ${target}`);
  try {
    const flags = [
      'build',
      '-v',
      '-trimpath',
      '-mod=readonly',
      '-ldflags',
      linkerFlags(version),
      '-o',
      binary,
      '.',
    ];
    // nice: a build must not disturb what else the machine does, least of all measurements.
    const compiler = spawn('nice', [go, ...flags], {
      cwd: SOURCE_DIRECTORY,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOTOOLCHAIN: 'local', GOWORK: 'off' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await follow(compiler, join(parent, 'build.log'), started, log);
    for (const name of KUBE_PROGRAMS) await symlink('kube', join(staging, name));
    await writeFile(join(staging, 'version'), `${version}\n`);
    await rename(staging, target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  log(`kubernetes: ready (${formatElapsed(Date.now() - started)})`);
}

/** Turns the compiler's one line a package into a line of progress every 10 s; keeps all of it in a log. */
async function follow(compiler: ChildProcess, logPath: string, started: number, log: Log): Promise<void> {
  const stop = (signal: NodeJS.Signals) => {
    compiler.kill('SIGTERM');
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let modules = 0;
  let packages = 0;
  const last: string[] = [];
  const file = createWriteStream(logPath);
  if (compiler.stderr === null) throw new KubeBuildError('the compiler was started without a pipe');
  createInterface(compiler.stderr).on('line', (line) => {
    file.write(`${line}\n`);
    if (line.startsWith('go: downloading')) modules += 1;
    else if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(line)) packages += 1;
    else if (last.push(line) > 20) last.shift();
  });
  const report = setInterval(() => {
    const done =
      packages > 0 ? `${packages} of about 2700 packages compiled` : `${modules} modules downloaded`;
    log(`kubernetes: ${done} (${formatElapsed(Date.now() - started)})`);
  }, 10_000);
  try {
    const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      compiler.once('error', reject);
      compiler.once('close', (code, signal) => resolve(code ?? signal));
    });
    if (status === 0) return;
    throw new KubeBuildError(
      `building Kubernetes failed (go build: ${status}); all of its output is in ${logPath}\n${last.join('\n')}\n` +
        'It needs the Go module proxy (see GOPROXY) or a filled module cache, and 5 GB of free disk. ' +
        'Or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver, kube-controller-manager and kubectl.',
    );
  } finally {
    clearInterval(report);
    file.end();
    process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
  }
}

if (import.meta.main) {
  process.stdout.write(`${await ensureKubernetes()}\n`);
}
