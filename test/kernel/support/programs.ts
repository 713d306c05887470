// SPDX-License-Identifier: Apache-2.0
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { loadObject } from '../../../src/dataplane/kernel/addon/index.ts';
import { describeObject } from '../../../src/dataplane/kernel/codec/bpf-object.ts';
import type { Layout } from '../../../src/dataplane/kernel/codec/layout.ts';

/** Instructions that the verifier looks at before it gives up (BPF_COMPLEXITY_LIMIT_INSNS). */
export const VERIFIER_LIMIT = 1_000_000;

export interface MeasuredProgram {
  /** C file below the root. */
  source: string;
  name: string;
  verified: number;
  /** Bytes of machine code. */
  jited: number;
}

/** Loads every object under bpf/ twice, with its constants at their defaults and all at 1, and takes the larger. */
export async function measurePrograms(root: string): Promise<MeasuredProgram[]> {
  const programs = new Map<string, MeasuredProgram>();
  for (const source of globSync('bpf/*/*.bpf.c', { cwd: root }).sort()) {
    const path = join(root, `build/bpf/${basename(source, '.bpf.c')}.o`);
    const { constants } = describeObject(readFileSync(path));
    const on = Object.fromEntries(constants.map(({ name, layout }) => [name, allOnes(layout)]));
    for (const variables of [{}, on]) {
      using object = await loadObject({ path, variables });
      for (const [name, program] of object.programs) {
        const { verifiedInstructions, jitedSize } = program.info();
        const before = programs.get(`${source} ${name}`);
        programs.set(`${source} ${name}`, {
          source,
          name,
          verified: Math.max(before?.verified ?? 0, verifiedInstructions),
          jited: Math.max(before?.jited ?? 0, jitedSize),
        });
      }
    }
  }
  return [...programs.values()];
}

/** Bytes of a constant in which every number is 1 and every text 'x'. */
function allOnes(layout: Layout): Uint8Array {
  const bytes = new Uint8Array(layout.size);
  const fill = (part: Layout, at: number): void => {
    if (part.kind === 'scalar') bytes[part.form.startsWith('Be') ? at + part.size - 1 : at] = 1;
    if (part.kind === 'text') bytes[at] = 'x'.charCodeAt(0);
    if (part.kind === 'struct') for (const member of part.members) fill(member.layout, at + member.offset);
    if (part.kind === 'array') {
      for (let i = 0; i < part.count; i++) fill(part.element, at + i * part.element.size);
    }
  };
  fill(layout, 0);
  return bytes;
}
