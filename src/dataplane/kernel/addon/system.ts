// SPDX-License-Identifier: Apache-2.0
import { type HandleKind, native } from './native.ts';

/** CPUs that per-CPU maps hold a slot for; more than are online on some machines. */
export function possibleCpus(): number {
  return native.possibleCpus();
}

/** What programs know the network namespace of this process by (Linux 5.14). Throws KernelError. */
export function netnsCookie(): bigint {
  return native.netnsCookie();
}

/** Ids of all maps, programs or links in the kernel. Throws KernelError EPERM without privileges. */
export function allIds(kind: HandleKind): number[] {
  return native.allIds(kind);
}

/** Counts run time and runs of all programs until the returned function is called (about 20 ns a run). */
export function enableStats(): () => void {
  const handle = native.enableStats();
  return () => handle.close();
}

/** Makes malloc keep little: large blocks are mapped and unmapped, and there is one arena for all threads. */
export function limitMalloc(): void {
  native.limitMalloc();
}

/** Gives free pages of malloc's heap back to the kernel. */
export function trimMalloc(): void {
  native.trimMalloc();
}
