// SPDX-License-Identifier: Apache-2.0
/** Drop reasons and counters, the same ids for C and TypeScript. */
import type { Counter, CubeTypeSchema, Decision, DropReason } from '../../src/api/schemas/cube-type.ts';
import { GENERATED, GENERATED_C } from './header.ts';

/** `FragmentWithoutFirst`, `newSessions` → `FRAGMENT_WITHOUT_FIRST`, `NEW_SESSIONS`. */
export function macroName(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
}

function defines(prefix: string, list: readonly (DropReason | Counter | Decision)[]): string {
  return list
    .map(({ id, name, description }) => `/* ${description} */\n#define ${prefix}_${macroName(name)} ${id}`)
    .join('\n');
}

export function commonReasonsHeader(reasons: readonly DropReason[]): string {
  return `${GENERATED_C}
#ifndef CUBEPLANE_GENERATED_REASONS_H
#define CUBEPLANE_GENERATED_REASONS_H

${defines('DROP', reasons)}

#endif
`;
}

export function cubeReasonsHeader(type: CubeTypeSchema): string {
  const guard = `CUBEPLANE_${macroName(type.type)}_GENERATED_REASONS_H`;
  return `${GENERATED_C}
#ifndef ${guard}
#define ${guard}

${defines('DROP', type.dropReasons)}

${defines('COUNT', type.counters)}

${defines('DECIDE', type.decisions)}

#endif
`;
}

export function generateReasons(common: readonly DropReason[], types: CubeTypeSchema[]): string {
  const list = (items: readonly object[]): string => JSON.stringify(items, null, 2);
  return `${GENERATED}
import type { Counter, Decision, DropReason } from '../schemas/cube-type.ts';

/** Drop reasons that all cubes share, ids 1–31. */
export const COMMON_DROP_REASONS: readonly DropReason[] = ${list(common)};

/** Drop reasons of each cube type, ids 32–63. */
export const CUBE_DROP_REASONS: Readonly<Record<string, readonly DropReason[]>> = {
${types.map((type) => `  ${type.type}: ${list(type.dropReasons)},`).join('\n')}
};

/** Counters of each cube type, ids 0–31. */
export const CUBE_COUNTERS: Readonly<Record<string, readonly Counter[]>> = {
${types.map((type) => `  ${type.type}: ${list(type.counters)},`).join('\n')}
};

/** What programs of each cube type tell a trace, ids 1–63. */
export const CUBE_DECISIONS: Readonly<Record<string, readonly Decision[]>> = {
${types.map((type) => `  ${type.type}: ${list(type.decisions)},`).join('\n')}
};

/** The reason with an id in a cube of a type; undefined for an id that this version does not know. */
export function dropReason(type: string, id: number): DropReason | undefined {
  return (id < 32 ? COMMON_DROP_REASONS : (CUBE_DROP_REASONS[type] ?? [])).find((reason) => reason.id === id);
}
`;
}

/** What some cube type of this release can do, for checks of objects by themselves. */
export function generateSupported(types: CubeTypeSchema[]): string {
  const tables = [...new Set(types.flatMap((type) => type.tables))].sort();
  return `${GENERATED}
import type { Hook } from '../schemas/cube-type.ts';

/** Hooks that programs of a cube type can be loaded for. */
export const CUBE_HOOKS: Readonly<Record<string, readonly Hook[]>> = {
${types.map(({ type, hooks }) => `  ${type}: ${JSON.stringify(hooks)},`).join('\n')}
};

/** Types of CubeTable that some cube type uses. */
export const USED_TABLES: readonly string[] = ${JSON.stringify(tables)};
`;
}
