// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline';
import { canonicalJson } from '../../api/hash.ts';
import { type KubeClient as Client, connect, type KubeClient } from '../../k8s/client.ts';
import { isKubeError } from '../../k8s/errors.ts';
import { EVENTS, type KubeObject, pathOf, type ResourceType } from '../../k8s/resource.ts';
import { CliError, EXIT } from '../errors.ts';
import { KIND_INFOS, type KindInfo } from '../kinds.ts';
import type {
  ApplyInput,
  ApplyResult,
  EventRow,
  ObjectView,
  Query,
  ViewObject,
  WatchEvent,
} from './object-view.ts';

/** Owner of fields that are applied from the command line, apart from kubectl's so that a change of tool is seen. */
const FIELD_MANAGER = 'cubeplane-cli';

/** Objects of a real API server, by the project's own client. */
export class ClusterView implements ObjectView {
  readonly name: string;
  readonly defaultNamespace: string;
  readonly #client: KubeClient;

  static async open(options: { kubeconfig?: string; context?: string }): Promise<ClusterView> {
    return new ClusterView(await connect(options));
  }

  constructor(client: Client) {
    this.#client = client;
    this.name = `Kubernetes at ${client.server}`;
    this.defaultNamespace = client.namespace;
  }

  async list(info: KindInfo, query: Query): Promise<ViewObject[]> {
    const named =
      query.name === undefined
        ? query.fieldSelector
        : both(`metadata.name=${query.name}`, query.fieldSelector);
    const options = {
      ...(info.namespaced && query.namespace !== undefined ? { namespace: query.namespace } : {}),
      ...(query.labelSelector === undefined ? {} : { labelSelector: query.labelSelector }),
      ...(named === undefined ? {} : { fieldSelector: named }),
    };
    const objects: ViewObject[] = [];
    for await (const object of this.#client.list(typeOf(info), options)) objects.push(complete(info, object));
    return objects;
  }

  async warnings(): Promise<string[]> {
    return [];
  }

  async events(object: ViewObject): Promise<EventRow[]> {
    const { uid, namespace } = object.metadata;
    const rows: EventRow[] = [];
    const place = { namespace: namespace ?? 'default', fieldSelector: `regarding.kind=${object.kind}` };
    for await (const event of this.#client.list(EVENTS, place)) {
      const { regarding, type, reason, note, eventTime, series, reportingController } = event as Record<
        string,
        unknown
      > & {
        regarding?: { uid?: string };
        series?: { lastObservedTime?: string };
      };
      if (regarding?.uid !== uid) continue;
      const at = series?.lastObservedTime ?? eventTime ?? event.metadata.creationTimestamp;
      rows.push({
        type: String(type ?? ''),
        reason: String(reason ?? ''),
        at: String(at ?? ''),
        from: String(reportingController ?? ''),
        message: String(note ?? ''),
      });
    }
    return rows.sort((a, b) => (a.at < b.at ? -1 : 1));
  }

  async *watch(info: KindInfo, query: Query, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const type = typeOf(info);
    const named =
      query.name === undefined
        ? query.fieldSelector
        : both(`metadata.name=${query.name}`, query.fieldSelector);
    const path = pathOf(
      type,
      info.namespaced && query.namespace !== undefined ? { namespace: query.namespace } : {},
    );
    const { body } = await this.#client.stream({
      path,
      query: {
        watch: true,
        labelSelector: query.labelSelector,
        fieldSelector: named,
        allowWatchBookmarks: false,
      },
      signal,
      object: info.plural,
    });
    try {
      for await (const line of createInterface(body)) {
        const event = JSON.parse(line) as { type: string; object: KubeObject & { message?: string } };
        if (event.type === 'ERROR') {
          throw new CliError(
            EXIT.failure,
            `the watch ended: ${event.object.message}`,
            'start the command again',
          );
        }
        yield { type: event.type as WatchEvent['type'], object: complete(info, event.object) };
      }
    } catch (failure) {
      if (!signal.aborted) throw failure;
    } finally {
      body.destroy();
    }
  }

  async apply(
    inputs: readonly ApplyInput[],
    options: { dryRun: boolean; force: boolean },
  ): Promise<ApplyResult[]> {
    // A round without effect first: the server refuses what is wrong before anything is written.
    await this.#applyAll(inputs, { ...options, dryRun: true });
    return await this.#applyAll(inputs, options);
  }

  async #applyAll(
    inputs: readonly ApplyInput[],
    options: { dryRun: boolean; force: boolean },
  ): Promise<ApplyResult[]> {
    const results: ApplyResult[] = [];
    for (const { value, place } of inputs) {
      const object = value as KubeObject;
      const info = KIND_INFOS.find(
        (one) => one.kind === object?.kind && apiVersion(one) === object.apiVersion,
      );
      if (info === undefined || object.metadata?.name === undefined) {
        const remedy = `use objects of ${KIND_INFOS.map((one) => one.kind).join(', ')} with metadata.name; kubectl applies others`;
        throw new CliError(EXIT.refused, `${place}: not an object that cubeplane applies`, remedy);
      }
      const namespace = info.namespaced ? (object.metadata.namespace ?? this.defaultNamespace) : undefined;
      const type = typeOf(info);
      const before = await this.#client.get(type, { namespace, name: object.metadata.name });
      const after = await this.#client.request({
        method: 'PATCH',
        path: pathOf(type, { namespace, name: object.metadata.name }),
        query: {
          fieldManager: FIELD_MANAGER,
          force: options.force,
          ...(options.dryRun ? { dryRun: 'All' } : {}),
        },
        contentType: 'application/apply-patch+yaml',
        body: {
          ...object,
          metadata: { ...object.metadata, ...(namespace === undefined ? {} : { namespace }) },
        },
        object: `${info.kind} ${namespace === undefined ? '' : `${namespace}/`}${object.metadata.name}`,
      });
      const same = before !== undefined && contentText(before) === contentText(after);
      const action = before === undefined ? 'created' : same ? 'unchanged' : 'configured';
      results.push({ action, object: complete(info, after) });
    }
    return results;
  }

  async delete(
    info: KindInfo,
    namespace: string | undefined,
    name: string,
    options: { dryRun: boolean },
  ): Promise<boolean> {
    const place = info.namespaced ? (namespace ?? this.defaultNamespace) : undefined;
    if (!options.dryRun) return await this.#client.delete(typeOf(info), { namespace: place, name });
    try {
      return (await this.#client.get(typeOf(info), { namespace: place, name })) !== undefined;
    } catch (failure) {
      if (isKubeError(failure, 'NotFound')) return false;
      throw failure;
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** What people mean by a change: not the server's own notes of who wrote what when. */
function contentText({ metadata, apiVersion: _a, kind: _k, status: _s, ...content }: KubeObject): string {
  return canonicalJson({ content, labels: metadata.labels, annotations: metadata.annotations });
}

function typeOf({ group, version, plural, kind, namespaced }: KindInfo): ResourceType {
  return { group, version, plural, kind, namespaced };
}

function apiVersion({ group, version }: KindInfo): string {
  return group === '' ? version : `${group}/${version}`;
}

/** Elements of a list come without apiVersion and kind. */
function complete(info: KindInfo, object: KubeObject): ViewObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, apiVersion: apiVersion(info), kind: info.kind, metadata } as ViewObject;
}

function both(a: string, b: string | undefined): string {
  return b === undefined || b === '' ? a : `${a},${b}`;
}
