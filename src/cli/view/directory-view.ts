// SPDX-License-Identifier: Apache-2.0

import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { LABELS } from '../../api/group.ts';
import type { KubeManifest, ManifestObject } from '../../dataplane/sources/manifests/manifest-object.ts';
import { keyOfObject, objectKey, objectText } from '../../dataplane/sources/manifests/manifest-object.ts';
import { checkObject } from '../../dataplane/sources/manifests/read-version.ts';
import { CliError, EXIT } from '../errors.ts';
import { infoOfKind, type KindInfo } from '../kinds.ts';
import { fieldPredicate, labelPredicate } from '../selectors.ts';
import { fileNameOf, rewrite, withLock, writeNew } from './directory-files.ts';
import { problemLines, readSnapshot, type Snapshot } from './directory-snapshot.ts';
import type {
  ApplyInput,
  ApplyResult,
  EventRow,
  ObjectView,
  Query,
  ViewObject,
  WatchEvent,
} from './object-view.ts';

/** How often a watch looks at the directory and the statuses. */
const WATCH_MS = 300;

/** A directory of manifests with the statuses that its agents wrote: `cubeplane` without a cluster. */
export class DirectoryView implements ObjectView {
  readonly name: string;
  readonly defaultNamespace = undefined;
  readonly #directory: string;
  readonly #stateRoot: string;

  constructor(directory: string, stateRoot: string) {
    this.#directory = directory;
    this.#stateRoot = stateRoot;
    this.name = `manifests in ${directory}`;
  }

  async #snapshot(): Promise<Snapshot> {
    return await readSnapshot(this.#directory, this.#stateRoot);
  }

  async list(info: KindInfo, query: Query): Promise<ViewObject[]> {
    return select(await this.#snapshot(), info, query);
  }

  async warnings(): Promise<string[]> {
    return problemLines(await this.#snapshot());
  }

  async events(object: ViewObject): Promise<EventRow[]> {
    const { problems } = await this.#snapshot();
    const called = objectText(object.kind, object.metadata.namespace, object.metadata.name);
    return problems
      .filter((problem) => problem.object === called)
      .map(({ reason, file, line, field, message, remedy }) => ({
        type: 'Warning',
        reason,
        at: '',
        from: `${file}:${line}`,
        message: `${field === undefined ? '' : `${field}: `}${message} (${remedy})`,
      }));
  }

  async *watch(info: KindInfo, query: Query, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    let last = new Map<string, ViewObject>();
    while (!signal.aborted) {
      const now = new Map(
        (await this.list(info, query)).map((object) => [keyOfObject(object as KubeManifest), object]),
      );
      for (const [key, object] of now) {
        const before = last.get(key);
        if (before === undefined) yield { type: 'ADDED', object };
        else if (!isDeepStrictEqual(withoutTimes(before), withoutTimes(object)))
          yield { type: 'MODIFIED', object };
      }
      for (const [key, object] of last) if (!now.has(key)) yield { type: 'DELETED', object };
      last = now;
      await sleep(WATCH_MS, undefined, { signal }).catch(() => {});
    }
  }

  async apply(
    inputs: readonly ApplyInput[],
    options: { dryRun: boolean; force: boolean },
  ): Promise<ApplyResult[]> {
    return await withLock(this.#directory, async () => {
      const snapshot = await this.#snapshot();
      const checked = inputs.map((input) => this.#check(input, snapshot));
      refuseTwice(inputs, checked);
      const results: ApplyResult[] = [];
      for (const [index, object] of checked.entries()) {
        const entry = snapshot.manifests.get(keyOfObject(object));
        const action =
          entry === undefined
            ? 'created'
            : isDeepStrictEqual(entry.object, object)
              ? 'unchanged'
              : 'configured';
        if (!options.dryRun && action !== 'unchanged')
          await this.#write(snapshot, entry, object, inputs[index]?.value);
        results.push({ action, object });
      }
      return results;
    });
  }

  async delete(
    info: KindInfo,
    namespace: string | undefined,
    name: string,
    options: { dryRun: boolean },
  ): Promise<boolean> {
    return await withLock(this.#directory, async () => {
      const snapshot = await this.#snapshot();
      const key = objectKey(info.kind, namespace, name);
      const entry = snapshot.manifests.get(key);
      if (entry === undefined) {
        const derived = snapshot.objects.get(key);
        if (derived !== undefined) throw notYours(derived);
        return false;
      }
      refuseBroken(snapshot, entry.file);
      if (!options.dryRun) await rewrite(this.#directory, entry, undefined);
      return true;
    });
  }

  async close(): Promise<void> {}

  #check(input: ApplyInput, snapshot: Snapshot): KubeManifest {
    const result = checkObject(input.value, (key) => snapshot.manifests.get(key)?.object);
    if (!result.ok) {
      const [first] = result.problems;
      const more = result.problems
        .slice(1)
        .map(({ field, message, remedy }) => `\n  ${field}: ${message} (${remedy})`);
      const message = `${input.place}: ${result.object}: ${first?.field ? `${first.field}: ` : ''}${first?.message}`;
      throw new CliError(EXIT.refused, `${message}${more.join('')}`, first?.remedy ?? '');
    }
    const key = keyOfObject(result.object);
    const derived = snapshot.objects.get(key);
    if (derived !== undefined && !snapshot.manifests.has(key) && derived.kind !== 'CubeNode')
      throw notYours(derived);
    return result.object;
  }

  async #write(
    snapshot: Snapshot,
    entry: ManifestObject | undefined,
    object: KubeManifest,
    value: unknown,
  ): Promise<void> {
    if (entry !== undefined) {
      refuseBroken(snapshot, entry.file);
      await rewrite(this.#directory, entry, value);
      return;
    }
    const info = infoOfKind(object.kind) as KindInfo;
    const file = fileNameOf(info, object.metadata.namespace, object.metadata.name);
    refuseBroken(snapshot, file);
    await writeNew(this.#directory, file, value);
  }
}

function select(snapshot: Snapshot, info: KindInfo, query: Query): ViewObject[] {
  const labels = query.labelSelector === undefined ? () => true : labelPredicate(query.labelSelector);
  const fields = query.fieldSelector === undefined ? () => true : fieldPredicate(info, query.fieldSelector);
  const place = ({ metadata }: ViewObject) => `${metadata.namespace ?? ''}/${metadata.name}`;
  return [...snapshot.objects.values()]
    .filter((object) => object.kind === info.kind)
    .filter(
      ({ metadata }) =>
        !info.namespaced || query.namespace === undefined || metadata.namespace === query.namespace,
    )
    .filter(({ metadata }) => query.name === undefined || metadata.name === query.name)
    .filter((object) => labels(object.metadata.labels ?? {}) && fields(object))
    .sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

/** Objects that agents derive are changed where they come from. */
function notYours(object: ViewObject): CliError {
  const { namespace, name, labels } = object.metadata;
  const chain = labels?.[LABELS.chain];
  const source =
    chain === undefined ? 'a Service or Node of the directory' : `ServiceChain ${namespace}/${chain}`;
  const message = `${objectText(object.kind, namespace, name)} is derived from ${source}`;
  return new CliError(EXIT.refused, message, `change or delete ${source} instead`);
}

function refuseBroken(snapshot: Snapshot, file: string): void {
  const problem = snapshot.problems.find((one) => one.file === file);
  if (problem === undefined) return;
  const message = `${file} is broken (line ${problem.line}: ${problem.message}), so it is not written over`;
  throw new CliError(EXIT.conflict, message, `correct or remove ${file} first`);
}

function refuseTwice(inputs: readonly ApplyInput[], checked: readonly KubeManifest[]): void {
  const places = new Map<string, string>();
  for (const [index, object] of checked.entries()) {
    const key = keyOfObject(object);
    const place = inputs[index]?.place ?? '';
    const first = places.get(key);
    if (first !== undefined) {
      const { namespace, name } = object.metadata;
      const message = `${place}: ${objectText(object.kind, namespace, name)} stands in ${first} as well`;
      throw new CliError(EXIT.refused, message, 'remove one of the two');
    }
    places.set(key, place);
  }
}

/** A snapshot without agents makes up creation times anew. */
function withoutTimes(object: ViewObject): unknown {
  const { creationTimestamp: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
