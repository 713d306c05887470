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

/** `Unchanged`: nothing was sent. */
export type ApplyResult = { action: 'Unchanged' } | { action: 'Applied'; object: KubeObject };

/** Server-side apply of whole objects and of statuses that sends nothing when nothing changed. */
export class Applier {
  readonly #options: ApplierOptions;
  /** What was applied, by digest, and what the API server made of it; they differ where it fills in defaults. */
  readonly #applied = new Map<string, { wanted: string; became: string }>();
  /** Requests sent, for metrics and tests. */
  sent = 0;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /**
   * Applies an object without its status, unless it already is what is wanted.
   *
   * @param observed {@link digestOf} the object as the caller's cache has it; undefined when it is not there. A cache
   * that lags behind costs one request that changes nothing.
   * Throws KubeError (Conflict only without `force`).
   */
  async apply(type: ResourceType, object: KubeObject, observed: string | undefined): Promise<ApplyResult> {
    const at = `${type.plural}/${keyOf(object.metadata)}`;
    const wanted = digestOf(object);
    if (observed !== undefined) {
      const before = this.#applied.get(at);
      if (observed === wanted || (before?.wanted === wanted && before.became === observed)) {
        return { action: 'Unchanged' };
      }
    }
    const { status: _, ...body } = object;
    const answer = await this.#send(type, body as KubeObject, undefined);
    const became = digestOf(answer);
    if (became === wanted) this.#applied.delete(at);
    else this.#applied.set(at, { wanted, became });
    return { action: 'Applied', object: answer };
  }

  /**
   * Applies fields of an object's status; the object must be there, and what is left out of earlier own fields is
   * removed. The caller compares with what is there: a status belongs to several writers.
   */
  async applyStatus(
    type: ResourceType,
    metadata: KubeObject['metadata'],
    status: unknown,
  ): Promise<KubeObject> {
    const { namespace, name, uid } = metadata;
    const identity = {
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
      // With the UID, an object that was made anew in the meantime is refused (Conflict), not given an old status.
      ...(uid === undefined ? {} : { uid }),
    };
    return this.#send(type, { metadata: identity, status }, 'status');
  }

  /** Drops what is remembered of an object, after its deletion. */
  forget(type: ResourceType, key: string): void {
    this.#applied.delete(`${type.plural}/${key}`);
  }

  async #send(type: ResourceType, object: KubeObject, subresource: string | undefined): Promise<KubeObject> {
    const { namespace, name = '' } = object.metadata;
    this.sent++;
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

/** Hash of what a writer decides about an object: spec, labels, owners. Equal for desired and observed object alike. */
export function digestOf(object: KubeObject): string {
  const { labels, ownerReferences } = object.metadata;
  const owners = (ownerReferences ?? []).map(({ kind, name, uid }) => `${kind}/${name}/${uid}`).sort();
  return contentHash({ spec: object.spec ?? {}, labels: labels ?? {}, owners });
}
