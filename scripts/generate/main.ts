// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run generate`: writes everything that follows from the schemas.
 * `npm run generate -- --check`: writes nothing, exits 1 and names the files that differ.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { generateOutputs, type Outputs } from './outputs.ts';

const root = join(import.meta.dirname, '../..');
const check = process.argv.includes('--check');

/** Codecs are made from the BTF of built objects: their generator is a module of its own, run when it is there. */
async function addCodecs(outputs: Outputs): Promise<void> {
  const path = join(root, 'scripts/generate/codecs.ts');
  if (!existsSync(path)) return;
  const module = (await import(pathToFileURL(path).href)) as {
    generateCodecs?: (root: string) => Promise<Outputs> | Outputs;
  };
  if (!module.generateCodecs) return;
  for (const [name, content] of await module.generateCodecs(root)) outputs.set(name, content);
}

const outputs = await generateOutputs(root);
await addCodecs(outputs);

const different: string[] = [];
for (const [name, content] of outputs) {
  const path = join(root, name);
  if (existsSync(path) && readFileSync(path, 'utf8') === content) continue;
  different.push(name);
  if (check) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

if (check && different.length > 0) {
  console.error(`These generated files are not what the schemas say; run \`npm run generate\`:`);
  for (const name of different) console.error(`  ${name}`);
  process.exitCode = 1;
} else {
  console.log(
    `${outputs.size} generated files, ${check ? 'all as the schemas say' : `${different.length} written`}`,
  );
}
