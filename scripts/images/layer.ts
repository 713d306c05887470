// SPDX-License-Identifier: Apache-2.0
/** A layer: a compressed archive that is the same, byte by byte, for the same entries. */
import { createHash, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Header, type Pack, pack } from 'tar-stream';
import { contentOf, type Entry, hashOf, inOrder } from './entry.ts';

/** The time of all files and of the image: what was built is the same whenever it was. */
export const EPOCH = new Date(0);
/** Changed with how a layer is written. The compressor is Node's own, so its version counts too. */
const FORMAT = `1 ${process.version}`;

/** What is not named is as in an archive of root's. */
type Head = Partial<Header> & Pick<Header, 'name'>;

export interface Layer {
  /** What it holds, for people. */
  readonly name: string;
  /** The compressed file. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 of the compressed file, and of the archive in it. */
  readonly digest: string;
  readonly diffId: string;
}

/** The layer of these entries, from `cache` where it was made before. Layers of that name with other entries go. */
export async function makeLayer(name: string, unordered: readonly Entry[], cache: string): Promise<Layer> {
  const entries = inOrder(unordered);
  const key = createHash('sha256')
    .update(`${FORMAT} ${hashOf(entries)}`)
    .digest('hex')
    .slice(0, 16);
  const path = join(cache, `${name}-${key}.tar.gz`);
  const known = await readFile(`${path}.json`, 'utf8').catch(() => undefined);
  if (known !== undefined) return { ...(JSON.parse(known) as Omit<Layer, 'path'>), path };
  await mkdir(cache, { recursive: true });
  for (const old of await readdir(cache)) if (old.startsWith(`${name}-`)) await rm(join(cache, old));
  const layer = { name, ...(await write(entries, path)) };
  await writeFile(`${path}.json.new`, JSON.stringify(layer));
  await rename(`${path}.json.new`, `${path}.json`);
  return { ...layer, path };
}

async function write(
  entries: readonly Entry[],
  path: string,
): Promise<Pick<Layer, 'size' | 'digest' | 'diffId'>> {
  const [inner, outer] = [createHash('sha256'), createHash('sha256')];
  const archive = pack();
  const written = pipeline(
    archive,
    hashing(inner),
    createGzip({ level: 9 }),
    hashing(outer),
    createWriteStream(path),
  );
  for (const entry of entries) await add(archive, headerOf(entry), contentOf(entry));
  archive.finalize();
  await written;
  return { size: (await stat(path)).size, digest: outer.digest('hex'), diffId: inner.digest('hex') };
}

function headerOf(entry: Entry): Head {
  const common = { uid: 0, gid: 0, mtime: EPOCH };
  switch (entry.type) {
    case 'folder':
      return { ...common, name: `${entry.path}/`, type: 'directory', mode: entry.mode };
    case 'link':
      return { ...common, name: entry.path, type: 'symlink', mode: 0o777, linkname: entry.target };
    case 'file':
      return { ...common, name: entry.path, type: 'file', mode: entry.mode };
  }
}

/** Adds one file, and waits until it is taken. */
export async function add(archive: Pack, header: Head, content: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.entry({ ...header, size: content.length }, content, (error) =>
      error == null ? resolve() : reject(error),
    );
  });
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}
