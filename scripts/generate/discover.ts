// SPDX-License-Identifier: Apache-2.0
/** Finds every cube type by its folder: src/cubes/<folder>/schema.ts. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CubeTypeSchema, DropReason } from '../../src/api/schemas/cube-type.ts';
import { COMMON_DROP_REASONS } from '../../src/api/schemas/drop-reasons.ts';

export async function discoverCubeTypes(root: string): Promise<CubeTypeSchema[]> {
  const folder = join(root, 'src/cubes');
  const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'schema.ts')));
  const types: CubeTypeSchema[] = [];
  for (const name of names.sort()) {
    const module = (await import(pathToFileURL(join(folder, name, 'schema.ts')).href)) as {
      schema: CubeTypeSchema;
    };
    check(name, module.schema);
    types.push(module.schema);
  }
  return types;
}

/** A wrong declaration stops the generator here, with the place to correct. */
function check(folder: string, type: CubeTypeSchema): void {
  const where = `src/cubes/${folder}/schema.ts`;
  if (type.folder !== folder)
    throw new Error(`${where}: folder is ${type.folder}, but it stands in ${folder}`);
  if (type.schema.default !== undefined) {
    throw new Error(
      `${where}: the member has a default, which would give it to cubes of every type; remove it`,
    );
  }
  checkIds(where, 'drop reason', type.dropReasons, 32, 63);
  checkIds(where, 'counter', type.counters, 0, 31);
  checkIds(where, 'decision', type.decisions, 1, 63);
  const common = new Set(COMMON_DROP_REASONS.map((reason) => reason.name));
  for (const reason of type.dropReasons) {
    if (common.has(reason.name))
      throw new Error(`${where}: drop reason ${reason.name} is a common one; rename it`);
  }
}

function checkIds(
  where: string,
  what: string,
  list: { id: number; name: string }[],
  low: number,
  high: number,
): void {
  const ids = new Set<number>();
  const names = new Set<string>();
  for (const { id, name } of list) {
    if (id < low || id > high)
      throw new Error(`${where}: ${what} ${name} has id ${id}, outside ${low}–${high}`);
    if (ids.has(id) || names.has(name))
      throw new Error(`${where}: ${what} ${name} (${id}) stands there twice`);
    ids.add(id);
    names.add(name);
  }
}

export function checkCommonReasons(reasons: readonly DropReason[]): void {
  checkIds('src/api/schemas/drop-reasons.ts', 'drop reason', [...reasons], 1, 31);
}
