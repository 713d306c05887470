// SPDX-License-Identifier: Apache-2.0
import { BpfProgram, KernelError, ProgramType } from './addon/index.ts';

/** Bytes of the context; the kernel refuses a smaller one than the program reads or writes. */
const CONTEXT = 64;

export interface ReclaimResult {
  readonly seen: number;
  readonly removed: number;
}

/**
 * Runs a pinned `SEC("syscall")` program that reclaims rows, off the event loop. Returns the first two words of its result
 * (bpf/include/reclaim.h); undefined when it is not there any more. Throws KernelError.
 */
export async function runReclaim(path: string): Promise<ReclaimResult | undefined> {
  let program: BpfProgram;
  try {
    program = BpfProgram.openPinned(path);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    if (program.type !== ProgramType.Syscall) return undefined;
    const { ctxOut } = await program.testRunAsync({ ctxIn: new Uint8Array(CONTEXT) });
    return { seen: Number(ctxOut.readBigUInt64LE(0)), removed: Number(ctxOut.readBigUInt64LE(8)) };
  } finally {
    program.close();
  }
}
