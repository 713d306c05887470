// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { KernelError, type KernelErrorFields } from './kernel-error.ts';

/** What the native side tells of a handle without a system call. Absent fields: the handle is closed. */
export interface Shape {
  name: string;
  type: number;
  keySize: number;
  valueSize: number;
  /** Bytes of a value as user space sees it; for per-CPU maps all CPUs' slots. */
  valueStride: number;
  maxEntries: number;
  perCpu: boolean;
}

/** A file descriptor owned by the addon. */
export interface Handle {
  close(): void;
  readonly fd: number;
  readonly closed: boolean;
  readonly shape: Shape;
}

export type HandleKind = 'map' | 'program' | 'link';

export interface NativeRingBuffer {
  close(): void;
  consume(): Buffer[];
  setReferenced(referenced: boolean): void;
}

export interface NativeLoadOptions {
  path: string;
  reuseMaps: Record<string, Handle | string>;
  mapSizes: Record<string, number>;
  variables: Record<string, Uint8Array>;
  programs: Record<string, { load?: boolean; type?: number; attachType?: number }>;
  logLevel: number;
}

/** The exports of native/addon.cc, one for one. */
export interface Native {
  setErrorClass(type: new (fields: KernelErrorFields) => KernelError): void;
  loadObject(options: NativeLoadOptions): Promise<{
    programs: { name: string; section: string; log: string; handle: Handle }[];
    maps: { name: string; handle: Handle }[];
  }>;
  mapCreate(options: {
    name: string;
    type: number;
    keySize: number;
    valueSize: number;
    maxEntries: number;
    flags: number;
    innerMap?: Handle;
  }): Handle;
  mapLookup(map: Handle, key: Uint8Array): Buffer | undefined;
  mapUpdate(map: Handle, key: Uint8Array, value: Uint8Array, flags: number): void;
  mapSetHandle(map: Handle, key: Uint8Array, element: Handle): void;
  mapDelete(map: Handle, key: Uint8Array): boolean;
  mapNextKey(map: Handle, previous: Uint8Array | undefined): Buffer | undefined;
  mapFreeze(map: Handle): void;
  mapDump(map: Handle, async: false): Dump;
  mapDump(map: Handle, async: true): Promise<Dump>;
  mapUpdateBatch(map: Handle, keys: Uint8Array, values: Uint8Array, flags: number, async: false): number;
  mapUpdateBatch(
    map: Handle,
    keys: Uint8Array,
    values: Uint8Array,
    flags: number,
    async: true,
  ): Promise<number>;
  mapDeleteBatch(map: Handle, keys: Uint8Array, async: false): number;
  mapDeleteBatch(map: Handle, keys: Uint8Array, async: true): Promise<number>;
  mapFill(map: Handle, keys: Uint8Array, values: Uint8Array, flags: number, async: true): Promise<number>;
  mapInfo(map: Handle): MapInfo;
  mapBtf(map: Handle): MapBtf | undefined;
  programInfo(program: Handle): ProgramInfo;
  programTestRun(program: Handle, options: NativeTestRun, async: false): TestRunResult;
  programTestRun(program: Handle, options: NativeTestRun, async: true): Promise<TestRunResult>;
  linkCreate(program: Handle, target: number, attachType: number, flags: number, where: string): Handle;
  linkUpdate(link: Handle, program: Handle): void;
  linkDetach(link: Handle): void;
  iteratorRead(program: Handle): Buffer;
  linkInfo(link: Handle): LinkInfo;
  attachedPrograms(target: number, attachType: number): Attached;
  pin(handle: Handle, path: string): void;
  openPinned(path: string, kind: HandleKind): Handle;
  openById(kind: HandleKind, id: number): Handle;
  allIds(kind: HandleKind): number[];
  netnsCookie(): bigint;
  /**
   * Sends rtnetlink messages one after the other, in the network namespace at a path (empty: the process' own), after
   * writing files there as [path, text]. Resolves to the messages that are answered; stops at the first error.
   */
  rtnetlink(
    netns: string,
    files: readonly (readonly [string, string])[],
    messages: Uint8Array,
  ): Promise<Buffer>;
  possibleCpus(): number;
  enableStats(): Handle;
  limitMalloc(): void;
  trimMalloc(): boolean;
  RingBuffer: new (
    map: Handle,
    maxPerTurn: number,
    listener: (records: Buffer[]) => void,
  ) => NativeRingBuffer;
}

/** A whole map: `count` keys and values, packed one after the other. */
export interface Dump {
  count: number;
  keys: Buffer;
  values: Buffer;
}

export interface MapInfo {
  id: number;
  /** At most 15 characters. */
  name: string;
  /** BPF_MAP_TYPE_*. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** BPF_F_*. */
  flags: number;
  /** 0 without BTF. */
  btfId: number;
}

export interface MapBtf {
  /** A BTF blob, as in an ELF file's .BTF section. */
  btf: Buffer;
  keyTypeId: number;
  valueTypeId: number;
}

export interface ProgramInfo {
  id: number;
  /** BPF_PROG_TYPE_*. */
  type: number;
  /** At most 15 characters. */
  name: string;
  /** 16 hex digits: a hash of the instructions, without the maps they use. */
  tag: string;
  verifiedInstructions: number;
  /** Only counted while statistics are enabled. */
  runTimeNs: bigint;
  runCount: bigint;
  recursionMisses: bigint;
  /** CLOCK_BOOTTIME at which it was loaded. */
  loadTimeNs: bigint;
  /** Bytes. */
  translatedSize: number;
  jitedSize: number;
  mapIds: number[];
}

export interface LinkInfo {
  id: number;
  /** BPF_LINK_TYPE_*. */
  type: number;
  programId: number;
  /** For tcx the ifindex; 0 once the device is gone. */
  target: number;
  /** For tcx the attach type. */
  attachType: number;
  /** For a cgroup its number; 0 once the directory is gone. */
  wideTarget: bigint;
}

export interface Attached {
  programIds: number[];
  /** 0 for a program attached without a link. */
  linkIds: number[];
}

export interface NativeTestRun {
  dataIn?: Uint8Array;
  ctxIn?: Uint8Array;
  repeat: number;
  dataOutSize: number;
  ctxOutSize: number;
  flags: number;
}

export interface TestRunResult {
  /** What the program returned. */
  retval: number;
  /** Nanoseconds of one run, averaged over `repeat`. */
  duration: number;
  /** The packet after the program; empty when none went in. */
  dataOut: Buffer;
  /** The context after the program; empty when none went in. */
  ctxOut: Buffer;
}

const path = fileURLToPath(new URL('../../../../build/cubeplane.node', import.meta.url));

function load(): Native {
  if (!existsSync(path)) throw new Error(`${path} is not built: run make addon`);
  let native: Native;
  try {
    native = createRequire(import.meta.url)(path) as Native;
  } catch (cause) {
    throw new Error(`${path} cannot be loaded: run npm run setup, which installs libbpf`, { cause });
  }
  native.setErrorClass(KernelError);
  return native;
}

/** The addon, loaded on first import. */
export const native: Native = load();
