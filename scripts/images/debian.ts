// SPDX-License-Identifier: Apache-2.0
/**
 * The programs that the agent starts, and the libraries that these, Node and the addon need: single files of the Debian
 * packages that are installed here, which the addon was linked with.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Entry, file, link, text } from './entry.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

export interface System {
  readonly entries: readonly Entry[];
  readonly packages: readonly DebianPackage[];
}

/** A file that is to be in the image, at `path`, in its place among merged folders. */
interface Wanted {
  readonly path: string;
  readonly mode: number;
}

/**
 * @param programs absolute paths; they go into the image.
 * @param users paths of ELF files whose libraries go into the image, and not they.
 * @throws Error naming what is missing or changed, and what to do.
 */
export function collectSystem(programs: readonly string[], users: readonly string[]): System {
  if (!existsSync('/var/lib/dpkg/status'))
    throw new Error(
      'this is not Debian: images are made of the files of Debian packages; build them on Debian 12',
    );
  const missing = programs.filter((path) => !existsSync(path));
  if (missing.length > 0) throw new Error(`${missing.join(', ')}: no such file; run npm run setup`);
  const libraries = [...programs, ...users].flatMap(librariesOf);
  const wanted = new Map<string, Wanted>();
  const links = new Map<string, Entry>();
  const want = (path: string, mode: number) => {
    const real = realpathSync(path);
    wanted.set(real, { path: real, mode });
    const asked = join(realpathSync(dirname(path)), basename(path));
    if (asked !== real) links.set(asked, link(asked.slice(1), real));
  };
  for (const path of programs) want(path, 0o755);
  for (const path of libraries) want(path, 0o755);
  // by it scanners know which advisories are about the packages
  want('/etc/os-release', 0o644);
  const owners = ownersOf([...wanted.keys()]);
  for (const [path, owner] of owners) checkUnchanged(path, owner);
  const names = [...new Set(owners.values())].sort();
  return {
    packages: names.map(describe),
    entries: [
      ...[...wanted.values()].map(({ path, mode }) => file(path.slice(1), path, mode)),
      ...links.values(),
      ...names.flatMap(packageEntries),
    ],
  };
}

function librariesOf(program: string): string[] {
  const said = execFileSync('ldd', [program], { encoding: 'utf8' });
  if (said.includes('not found'))
    throw new Error(
      `${program} needs a library that is not here: ${/^.*not found.*$/m.exec(said)?.[0].trim()}`,
    );
  return [...said.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

/** Package of each path. Folders of Debian 12 are merged, the lists of its packages not yet: /usr/bin/ip is /bin/ip there. */
function ownersOf(paths: readonly string[]): Map<string, string> {
  const asked = paths.flatMap((path) => [path, path.replace(/^\/usr/, '')]);
  const { stdout } = spawnSync('dpkg-query', ['--search', ...asked], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const owners = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const [, owner = '', path = ''] = /^([^,\s]+): (\/.*)$/.exec(line) ?? [];
    const known = paths.find((one) => one === path || one === `/usr${path}`);
    if (known !== undefined) owners.set(known, owner);
  }
  const without = paths.filter((path) => !owners.has(path));
  if (without.length > 0)
    throw new Error(`${without.join(', ')}: of no Debian package; install those that npm run setup names`);
  return owners;
}

/** What goes into an image is what Debian gave out, not what somebody made of it here. */
function checkUnchanged(path: string, owner: string): void {
  const list = readFileSync(`/var/lib/dpkg/info/${owner}.md5sums`, 'utf8');
  const lines = list.split('\n').map((line) => line.split(/ {2}/));
  const known = lines.find(([, name = '']) => path === `/${name}` || path === `/usr/${name}`)?.[0];
  const now = createHash('md5').update(readFileSync(path)).digest('hex');
  if (known !== now)
    throw new Error(
      `${path} is not as the package ${owner} has it; restore it: apt-get install --reinstall ${owner}`,
    );
}

function describe(name: string): DebianPackage {
  const [version, architecture] = [fieldOf(name, 'Version'), fieldOf(name, 'Architecture')];
  return { name: name.replace(/:.*$/, ''), version, architecture };
}

function fieldOf(name: string, field: string): string {
  return execFileSync('dpkg-query', ['--show', `--showformat=\${${field}}`, name], { encoding: 'utf8' });
}

/** The licence of a package, and its paragraph where scanners of images without dpkg look (as in Google's distroless images). */
function packageEntries(name: string): Entry[] {
  const plain = name.replace(/:.*$/, '');
  const copyright = `/usr/share/doc/${plain}/copyright`;
  if (!existsSync(copyright))
    throw new Error(
      `${copyright}: no such file; apt-get install --reinstall ${name}, without leaving out documentation`,
    );
  const paragraph = execFileSync('dpkg-query', ['--status', name], { encoding: 'utf8' });
  return [
    file(copyright.slice(1), realpathSync(copyright)),
    text(`var/lib/dpkg/status.d/${plain}`, paragraph),
  ];
}
