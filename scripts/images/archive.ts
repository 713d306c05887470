// SPDX-License-Identifier: Apache-2.0
/** An image as one file: the OCI image layout (image-spec v1) in a tar archive, which container runtimes import. */
import { createWriteStream } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { sha256 } from './entry.ts';
import { add, EPOCH, type Layer } from './layer.ts';

/** Runtimes ask a registry for a name without a host. This one is nowhere but where it was imported. */
export const NAME = 'localhost/cubeplane/cubeplane';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

export interface Image {
  /** With registry and tag, as pods ask for it. */
  readonly name: string;
  readonly architecture: string;
  readonly entrypoint: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly layers: readonly Layer[];
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The documents of an image: `blobs` by their digest, and the index that names the manifest. Pure. */
export function documentsOf(image: Image): {
  readonly digest: string;
  readonly index: string;
  readonly blobs: ReadonlyMap<string, string>;
} {
  const { name, architecture, entrypoint, labels, layers } = image;
  const created = EPOCH.toISOString();
  const blobs = new Map<string, string>();
  const keep = (mediaType: string, document: object): Descriptor => {
    const json = JSON.stringify(document);
    const digest = sha256(json);
    blobs.set(digest, json);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(json) };
  };
  const config = keep(CONFIG, {
    created,
    architecture,
    os: 'linux',
    config: {
      Env: ['PATH=/usr/bin:/bin'],
      Entrypoint: entrypoint,
      WorkingDir: '/',
      Labels: labels,
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => `sha256:${diffId}`) },
    history: layers.map((layer) => ({ created, created_by: 'npm run images', comment: layer.name })),
  });
  const manifest = keep(MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config,
    layers: layers.map(({ digest, size }) => ({ mediaType: LAYER, digest: `sha256:${digest}`, size })),
    annotations: labels,
  });
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...manifest,
        platform: { architecture, os: 'linux' },
        // containerd reads the first, the tools around podman the second
        annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
      },
    ],
  });
  return { digest: manifest.digest, index, blobs };
}

/** Writes the archive, whole or not at all. Returns the digest of the image's manifest. */
export async function writeArchive(image: Image, path: string): Promise<string> {
  const { digest, index, blobs } = documentsOf(image);
  const archive = pack();
  const written = pipeline(archive, createWriteStream(`${path}.new`));
  const put = (name: string, content: Buffer) =>
    add(archive, { name, mode: 0o644, uid: 0, gid: 0, mtime: EPOCH }, content);
  // The two that say what it is come first: a reader need not have seen all before it knows.
  await put('oci-layout', Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' })));
  await put('index.json', Buffer.from(index));
  for (const [hash, json] of blobs) await put(`blobs/sha256/${hash}`, Buffer.from(json));
  for (const layer of image.layers) await put(`blobs/sha256/${layer.digest}`, await readFile(layer.path));
  archive.finalize();
  await written;
  await rename(`${path}.new`, path);
  return digest;
}
