// SPDX-License-Identifier: Apache-2.0
import { BpfMap } from './map.ts';
import { type Handle, native } from './native.ts';
import { BpfProgram } from './program.ts';

export interface LoadOptions {
  /** The object file, for example build/bpf/router.o. */
  path: string;
  /** Existing maps to use instead of new ones: map name → open map or pinned path. Types and sizes must agree. */
  reuseMaps?: Readonly<Record<string, BpfMap | string>>;
  /** Map name → max_entries instead of the object's own. */
  mapSizes?: Readonly<Record<string, number>>;
  /** Global variable (`const volatile`, .rodata, .data or .bss) → its bytes, exactly its size. */
  variables?: Readonly<Record<string, Uint8Array>>;
  /** Program name → what differs from its SEC(): not loaded, another BPF_PROG_TYPE_* or attach type. */
  programs?: Readonly<Record<string, { load?: boolean; type?: number; attachType?: number }>>;
  /** Verifier log also on success: 1 branches, 2 instructions, 4 statistics. Default 0. */
  logLevel?: number;
}

/** What one object file became in the kernel. Holds its programs and maps until `close()`. */
export class BpfObject {
  readonly path: string;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** Sections of global variables are maps too, by section: `.rodata`, `.bss`. */
  readonly maps: ReadonlyMap<string, BpfMap>;

  constructor(path: string, programs: ReadonlyMap<string, BpfProgram>, maps: ReadonlyMap<string, BpfMap>) {
    this.path = path;
    this.programs = programs;
    this.maps = maps;
  }

  /** Throws Error when the object has no such program. */
  program(name: string): BpfProgram {
    return found(this.programs.get(name), 'program', name, this.path, [...this.programs.keys()]);
  }

  /** Throws Error when the object has no such map. */
  map(name: string): BpfMap {
    return found(this.maps.get(name), 'map', name, this.path, [...this.maps.keys()]);
  }

  /** Closes all programs and maps that are not closed yet. */
  close(): void {
    for (const program of this.programs.values()) program.close();
    for (const map of this.maps.values()) map.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens, relocates and loads an object file, off the event loop. Nothing is left in the kernel when it fails.
 * Rejects with KernelError: `BPF_PROG_LOAD NAME` with the verifier's `log`, `BPF_MAP_CREATE NAME`,
 * `BPF_MAP_REUSE NAME` when an existing map does not fit, `BPF_OBJECT_OPEN PATH`.
 */
export async function loadObject(options: LoadOptions): Promise<BpfObject> {
  const reuseMaps: Record<string, Handle | string> = {};
  for (const [name, map] of Object.entries(options.reuseMaps ?? {})) {
    reuseMaps[name] = typeof map === 'string' ? map : map.handle;
  }
  const loaded = await native.loadObject({
    path: options.path,
    reuseMaps,
    mapSizes: { ...options.mapSizes },
    variables: { ...options.variables },
    programs: { ...options.programs },
    logLevel: options.logLevel ?? 0,
  });
  return new BpfObject(
    options.path,
    new Map(loaded.programs.map((p) => [p.name, new BpfProgram(p.handle, p.section, p.log)])),
    new Map(loaded.maps.map((m) => [m.name, new BpfMap(m.handle)])),
  );
}

function found<T>(item: T | undefined, kind: string, name: string, path: string, known: string[]): T {
  if (item === undefined) throw new Error(`${path} has no ${kind} ${name}; it has ${known.join(', ')}`);
  return item;
}
