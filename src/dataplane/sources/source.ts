// SPDX-License-Identifier: Apache-2.0
import type { NamespaceInput, PodInput } from '../../operators/inputs.ts';

/**
 * Where an agent gets the objects of its node from and writes their status to. There are two: the Kubernetes API and a
 * directory of manifests. The agent cannot tell them apart.
 *
 * A source hands over what concerns its node only: Cubes and CubeLinks whose `spec.nodeName` it is, all CubeTables, the
 * CubeNode and the Node of that name. What it hands over is valid by schema (defaults filled in, CEL rules met); what is
 * not stays with the source, which reports it by the object's status. ServiceChains, Services and the like never come
 * here: who turns them into these kinds (operator or manifest directory) stands before the source.
 */

export const SOURCE_KINDS = ['Cube', 'CubeLink', 'CubeTable', 'CubeNode', 'Node'] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

/** Kinds that the agent writes a status to. */
export type StatusKind = 'Cube' | 'CubeLink' | 'CubeNode';

export interface SourceMeta {
  /** Absent for CubeNode and Node. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  /** Grows with each change of the spec. */
  readonly generation: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** RFC 3339; decides between two objects that want the same thing: the older wins. */
  readonly creationTimestamp?: string;
  /** Somebody has asked for its end, and something still holds it. */
  readonly deletionTimestamp?: string;
}

export interface SourceObject {
  readonly kind: SourceKind;
  readonly metadata: SourceMeta;
  readonly spec: unknown;
  /** The last status written, so that an agent that starts again keeps transition times and writes nothing new. */
  readonly status?: unknown;
}

/** What the agent gives a source. Calls are synchronous, cheap and never throw. */
export interface SourceHandler {
  /** An object is there, or has changed. The same content again is allowed and costs little. */
  set(object: SourceObject): void;
  /** An object is gone. Unknown ones are passed over. */
  delete(kind: SourceKind, namespace: string | undefined, name: string): void;
  /** Every object that was there at the start has been handed over. Called once; nothing is removed from the kernel before. */
  synced(): void;
}

export interface StatusTarget {
  readonly kind: StatusKind;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
}

export interface SourceHealth {
  readonly synced: boolean;
  /** Why it may be behind, for people; absent while all is well. */
  readonly problem?: string;
}

export interface Source {
  /** For messages: `manifests in /etc/cubeplane`, `Kubernetes at https://…`. */
  readonly name: string;
  /** Starts handing over. Resolves at once; a source that cannot reach its objects keeps trying and says so by `health`. */
  start(handler: SourceHandler): Promise<void>;
  /** Ends it; no call of the handler comes afterwards. */
  stop(): Promise<void>;
  /**
   * Replaces the fields of a status that the agent owns: all it ever writes is in `status`. Resolves to false when the
   * object is gone or is another one by now (uid). Rejects when it may be tried again.
   */
  writeStatus(target: StatusTarget, status: Readonly<Record<string, unknown>>): Promise<boolean>;
  health(): SourceHealth;
  /**
   * A Pod with its Namespace, as they are now; undefined when there is no such Pod. Absent where the source has no pods.
   * Rejects when they cannot be read.
   */
  readPod?(
    namespace: string,
    name: string,
  ): Promise<{ readonly pod: PodInput; readonly namespace: NamespaceInput } | undefined>;
}
