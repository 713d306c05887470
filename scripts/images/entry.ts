// SPDX-License-Identifier: Apache-2.0
/** What is in a layer of an image, before it is a file. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One path of an image, without a slash in front. All of it belongs to root and has the same time. */
export type Entry =
  | { readonly type: 'folder'; readonly path: string; readonly mode: number }
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: number;
      /** A file of this machine, or what is to be in it. */
      readonly from: { readonly file: string } | { readonly text: string };
    };

export const folder = (path: string, mode = 0o755): Entry => ({ type: 'folder', path, mode });
export const link = (path: string, target: string): Entry => ({ type: 'link', path, target });
export const text = (path: string, content: string): Entry => ({
  ...{ type: 'file', path, mode: 0o644, from: { text: content } },
});
export const file = (path: string, source: string, mode = 0o644): Entry => ({
  ...{ type: 'file', path, mode, from: { file: source } },
});

/** Files of a folder of this machine that `wanted` takes, by their path below it, each as a file below `target`. */
export function tree(source: string, target: string, wanted: (path: string) => boolean): Entry[] {
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(source.length + 1))
    .filter(wanted)
    .map((path) => file(`${target}/${path}`, join(source, path)));
}

/**
 * Sorted by path, with the folders above each, so that the order of what was collected does not count. Pure. Throws where
 * one path stands there twice.
 */
export function inOrder(entries: readonly Entry[]): Entry[] {
  const all = new Map<string, Entry>();
  for (const entry of entries) {
    if (all.has(entry.path)) throw new Error(`${entry.path} is in the layer twice`);
    all.set(entry.path, entry);
  }
  for (const { path } of entries) {
    const names = path.split('/');
    for (let length = 1; length < names.length; length++) {
      const above = names.slice(0, length).join('/');
      if (!all.has(above)) all.set(above, folder(above));
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function contentOf(entry: Entry): Buffer {
  if (entry.type !== 'file') return Buffer.alloc(0);
  return 'text' in entry.from ? Buffer.from(entry.from.text) : readFileSync(entry.from.file);
}

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

/** The same for the same content, whatever machine and time. */
export function hashOf(entries: readonly Entry[]): string {
  const lines = entries.map((entry) => {
    const { type, path } = entry;
    const what = type === 'link' ? entry.target : `${entry.mode} ${sha256(contentOf(entry))}`;
    return JSON.stringify([type, path, what]);
  });
  return sha256(lines.join('\n'));
}
