// SPDX-License-Identifier: Apache-2.0
/** The container image as a folder, from the archive that `npm run images` makes. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { run } from '../process.ts';

const MAIN = new URL('../../../scripts/images/main.ts', import.meta.url).pathname;

export interface UnpackedImage {
  /** As pods ask for it. */
  readonly name: string;
  /** Root of its file system. */
  readonly root: string;
}

/** Makes the image, or takes what was made of the same sources, and unpacks its layers into the lab's folder. */
export async function unpackImage(lab: Lab): Promise<UnpackedImage> {
  const output = join(lab.directory, 'image');
  const { stdout } = await run([process.execPath, MAIN, '--output', output], { timeoutMs: 300_000 });
  const [, archive = ''] = /^archive +(\S+)/m.exec(stdout) ?? [];
  const layout = join(output, 'layout');
  const root = join(output, 'root');
  for (const folder of [layout, root]) await mkdir(folder, { recursive: true });
  await run(['tar', '--extract', `--file=${archive}`, `--directory=${layout}`]);
  const read = async ({ digest }: { digest: string }) =>
    JSON.parse(await readFile(join(layout, 'blobs', digest.replace(':', '/')), 'utf8'));
  const [first] = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')).manifests;
  for (const { digest } of (await read(first)).layers as { digest: string }[]) {
    const layer = join(layout, 'blobs', digest.replace(':', '/'));
    await run(['tar', '--extract', '--gzip', `--file=${layer}`, `--directory=${root}`], {
      timeoutMs: 60_000,
    });
  }
  return { name: first.annotations['io.containerd.image.name'], root };
}
