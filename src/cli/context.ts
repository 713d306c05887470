// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { isInPod } from '../k8s/service-account.ts';
import { CliError, EXIT } from './errors.ts';
import type { ObjectView } from './view/object-view.ts';

export const DEFAULT_STATE_ROOT = '/var/lib/cubeplane';

/** Options that say where objects are; the same for every command that reads or writes them. */
export interface SourceOptions {
  readonly manifests?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly stateDir?: string;
}

export type Source =
  | { readonly type: 'directory'; readonly directory: string; readonly stateRoot: string }
  | { readonly type: 'cluster'; readonly kubeconfig?: string; readonly context?: string };

/**
 * Where objects are: what the options say, else CUBEPLANE_MANIFESTS, else the cluster of a kubeconfig that is there, or that this
 * process is a pod of.
 *
 * @throws CliError for both at once and for none.
 */
export function sourceOf(options: SourceOptions, environment = process.env): Source {
  const cluster = options.kubeconfig !== undefined || options.context !== undefined;
  if (options.manifests !== undefined && cluster) {
    throw new CliError(EXIT.usage, '--manifests and --kubeconfig exclude each other', 'give one of them');
  }
  const named = {
    ...(options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig }),
    ...(options.context === undefined ? {} : { context: options.context }),
  };
  if (cluster) return { type: 'cluster', ...named };
  const directory = options.manifests ?? environment.CUBEPLANE_MANIFESTS;
  if (directory)
    return { type: 'directory', directory: resolve(directory), stateRoot: stateRootOf(options, environment) };
  const home = environment.HOME ?? homedir();
  const isNamed = environment.KUBECONFIG || existsSync(join(home, '.kube/config'));
  if (isNamed || isInPod(environment)) return { type: 'cluster' };
  throw new CliError(
    EXIT.usage,
    'where are the objects?',
    'give --manifests DIR (or CUBEPLANE_MANIFESTS) for a directory, or --kubeconfig FILE for a cluster',
  );
}

export function stateRootOf(options: { stateDir?: string }, environment = process.env): string {
  return resolve(options.stateDir ?? (environment.CUBEPLANE_STATE || DEFAULT_STATE_ROOT));
}

/** Opens the view that the options choose, lends it to `work`, and closes it. */
export async function withView<T>(
  options: SourceOptions,
  work: (view: ObjectView) => Promise<T>,
): Promise<T> {
  const view = await openView(sourceOf(options));
  try {
    return await work(view);
  } finally {
    await view.close();
  }
}

async function openView(source: Source): Promise<ObjectView> {
  if (source.type === 'directory') {
    const { DirectoryView } = await import('./view/directory-view.ts');
    return new DirectoryView(source.directory, source.stateRoot);
  }
  const { type: _, ...options } = source;
  const { ClusterView } = await import('./view/cluster-view.ts');
  return await ClusterView.open(options);
}

/** Tells standard error what is wrong with the source as a whole. */
export async function printWarnings(view: ObjectView): Promise<void> {
  for (const line of await view.warnings()) process.stderr.write(`warning: ${line}\n`);
}
