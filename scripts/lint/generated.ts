// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from '../check/command.ts';
import { isGenerated, projectFiles } from './files.ts';

/** Generates everything again and names the files that were out of date; they are up to date afterwards. */
export async function generatedProblems(root: string): Promise<string[]> {
  const before = contents(root);
  const { ok, output } = await command([process.execPath, join(root, 'scripts/generate/main.ts')], {
    inherit: false,
    timeoutSeconds: 120,
  });
  if (!ok) return [`npm run generate failed:\n${output.trim().slice(-4000)}`];
  const after = contents(root);
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => `${path} was out of date: it is generated again now, commit it`);
}

function contents(root: string): Map<string, string> {
  const paths = projectFiles(root).filter(isGenerated);
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}
