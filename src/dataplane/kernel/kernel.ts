// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentError } from '../errors.ts';
import { isBpffs } from './pins.ts';
import { run } from './run.ts';

/** Where make puts the object files. */
export const OBJECTS = fileURLToPath(new URL('../../../build/bpf', import.meta.url));
export const BPFFS = '/sys/fs/bpf';

/**
 * Makes sure that a folder is on a BPF file system; below the usual mount point that is mounted where it is missing. Throws
 * AgentError BpffsNotMounted.
 */
export async function ensureBpffs(path: string): Promise<void> {
  if (isBpffs(path)) return;
  const below = path === BPFFS || path.startsWith(`${BPFFS}/`);
  const remedy = `mount it: mount -t bpf bpf ${below ? BPFFS : path}`;
  if (!below) throw new AgentError('BpffsNotMounted', `${path} is not on a BPF file system`, remedy);
  try {
    if (!isBpffs(BPFFS)) await run(['mount', '-t', 'bpf', 'bpf', BPFFS]);
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new AgentError('BpffsNotMounted', `there is no BPF file system at ${BPFFS}`, remedy, error);
  }
}

/** Hash of each object file by name, read once: an object that is built anew is another program. */
export function hashObjects(folder: string): Map<string, string> {
  const hashes = new Map<string, string>();
  if (!existsSync(folder)) return hashes;
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.o')) continue;
    const hash = createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex')
      .slice(0, 12);
    hashes.set(basename(file, '.o'), hash);
  }
  return hashes;
}

/** Kernel releases in which a feature came, for features that no file shows. */
const SINCE: Readonly<Record<string, readonly [number, number]>> = {
  CollectMetadataVXLAN: [4, 3],
  Clsact: [4, 5],
  BatchOperations: [5, 6],
  RingBuffer: [5, 8],
  RedirectPeer: [5, 10],
  RedirectNeigh: [5, 10],
  MapElemIteration: [5, 13],
  Timer: [5, 15],
  TCX: [6, 6],
};

export function kernelFeatures(): { release: string; features: string[] } {
  const text = release();
  const [major = 0, minor = 0] = text.split('.').map((part) => Number.parseInt(part, 10));
  const features = Object.entries(SINCE)
    .filter(([, [m, n]]) => major > m || (major === m && minor >= n))
    .map(([name]) => name);
  if (existsSync('/sys/kernel/btf/vmlinux')) features.push('BTF');
  return { release: text, features: features.sort() };
}
