// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

/** Metadata as a manifest may give it. */
export interface ManifestMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** An object as it stands in a manifest; valid, with defaults filled in, once a file has been accepted. */
export interface KubeManifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMeta;
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [field: string]: unknown;
}

/** An object and the place where it stands. */
export interface ManifestObject {
  /** {@link objectKey} of it. */
  readonly key: string;
  readonly object: KubeManifest;
  readonly file: string;
  /** Of the first line of its document, from 1. */
  readonly line: number;
  /** Number of its document in the file, from 0. */
  readonly document: number;
}

/** `Kind/namespace/name`; the namespace is empty for kinds without one. */
export function objectKey(kind: string, namespace: string | undefined, name: string): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

export function keyOfObject(object: KubeManifest): string {
  return objectKey(object.kind, object.metadata.namespace, object.metadata.name);
}

/** `Kind namespace/name`, as messages call it. */
export function objectText(kind: string, namespace: string | undefined, name: string): string {
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/**
 * The uid of an object of a directory: a hash of kind, namespace and name in the form of a UUID of version 8 (RFC 9562),
 * so that every agent on the directory, at every start, knows the object by the same uid.
 */
export function manifestUid(kind: string, namespace: string | undefined, name: string): string {
  const hex = createHash('sha256')
    .update(objectKey(kind, namespace, name))
    .digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
