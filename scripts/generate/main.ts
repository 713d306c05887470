// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run generate`: writes everything that follows from the schemas.
 * `npm run generate -- --check`: writes nothing, exits 1 and names the files that differ.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { generateOutputs, type Outputs } from './outputs.ts';

const root = join(import.meta.dirname, '../..');
const check = process.argv.includes('--check');

/** Codecs are made from the BTF of built objects, which include generated headers: they come after these. */
async function codecs(): Promise<Outputs> {
  execFileSync('make', ['--silent', `-j${availableParallelism()}`, 'bpf'], { cwd: root, stdio: 'inherit' });
  const path = join(root, 'scripts/generate/codecs.ts');
  if (!existsSync(path)) return new Map();
  const module = (await import(pathToFileURL(path).href)) as { generateCodecs: (root: string) => Outputs };
  return module.generateCodecs(root);
}

/** Writes what differs, unless it only checks; returns the names of what differed. */
function settle(outputs: Outputs): string[] {
  const different = [...outputs].filter(([name, content]) => {
    const path = join(root, name);
    return !existsSync(path) || readFileSync(path, 'utf8') !== content;
  });
  for (const [name, content] of check ? [] : different) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return different.map(([name]) => name);
}

const fromSchemas = await generateOutputs(root);
const different = settle(fromSchemas);
const fromObjects = await codecs();
different.push(...settle(fromObjects));

if (check && different.length > 0) {
  console.error('These generated files are not what the schemas say; run `npm run generate`:');
  for (const name of different) console.error(`  ${name}`);
  process.exitCode = 1;
} else {
  const count = fromSchemas.size + fromObjects.size;
  console.log(
    `${count} generated files, ${check ? 'all as the schemas say' : `${different.length} written`}`,
  );
}
