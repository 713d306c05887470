// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NAME, writeArchive } from '../../../scripts/images/archive.ts';
import { collectContents, HOME } from '../../../scripts/images/contents.ts';
import { file } from '../../../scripts/images/entry.ts';
import { makeImage } from '../../../scripts/images/image.ts';
import { makeLayer } from '../../../scripts/images/layer.ts';
import { ROOT } from '../checkout.ts';

/**
 * An image like the one of `npm run images`, but with other object files for the kernel, of which agents load their own. They do the
 * same, as behind the end of an ELF file nobody looks, or are `broken`, and no kernel takes them. Writes it into a folder; its name,
 * with `tag`, and the path of its archive.
 */
export async function makeNextImage(
  directory: string,
  tag: string,
  options: { readonly broken?: boolean } = {},
): Promise<{ readonly name: string; readonly archive: string }> {
  const objects = 'build/bpf';
  const changed = join(directory, 'objects');
  await mkdir(changed, { recursive: true });
  const names = (await readdir(join(ROOT, objects))).filter((name) => name.endsWith('.o'));
  const contents = collectContents(ROOT);
  const wanted = new Set(contents.layers.flatMap(({ entries }) => entries.map(({ path }) => path)));
  const entries = [];
  for (const name of names) {
    const path = `${HOME}/${objects}/${name}`;
    if (!wanted.has(path)) continue;
    const whole = options.broken === true ? Buffer.alloc(0) : await readFile(join(ROOT, objects, name));
    const text = Buffer.concat([whole, Buffer.from(tag)]);
    await writeFile(join(changed, name), text);
    entries.push(file(path, join(changed, name)));
  }
  const image = await makeImage(ROOT, NAME, contents);
  const next = await makeLayer('next', entries, join(directory, 'layers'));
  const archive = join(directory, `${tag}.oci.tar`);
  const name = `${NAME}:${tag}`;
  await writeArchive({ ...image, name, layers: [...image.layers, next] }, archive);
  return { name, archive };
}
