// SPDX-License-Identifier: Apache-2.0
/** Images of the cluster with real nodes, made from Debian's programs and our builds: no registry is asked for any. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ensureCoreDns } from '../coredns/build.ts';
import { cacheDirectory } from '../go-build.ts';
import { ensureTestPrograms, kubernetesModule } from '../kube/build.ts';
import { run } from '../process.ts';
import { formatElapsed, type Log } from '../progress.ts';
import { PAUSE } from './machine.ts';

/** In the place of every registry; a name that cannot be resolved (RFC 2606). */
export const REGISTRY = 'cubeplane.test';

type LayerName = 'pause' | 'busybox' | 'tools' | 'agnhost' | 'conntrack' | 'coredns';

interface Image {
  /** Tags that upstream's tests of this version ask for. */
  readonly tags: readonly string[];
  readonly layers: readonly LayerName[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
}

/** agnhost's image has a CoreDNS too, which tests start in the place of agnhost. */
const FULL: readonly LayerName[] = ['busybox', 'tools', 'agnhost', 'coredns'];

const IMAGES: Readonly<Record<string, Image>> = {
  pause: { tags: ['3.10.1'], layers: ['pause'], entrypoint: ['/pause'] },
  agnhost: { tags: ['2.59', '2.55'], layers: FULL, entrypoint: ['/agnhost'], command: ['pause'] },
  busybox: { tags: ['1.37.0-1'], layers: ['busybox'], command: ['sh'] },
  // Other images that network tests use, as far as agnhost has what they use of them.
  'jessie-dnsutils': { tags: ['1.7'], layers: FULL, command: ['sh'] },
  nginx: { tags: ['1.14-4', '1.15-4'], layers: FULL, entrypoint: ['/agnhost'], command: ['test-webserver'] },
  'regression-issue-74839': { tags: ['1.4'], layers: ['conntrack'], entrypoint: ['/regression-issue-74839'] },
  coredns: { tags: ['1'], layers: ['coredns'], entrypoint: ['/coredns'] },
};

/** The full name of an image, with its first tag. */
export function imageName(image: keyof typeof IMAGES & string): string {
  const tag = IMAGES[image]?.tags[0];
  if (tag === undefined) throw new Error(`there is no image ${image}`);
  return `${REGISTRY}/${image}:${tag}`;
}

/** Debian's programs in the layer `tools`, as agnhost's own image has them. */
const TOOLS = ['bash', 'curl', 'dig', 'nc.openbsd', 'ss', 'ip', 'iperf', 'getent', 'wget'];

/** Path of one archive (`docker save`) with all images, made when the cache has none of these very programs. */
export async function ensureImages(log: Log): Promise<string> {
  const programs = await findPrograms(log);
  const hash = createHash('sha256').update(await readFile(import.meta.filename));
  for (const [name, path] of [...programs].sort()) hash.update(`${name} ${await fileHash(path)}\n`);
  const parent = join(cacheDirectory(), 'images');
  const target = join(parent, `${hash.digest('hex').slice(0, 16)}.tar`);
  if (existsSync(target)) return target;
  const started = Date.now();
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(join(parent, 'staging-'));
  try {
    await writeArchive(staging, programs, join(staging, 'images.tar'));
    await rename(join(staging, 'images.tar'), target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  log(`images of the tests: ready (${formatElapsed(Date.now() - started)})`);
  return target;
}

/** Programs and files of the images, by name: where they are on this machine. */
async function findPrograms(log: Log): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const which = await run(['sh', '-c', 'for name; do command -v "$name"; done', 'sh', 'busybox', ...TOOLS], {
    anyStatus: true,
  });
  for (const path of which.stdout.trim().split('\n')) found.set(basename(path), await realpath(path));
  const tests = await ensureTestPrograms(log);
  for (const name of ['agnhost', 'regression-issue-74839']) found.set(name, join(tests, name));
  found.set('coredns', await ensureCoreDns(log));
  found.set('pause', PAUSE);
  const porter = join(await kubernetesModule(log), 'test/images/agnhost/porter');
  for (const name of ['localhost.crt', 'localhost.key']) found.set(name, join(porter, name));
  return found;
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** The root file system of one layer, as a folder. */
async function fillLayer(
  name: LayerName,
  root: string,
  programs: ReadonlyMap<string, string>,
): Promise<void> {
  const put = async (program: string, at: string) => {
    const source = programs.get(program);
    if (source === undefined) throw new Error(`images need ${program}, which is not on PATH`);
    await mkdir(dirname(join(root, at)), { recursive: true });
    await cp(source, join(root, at));
  };
  const link = async (at: string, to: string) => {
    await mkdir(dirname(join(root, at)), { recursive: true });
    await symlink(to, join(root, at));
  };
  const folders = async (...paths: string[]) => {
    for (const path of paths) await mkdir(join(root, path), { recursive: true });
    if (paths.includes('tmp')) await chmod(join(root, 'tmp'), 0o1777);
  };
  switch (name) {
    case 'pause':
    case 'coredns':
      await folders('tmp');
      return await put(name, name);
    case 'conntrack':
      return await put('regression-issue-74839', 'regression-issue-74839');
    case 'busybox': {
      await folders(
        'tmp',
        'root',
        'home',
        'proc',
        'sys',
        'dev',
        'etc',
        'usr/bin',
        'usr/sbin',
        'sbin',
        'var/run',
      );
      await put('busybox', 'bin/busybox');
      const { stdout } = await run([programs.get('busybox') ?? '', '--list']);
      for (const applet of stdout.trim().split('\n'))
        if (applet !== 'busybox' && !TOOLS.includes(applet)) await link(`bin/${applet}`, 'busybox');
      await writeFile(join(root, 'etc/passwd'), PASSWD);
      await writeFile(join(root, 'etc/group'), GROUP);
      return await writeFile(
        join(root, 'etc/nsswitch.conf'),
        'passwd: files\ngroup: files\nhosts: files dns\n',
      );
    }
    case 'tools': {
      const libraries = new Set<string>();
      for (const tool of TOOLS) {
        const called = tool.replace('.openbsd', '');
        await put(tool, `usr/bin/${called}`);
        // found before busybox's own, whatever the order of PATH
        await link(`bin/${called}`, `../usr/bin/${called}`);
        const { stdout } = await run(['ldd', programs.get(tool) ?? '']);
        for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) libraries.add(library);
      }
      for (const library of libraries) {
        await mkdir(dirname(join(root, library)), { recursive: true });
        await cp(await realpath(library), join(root, library));
      }
      // busybox's shell runs its own applets in the place of these.
      await link('bin/sh', 'bash');
      // busybox tries once, and tests count on that.
      await folders('etc');
      await writeFile(join(root, 'etc/wgetrc'), 'tries = 1\n');
      return await link('usr/local/bin/iperf', '/usr/bin/iperf');
    }
    case 'agnhost':
      await folders('uploads');
      for (const file of ['agnhost', 'localhost.crt', 'localhost.key']) await put(file, file);
      return await link('agnhost-2', 'agnhost');
  }
}

// Users that tests run pods as.
const PASSWD = `root:x:0:0:root:/root:/bin/sh
user-defined-in-image:x:1000:1000::/home:/bin/sh
nobody:x:65534:65534::/:/bin/false
`;
const GROUP = 'root:x:0:\ngroup-defined-in-image:x:50000:user-defined-in-image\nnogroup:x:65534:\n';

/** `docker save`'s format: a manifest, a configuration an image, a tar archive a layer. */
async function writeArchive(
  staging: string,
  programs: ReadonlyMap<string, string>,
  archive: string,
): Promise<void> {
  const out = join(staging, 'archive');
  await mkdir(out);
  const digests = new Map<LayerName, string>();
  for (const layer of new Set(Object.values(IMAGES).flatMap(({ layers }) => layers))) {
    const root = join(staging, layer);
    await mkdir(root);
    await fillLayer(layer, root, programs);
    await tar(root, join(out, `${layer}.tar`));
    digests.set(layer, `sha256:${await fileHash(join(out, `${layer}.tar`))}`);
  }
  const manifest: object[] = [];
  for (const [name, { tags, layers, entrypoint, command }] of Object.entries(IMAGES)) {
    const config = JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: {
        Entrypoint: entrypoint ?? null,
        Cmd: command ?? null,
        WorkingDir: '/',
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => digests.get(layer)) },
    });
    const file = `${createHash('sha256').update(config).digest('hex')}.json`;
    await writeFile(join(out, file), config);
    manifest.push({
      Config: file,
      RepoTags: tags.map((tag) => `${REGISTRY}/${name}:${tag}`),
      Layers: layers.map((layer) => `${layer}.tar`),
    });
  }
  await writeFile(join(out, 'manifest.json'), JSON.stringify(manifest));
  await tar(out, archive);
}

/** The same folder gives the same archive, bit by bit. */
async function tar(folder: string, archive: string): Promise<void> {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  // The folder's own entry would say what rights an image's root has.
  await run(['sh', '-c', 'cd "$1" && shift && exec tar "$@" *', 'sh', folder, ...same, '-cf', archive], {
    timeoutMs: 300_000,
  });
}
