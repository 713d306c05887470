// SPDX-License-Identifier: Apache-2.0
import { type SourceOptions, withView } from '../context.ts';
import { CliError, EXIT } from '../errors.ts';
import { objectsOf, readInputs } from '../inputs.ts';
import { infoOfKind, type KindInfo, qualifiedName } from '../kinds.ts';
import { findOne, notFound, resourcesOf } from '../resources.ts';
import type { ObjectView } from '../view/object-view.ts';

export interface DeleteOptions extends SourceOptions {
  readonly filename?: readonly string[];
  readonly namespace?: string;
  readonly selector?: string;
  readonly ignoreNotFound?: boolean;
  readonly dryRun?: boolean | string;
}

interface Target {
  readonly info: KindInfo;
  readonly namespace: string | undefined;
  readonly name: string;
}

export async function remove(words: readonly string[], options: DeleteOptions): Promise<void> {
  if ((options.filename === undefined) === (words.length === 0)) {
    throw new CliError(EXIT.usage, 'what is to be deleted?', 'give KIND NAME, or -f FILE, not both');
  }
  await withView(options, async (view) => {
    const dryRun = options.dryRun !== undefined && options.dryRun !== false && options.dryRun !== 'none';
    for (const target of await targets(view, words, options)) {
      const { info, namespace, name } = target;
      const gone = await view.delete(info, namespace, name, { dryRun });
      if (gone) process.stdout.write(`${qualifiedName(info, name)} deleted${dryRun ? ' (dry run)' : ''}\n`);
      else if (options.ignoreNotFound !== true) throw notFound(view, info, namespace, name);
    }
  });
}

async function targets(
  view: ObjectView,
  words: readonly string[],
  options: DeleteOptions,
): Promise<Target[]> {
  if (options.filename !== undefined) {
    const inputs = objectsOf(await readInputs(options.filename), options.namespace);
    return inputs.map(({ value, place }) => {
      const { kind = '', metadata } = (value ?? {}) as {
        kind?: string;
        metadata?: { name?: string; namespace?: string };
      };
      const info = infoOfKind(kind);
      if (info === undefined || metadata?.name === undefined) {
        throw new CliError(
          EXIT.refused,
          `${place}: not an object that cubeplane knows`,
          'check kind and metadata.name',
        );
      }
      const namespace = info.namespaced
        ? (metadata.namespace ?? view.defaultNamespace ?? 'default')
        : undefined;
      return { info, namespace, name: metadata.name };
    });
  }
  const { infos, names } = resourcesOf(words);
  if (names.length === 0 && options.selector === undefined) {
    throw new CliError(EXIT.usage, 'which objects?', 'give their names, or choose by labels: -l app=web');
  }
  const found: Target[] = [];
  for (const info of infos) {
    const namespace = options.namespace ?? view.defaultNamespace;
    for (const name of names) {
      // Where all namespaces are shown, a name is looked for in all of them.
      const object = options.ignoreNotFound === true ? undefined : await findOne(view, info, namespace, name);
      found.push({ info, namespace: object?.metadata.namespace ?? namespace, name });
    }
    if (names.length > 0) continue;
    const query = {
      labelSelector: options.selector ?? '',
      ...(namespace === undefined ? {} : { namespace }),
    };
    for (const { metadata } of await view.list(info, query))
      found.push({ info, namespace: metadata.namespace, name: metadata.name });
  }
  return found;
}
