// SPDX-License-Identifier: Apache-2.0
/** Layers and archives are the same, byte by byte, for the same content; and config/default asks for what is made here. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { extract } from 'tar-stream';
import { parse } from 'yaml';
import { type Image, NAME, writeArchive } from './archive.ts';
import { file, folder, link, sha256, text } from './entry.ts';
import { makeLayer } from './layer.ts';

const ROOT = join(import.meta.dirname, '../..');
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cubeplane-images-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** The archive of a small image whose layer is made in a folder of its own. */
async function archiveOf(name: string, program: string): Promise<{ path: string; image: Image }> {
  const entries = [file('usr/bin/program', program, 0o755), link('bin', 'usr/bin'), folder('tmp', 0o1777)];
  const layer = await makeLayer(
    'small',
    [...entries, text(`long/${'x'.repeat(200)}`, 'y')],
    join(directory, name),
  );
  const image = { name: NAME, architecture: 'amd64', entrypoint: ['program'], labels: {}, layers: [layer] };
  const path = join(directory, `${name}.tar`);
  await writeArchive(image, path);
  return { path, image };
}

test('the same content gives the same archive, whenever and wherever it is made', async () => {
  const programs = ['one', 'other'].map((name) => join(directory, `program-${name}`));
  for (const path of programs) writeFileSync(path, 'the same');
  utimesSync(programs[1] ?? '', 1, 1);
  const [one, other] = await Promise.all(programs.map((path, i) => archiveOf(`run-${i}`, path)));
  expect(readFileSync(one?.path ?? '').equals(readFileSync(other?.path ?? ''))).toBe(true);
  writeFileSync(programs[1] ?? '', 'another');
  const third = await archiveOf('run-3', programs[1] ?? '');
  expect(readFileSync(third.path).equals(readFileSync(one?.path ?? ''))).toBe(false);
});

test('a layer is made once for the same content, and one of other content takes its place', async () => {
  const cache = join(directory, 'cache');
  const first = await makeLayer('layer', [text('a', '1')], cache);
  const made = statSync(first.path).mtimeMs;
  expect(await makeLayer('layer', [text('a', '1')], cache)).toEqual(first);
  expect(statSync(first.path).mtimeMs).toBe(made);
  const second = await makeLayer('layer', [text('a', '2')], cache);
  expect(second.digest).not.toBe(first.digest);
  expect(readdirSync(cache)).toHaveLength(2);
});

test('an archive is an OCI layout whose blobs are what their names say', async () => {
  const program = join(directory, 'program');
  writeFileSync(program, 'content');
  const { path, image } = await archiveOf('layout', program);
  const files = await unpack(readFileSync(path));
  expect(JSON.parse(`${files.get('oci-layout')}`)).toEqual({ imageLayoutVersion: '1.0.0' });
  for (const [name, content] of files)
    if (name.startsWith('blobs/sha256/')) expect(`blobs/sha256/${sha256(content)}`).toBe(name);
  const blob = ({ digest }: { digest: string }) =>
    files.get(`blobs/${digest.replace(':', '/')}`) ?? Buffer.alloc(0);
  const [manifest] = JSON.parse(`${files.get('index.json')}`).manifests;
  expect(manifest.annotations['io.containerd.image.name']).toBe(NAME);
  const { config, layers } = JSON.parse(blob(manifest).toString());
  expect(JSON.parse(blob(config).toString())).toMatchObject({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { diff_ids: [`sha256:${image.layers[0]?.diffId}`] },
  });
  expect(blob(layers[0])).toHaveLength(layers[0].size);
});

test.each([['default'], ['uninstall']])(
  'config/%s asks for the image of this version by its name',
  (folder) => {
    const { images } = parse(readFileSync(join(ROOT, 'config', folder, 'kustomization.yaml'), 'utf8'));
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(images).toEqual([{ name: 'cubeplane', newName: NAME, newTag: version }]);
  },
);

test('kustomize takes all CRDs', () => {
  const folder = join(ROOT, 'crds');
  const { resources } = parse(readFileSync(join(folder, 'Kustomization'), 'utf8'));
  expect(resources).toEqual(
    readdirSync(folder)
      .filter((name) => name.endsWith('.yaml'))
      .sort(),
  );
});

async function unpack(archive: Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  return files;
}
