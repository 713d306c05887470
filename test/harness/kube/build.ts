// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, ensureGoBuild } from '../go-build.ts';
import { run } from '../process.ts';
import { type Log, stderrLog } from '../progress.ts';
import { findGo } from './go.ts';

/** The programs that one build yields, each a symbolic link to the same file. */
const KUBE_PROGRAMS = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
] as const;
export type KubeProgram = (typeof KUBE_PROGRAMS)[number];
/** Those that only some tests need: a folder of ready programs may lack them. */
const OPTIONAL: ReadonlySet<string> = new Set<KubeProgram>(['kube-proxy', 'kube-scheduler', 'kubelet']);

const SOURCE_DIRECTORY = import.meta.dirname;
const SOURCES = ['main.go', 'go.mod', 'go.sum'];

class KubeBuildError extends Error {
  override name = 'KubeBuildError';
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
 * cores, 3.5 GB of Go caches). `$KUBEBUILDER_ASSETS` wins where it is set and must then hold all but kube-proxy, kube-scheduler and kubelet.
 * Several callers at once build once: the others wait for the first.
 *
 * @throws KubeBuildError with the last lines of the compiler, or naming the program that is missing.
 */
export async function ensureKubernetes(log: Log = stderrLog): Promise<string> {
  const given = process.env.KUBEBUILDER_ASSETS;
  if (given) {
    const missing = KUBE_PROGRAMS.filter((name) => !OPTIONAL.has(name) && !existsSync(join(given, name)));
    if (missing.length === 0) return given;
    throw new KubeBuildError(
      `KUBEBUILDER_ASSETS=${given} holds no ${missing.join(', ')}: add what is missing, or unset the variable to have Kubernetes built`,
    );
  }
  const version = kubernetesVersion(await readFile(join(SOURCE_DIRECTORY, 'go.mod'), 'utf8'));
  return await ensureGoBuild(
    {
      name: 'kubernetes',
      folder: 'kube',
      version,
      directory: SOURCE_DIRECTORY,
      sources: SOURCES,
      argv: (staging) => ['-ldflags', linkerFlags(version), '-o', join(staging, 'kube'), '.'],
      packages: 2700,
      finish: async (staging) => {
        for (const name of KUBE_PROGRAMS) await symlink('kube', join(staging, name));
      },
      remedy:
        'It takes 5 GB of free disk. Or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver, ' +
        'kube-controller-manager and kubectl.',
    },
    log,
  );
}

/** The folder of Kubernetes' own sources, of this version. */
export async function kubernetesModule(log: Log = stderrLog): Promise<string> {
  const go = await findGo(cacheDirectory(), log);
  const argv = [go, 'list', '-mod=readonly', '-m', '-f', '{{.Dir}}', 'k8s.io/kubernetes'];
  const { stdout } = await run(argv, { cwd: SOURCE_DIRECTORY, env: { GOFLAGS: '', GOWORK: 'off' } });
  return stdout.trim();
}

/** What the images of upstream's tests are made from: each file is one program. */
export async function ensureTestPrograms(log: Log = stderrLog): Promise<string> {
  return await buildBeside('agnhost', log, {
    argv: ['k8s.io/kubernetes/test/images/agnhost', 'k8s.io/kubernetes/test/images/regression-issue-74839'],
    packages: 900,
  });
}

/** The folder with `e2e.test`, upstream's end-to-end tests, and `ginkgo`, which runs them. */
export async function ensureUpstreamTests(log: Log = stderrLog): Promise<{ tests: string; ginkgo: string }> {
  const tests = await buildBeside('e2e.test', log, {
    verb: ['test', '-c'],
    argv: ['k8s.io/kubernetes/test/e2e'],
    packages: 3100,
  });
  const ginkgo = await buildBeside('ginkgo', log, {
    argv: ['github.com/onsi/ginkgo/v2/ginkgo'],
    packages: 200,
  });
  return { tests: join(tests, 'e2e.test'), ginkgo: join(ginkgo, 'ginkgo') };
}

/** Programs of the same modules as Kubernetes, which share what is compiled with it. */
async function buildBeside(
  name: string,
  log: Log,
  what: { readonly verb?: readonly string[]; readonly argv: readonly string[]; readonly packages: number },
): Promise<string> {
  const version = kubernetesVersion(await readFile(join(SOURCE_DIRECTORY, 'go.mod'), 'utf8'));
  return await ensureGoBuild(
    {
      name,
      folder: name,
      version,
      directory: SOURCE_DIRECTORY,
      sources: ['go.mod', 'go.sum'],
      ...(what.verb === undefined ? {} : { verb: what.verb }),
      argv: (staging) => ['-ldflags', linkerFlags(version), '-o', `${staging}/`, ...what.argv],
      packages: what.packages,
      remedy: 'It takes 5 GB of free disk.',
    },
    log,
  );
}

if (import.meta.main) {
  process.stdout.write(`${await ensureKubernetes()}\n`);
}
