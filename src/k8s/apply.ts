// SPDX-License-Identifier: Apache-2.0
import { contentHash } from '../api/hash.ts';
import { APPLY_PATCH, type KubeClient } from './client.ts';
import { apiVersionOf, describe, type KubeObject, keyOf, pathOf, type ResourceType } from './resource.ts';

export interface ApplierOptions {
  client: KubeClient;
  /** Owner of what is applied, for example `cubeplane-operator`. */
  fieldManager: string;
  /** Takes over fields that another manager owns. Default true: a controller's objects are its own. */
  force?: boolean;
}

export type ApplyResult =
  | { action: 'Unchanged' }
  | { action: 'Applied'; uid: string; generation: number; resourceVersion: string };

interface Applied {
  hash: string;
  uid: string;
  generation: number;
}

/**
 * Server-side apply that sends nothing when nothing changed. It remembers for each object the hash of what it applied
 * and the generation that the API server answered; the same content again is sent only when the object's generation
 * moved on since (somebody else changed it), or it was made anew.
 */
export class Applier {
  readonly #options: ApplierOptions;
  readonly #applied = new Map<string, Applied>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /**
   * Applies an object without its status.
   *
   * @param observed generation and uid of the object as the caller's cache has it; undefined when it is not there.
   * Throws KubeError (Conflict only without `force`).
   */
  async apply(
    type: ResourceType,
    object: KubeObject,
    observed?: { uid?: string; generation?: number },
  ): Promise<ApplyResult> {
    const { status: _, ...body } = object;
    const at = `${type.plural}/${keyOf(object.metadata)}`;
    const hash = contentHash(body);
    const before = this.#applied.get(at);
    if (
      observed !== undefined &&
      before !== undefined &&
      before.hash === hash &&
      before.uid === observed.uid &&
      // A cache behind our own write is no change by somebody else.
      before.generation >= (observed.generation ?? 0)
    ) {
      return { action: 'Unchanged' };
    }
    const answer = await this.#send(type, body as KubeObject, undefined);
    const applied = {
      hash,
      uid: answer.metadata.uid ?? '',
      generation: answer.metadata.generation ?? 0,
    };
    this.#applied.set(at, applied);
    return { action: 'Applied', ...applied, resourceVersion: answer.metadata.resourceVersion ?? '' };
  }

  /**
   * Applies an object's status; the object must be there. The same status twice in a row is sent once, until
   * {@link forget} is called or the object's uid changes.
   */
  async applyStatus(
    type: ResourceType,
    object: KubeObject,
    observed?: { uid?: string },
  ): Promise<ApplyResult> {
    const at = `${type.plural}/${keyOf(object.metadata)}/status`;
    const body = { metadata: object.metadata, status: object.status };
    const hash = contentHash(body);
    const before = this.#applied.get(at);
    if (before?.hash === hash && observed !== undefined && before.uid === observed.uid) {
      return { action: 'Unchanged' };
    }
    const answer = await this.#send(type, body, 'status');
    const applied = {
      hash,
      uid: answer.metadata.uid ?? '',
      generation: answer.metadata.generation ?? 0,
    };
    this.#applied.set(at, applied);
    return { action: 'Applied', ...applied, resourceVersion: answer.metadata.resourceVersion ?? '' };
  }

  /** Drops what is remembered of an object, after its deletion. */
  forget(type: ResourceType, key: string): void {
    this.#applied.delete(`${type.plural}/${key}`);
    this.#applied.delete(`${type.plural}/${key}/status`);
  }

  async #send(type: ResourceType, object: KubeObject, subresource: string | undefined): Promise<KubeObject> {
    const { namespace, name = '' } = object.metadata;
    return this.#options.client.request({
      method: 'PATCH',
      path: pathOf(type, { namespace, name, ...(subresource === undefined ? {} : { subresource }) }),
      query: { fieldManager: this.#options.fieldManager, force: this.#options.force ?? true },
      contentType: APPLY_PATCH,
      body: { ...object, apiVersion: apiVersionOf(type), kind: type.kind },
      object: describe(type, object.metadata),
    });
  }
}
