// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { parseManifest } from '../api/manifest-text.ts';
import { isManifestName } from '../dataplane/sources/manifests/directory.ts';
import { CliError, EXIT } from './errors.ts';
import type { ApplyInput } from './view/object-view.ts';

export interface InputFile {
  /** Path as it was given; `-` for standard input. */
  readonly name: string;
  readonly text: string;
}

/** Files that `-f` names: files, directories (their manifests, not below), `-` for standard input. */
export async function readInputs(paths: readonly string[]): Promise<InputFile[]> {
  const files: InputFile[] = [];
  for (const path of paths) {
    if (path === '-') {
      files.push({ name: '-', text: await readText(process.stdin) });
      continue;
    }
    const info = await stat(path).catch(() => undefined);
    if (info === undefined) throw new CliError(EXIT.notFound, `there is no file ${path}`, 'check -f');
    if (!info.isDirectory()) files.push({ name: path, text: await readFile(path, 'utf8') });
    else {
      const names = (await readdir(path)).filter(isManifestName).sort();
      if (names.length === 0)
        throw new CliError(EXIT.notFound, `no .yaml, .yml or .json in ${path}`, 'check -f');
      for (const name of names)
        files.push({ name: join(path, name), text: await readFile(join(path, name), 'utf8') });
    }
  }
  return files;
}

/** The objects of files, unchecked, with their places. @throws CliError for what is no YAML or JSON. */
export function objectsOf(files: readonly InputFile[], namespace: string | undefined): ApplyInput[] {
  return files.flatMap(({ name, text }) => {
    const { documents, problems } = parseManifest(text);
    const [problem] = problems;
    if (problem !== undefined) {
      throw new CliError(
        EXIT.refused,
        `${name}:${problem.line}: ${problem.message}`,
        'correct the YAML or JSON',
      );
    }
    return documents.map(({ value, line }) => ({
      value: inNamespace(value, namespace),
      place: `${name}:${line}`,
    }));
  });
}

/** `-n` gives a namespace to objects that name none. */
function inNamespace(value: unknown, namespace: string | undefined): unknown {
  const object = value as { kind?: string; metadata?: { namespace?: string } } | null;
  if (namespace === undefined || typeof object !== 'object' || object === null || !object.metadata)
    return value;
  if (object.kind === 'Node' || object.kind === 'CubeNode' || object.metadata.namespace !== undefined)
    return value;
  return { ...object, metadata: { ...object.metadata, namespace } };
}
