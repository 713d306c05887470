// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import type { Image } from './archive.ts';
import type { Contents } from './contents.ts';
import { type Layer, makeLayer } from './layer.ts';

export const ARCHITECTURE = 'amd64';

/** The image of these contents; its layers come from the build folder where they were made before. `said` hears of each layer. */
export async function makeImage(
  root: string,
  name: string,
  { layers, version }: Pick<Contents, 'layers' | 'version'>,
  said: (layer: Layer, files: number) => void = () => {},
): Promise<Image> {
  const made = [];
  for (const { name: title, entries } of layers) {
    const layer = await makeLayer(title, entries, join(root, 'build/images/layers'));
    said(layer, entries.length);
    made.push(layer);
  }
  return {
    name: `${name}:${version}`,
    architecture: ARCHITECTURE,
    entrypoint: ['cubeplane'],
    labels: {
      'org.opencontainers.image.title': 'cubeplane',
      'org.opencontainers.image.description': 'Agent and operator of Cubeplane',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
    layers: made,
  };
}
