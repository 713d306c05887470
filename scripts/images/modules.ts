// SPDX-License-Identifier: Apache-2.0
/** The npm packages that the agent and the operator load in a pod. */
import { join } from 'node:path';
import { type Entry, tree } from './entry.ts';

/**
 * Loaded for the exec and auth-provider plugins of kubeconfigs alone (src/k8s/kubeconfig.ts): programs that are in no image,
 * for pods have a service account. With what it needs it would be three quarters of all modules.
 */
export const LEFT_OUT: readonly string[] = ['@kubernetes/client-node'];

export interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface Module extends LockedPackage {
  readonly name: string;
  /** As `node_modules/pino`. */
  readonly path: string;
}

/** What the project's dependencies need, without those that are left out, by path. Pure. */
export function productionModules(lock: Lock, leftOut: readonly string[] = LEFT_OUT): Module[] {
  const found = new Map<string, Module>();
  const visit = (from: string, names: readonly string[]): void => {
    for (const name of names) {
      const path = resolve(lock, from, name);
      if (path === undefined || found.has(path)) continue;
      const locked = lock.packages[path] as LockedPackage;
      found.set(path, { name, path, ...locked });
      visit(path, Object.keys({ ...locked.dependencies, ...locked.optionalDependencies }));
    }
  };
  visit(
    '',
    Object.keys(lock.packages['']?.dependencies ?? {}).filter((name) => !leftOut.includes(name)),
  );
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** As Node does: in the folder of the one that asks, then in those above. Undefined: optional, and of another platform. */
function resolve(lock: Lock, from: string, name: string): string | undefined {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (lock.packages[path] !== undefined) return path;
    if (at === '') return undefined;
  }
}

/** Of a package: types, maps, and what its authors test and describe it with, are for people who write code. */
export function isLoaded(path: string): boolean {
  if (/^(LICEN[CS]E|COPYING|NOTICE)/i.test(path)) return true;
  return (
    !(
      /^(tests?|docs|benchmarks|examples|types|\.github)\//.test(path) ||
      /\.(md|map|flow|[cm]?ts)$/.test(path)
    ) && !path.includes('node_modules/')
  );
}

export function moduleEntries(root: string, target: string, modules: readonly Module[]): Entry[] {
  return modules.flatMap(({ path }) => tree(join(root, path), `${target}/${path}`, isLoaded));
}
