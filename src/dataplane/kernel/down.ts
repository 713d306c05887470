// SPDX-License-Identifier: Apache-2.0
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { CgroupLink, TcxLink, unpin, XdpLink } from './addon/index.ts';
import { detachLink } from './links.ts';
import { names, Pins, removeIfEmpty } from './pins.ts';

/** Removes the pins of a node in the order in which nothing is left half connected. Returns what could not be removed. */
export function removeKernelState(bpffs: string, nodeName: string): string[] {
  const { nodeRoot } = new Pins(bpffs, nodeName);
  const failures: string[] = [];
  for (const version of names(nodeRoot)) {
    const root = join(nodeRoot, version);
    for (const [folder, type] of [
      ['xdp', XdpLink],
      ['links', TcxLink],
      ['cgroup', CgroupLink],
    ] as const) {
      for (const link of names(join(root, folder))) {
        try {
          detachLink(type, join(root, folder, link));
        } catch {
          // A link that cannot be opened is unpinned below, which ends it too.
        }
      }
    }
    // Programs before the maps they use; the prog array goes with the maps of the node.
    for (const folder of ['xdp', 'links', 'cgroup', 'programs', 'cubes', 'node'])
      removeTree(join(root, folder), failures);
    removeTree(root, failures);
  }
  removeTree(nodeRoot, failures);
  removeIfEmpty(join(bpffs, 'cubeplane'));
  return failures;
}

function removeTree(path: string, failures: string[]): void {
  try {
    for (const name of names(path)) {
      const child = join(path, name);
      if (lstatSync(child).isDirectory()) removeTree(child, failures);
      else unpin(child);
    }
    removeIfEmpty(path);
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  }
}
