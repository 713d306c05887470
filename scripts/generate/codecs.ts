// SPDX-License-Identifier: Apache-2.0
/**
 * Codecs of the maps of every BPF object, from the BTF of the built objects. Maps and constants that the entry programs
 * have belong to the node (their codecs are in src/dataplane/generated), all others to the cube.
 *
 *   node scripts/generate/codecs.ts [OBJECT ...]   writes the codecs of all or of some objects
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describeObject, type ObjectDescription } from '../../src/dataplane/kernel/codec/bpf-object.ts';
import { codecText } from './codec-text.ts';

interface Source {
  /** Path of the C file below the root. */
  path: string;
  object: string;
  /** Where its codecs go. */
  output: string;
  /** From the output to src/cubes/codec. */
  runtime: string;
}

function sourcesIn(root: string): Source[] {
  const sources: Source[] = [];
  const visit = (folder: string, place: (object: string) => Omit<Source, 'path' | 'object'> | undefined) => {
    for (const file of readdirSync(join(root, folder)).sort()) {
      if (!file.endsWith('.bpf.c')) continue;
      const object = basename(file, '.bpf.c');
      // what is for XDP has the maps of its twin for TC
      if (/^(.*-)?xdp$/.test(object)) continue;
      const placed = place(object);
      if (placed) sources.push({ path: `${folder}/${file}`, object, ...placed });
    }
  };
  visit('bpf/entry', (object) => ({
    output: `src/dataplane/generated/${object}.ts`,
    runtime: '../../cubes/codec',
  }));
  for (const entry of readdirSync(join(root, 'bpf'), { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name === 'entry' || entry.name === 'include') continue;
    visit(`bpf/${entry.name}`, (object) => ({
      output: `src/cubes/${entry.name}/generated/${object === entry.name ? 'codec' : object}.ts`,
      runtime: '../../codec',
    }));
  }
  visit('test/kernel/fixtures', (object) =>
    object.startsWith('codec')
      ? { output: `test/kernel/fixtures/generated/${object}.ts`, runtime: '../../../../src/cubes/codec' }
      : undefined,
  );
  return sources;
}

/** What `object` has and `node` has not, by name. */
function without(object: ObjectDescription, node: ObjectDescription[]): ObjectDescription {
  const own = <Item extends { name: string }>(
    items: Item[],
    theirs: (other: ObjectDescription) => { name: string }[],
  ) => items.filter((item) => !node.some((other) => theirs(other).some(({ name }) => name === item.name)));
  return {
    maps: own(object.maps, (other) => other.maps),
    constants: own(object.constants, (other) => other.constants),
    records: own(object.records, (other) => other.records),
  };
}

/** Builds the objects and returns path below the root → text of every generated file, or of those of some objects. */
export function generateCodecs(root: string, only: readonly string[] = []): Map<string, string> {
  const sources = sourcesIn(root);
  const wanted = sources.filter(({ object }) => only.length === 0 || only.includes(object));
  const isEntry = ({ path }: Source) => path.startsWith('bpf/entry/');
  const needed = [...new Set([...wanted, ...sources.filter(isEntry)])];
  const targets = needed.map(({ object }) => `build/bpf/${object}.o`);
  execFileSync('make', ['--silent', ...targets], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });

  const described = new Map(
    needed.map((source) => {
      try {
        return [source, describeObject(readFileSync(join(root, `build/bpf/${source.object}.o`)))] as const;
      } catch (cause) {
        throw new Error(`${source.path}: ${(cause as Error).message}`, { cause });
      }
    }),
  );
  const node = [...described].filter(([source]) => isEntry(source)).map(([, description]) => description);
  const outputs = new Map<string, string>();
  for (const source of wanted) {
    const description = described.get(source);
    if (!description) continue;
    const own = source.path.startsWith('bpf/') && !isEntry(source) ? without(description, node) : description;
    outputs.set(source.output, codecText(own, source.path, source.runtime));
  }
  return outputs;
}

if (process.argv[1] === import.meta.filename) {
  const root = join(import.meta.dirname, '../..');
  for (const [path, text] of generateCodecs(root, process.argv.slice(2))) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    console.log(path);
  }
}
