// SPDX-License-Identifier: Apache-2.0
import type { KindInfo } from '../kinds.ts';

/** An object as commands see it, from either side: as the API server would give it. */
export interface ViewObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [field: string]: unknown;
}

export interface Query {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly name?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface EventRow {
  readonly type: string;
  readonly reason: string;
  readonly at: string;
  readonly from: string;
  readonly message: string;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: ViewObject;
}

export type ApplyAction = 'created' | 'configured' | 'unchanged';

export interface ApplyResult {
  readonly action: ApplyAction;
  readonly object: ViewObject;
}

/** Where commands find objects and put them: a directory of manifests, or a cluster. */
export interface ObjectView {
  /** `manifests in DIR`, `Kubernetes at URL`. */
  readonly name: string;
  /** Namespace of objects that name none, and of lists; undefined: lists show all. */
  readonly defaultNamespace: string | undefined;
  /** Objects in order of namespace and name. */
  list(info: KindInfo, query: Query): Promise<ViewObject[]>;
  /** What is wrong with the source as a whole, for standard error. */
  warnings(): Promise<string[]>;
  /** What has happened to an object lately. */
  events(object: ViewObject): Promise<EventRow[]>;
  /** What is there first, as ADDED, then changes, until the signal ends it. */
  watch(info: KindInfo, query: Query, signal: AbortSignal): AsyncGenerator<WatchEvent>;
  /**
   * Checks all objects, then writes them, in order. Nothing is written when one is refused.
   *
   * @throws CliError for a refused one, naming object, field and remedy.
   */
  apply(objects: readonly ApplyInput[], options: { dryRun: boolean; force: boolean }): Promise<ApplyResult[]>;
  /** False when there is no such object. @throws CliError when it is not this command's to delete. */
  delete(
    info: KindInfo,
    namespace: string | undefined,
    name: string,
    options: { dryRun: boolean },
  ): Promise<boolean>;
  close(): Promise<void>;
}

/** An object of a file that is to be applied. */
export interface ApplyInput {
  readonly value: unknown;
  /** `FILE:LINE`, for messages. */
  readonly place: string;
}
