// SPDX-License-Identifier: Apache-2.0
import { ProgramType } from './constants.ts';
import { type NativeTestRun, native, type ProgramInfo, type TestRunResult } from './native.ts';
import { Resource } from './resource.ts';

export interface TestRunOptions {
  /** The packet from its Ethernet header on, at least 14 bytes for tc programs. */
  dataIn?: Uint8Array;
  /** The context: `struct __sk_buff` for tc, the program's own struct for SEC("syscall"). */
  ctxIn?: Uint8Array;
  /** Runs; `duration` is their average. The packet is not reset between them. Default 1. */
  repeat?: number;
  /** Room for the packet that comes out. Default: the size of `dataIn` and 512. */
  dataOutSize?: number;
}

/** A loaded BPF program. */
export class BpfProgram extends Resource {
  /** The ELF section it came from; empty when it was opened by pin or id. */
  readonly section: string;
  /** The verifier's log when it was loaded with a `logLevel`. */
  readonly log: string;

  constructor(handle: Resource['handle'], section = '', log = '') {
    super(handle);
    this.section = section;
    this.log = log;
  }

  /** Throws KernelError: ENOENT when nothing is pinned there, EINVAL when it is no program. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(native.openPinned(path, 'program'));
  }

  /** Throws KernelError ENOENT when there is no such program. */
  static openId(id: number): BpfProgram {
    return new BpfProgram(native.openById('program', id));
  }

  /** One of ProgramType. */
  get type(): number {
    return this.shape.type;
  }

  info(): ProgramInfo {
    return native.programInfo(this.handle);
  }

  /**
   * BPF_PROG_TEST_RUN on this thread: blocks the event loop for `repeat` runs. Map writes are real; redirects are
   * returned, not executed. Throws KernelError.
   */
  testRun(options: TestRunOptions): TestRunResult {
    return native.programTestRun(this.handle, this.#input(options), false);
  }

  /** The same off the event loop. */
  async testRunAsync(options: TestRunOptions): Promise<TestRunResult> {
    return native.programTestRun(this.handle, this.#input(options), true);
  }

  /** All that an iterator program (`SEC("iter/…")`) writes in one run. Throws KernelError. */
  readIterator(): Buffer {
    return native.iteratorRead(this.handle);
  }

  #input(options: TestRunOptions): NativeTestRun {
    const { dataIn, ctxIn, repeat = 1, dataOutSize } = options;
    if (this.type === ProgramType.Syscall && (dataIn || repeat !== 1)) {
      throw new TypeError(`program ${this.name}: a syscall program takes ctxIn only, and runs once`);
    }
    return {
      ...(dataIn ? { dataIn } : {}),
      ...(ctxIn ? { ctxIn } : {}),
      repeat,
      dataOutSize: dataOutSize ?? (dataIn ? dataIn.length + 512 : 0),
      ctxOutSize: ctxIn ? ctxIn.length : 0,
      flags: 0,
    };
  }
}
