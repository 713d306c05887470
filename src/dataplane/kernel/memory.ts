// SPDX-License-Identifier: Apache-2.0

/**
 * Resident memory of the agent's process. It takes in ten thousand tables at its start and then waits: V8 and malloc would
 * both keep what that took, which is several times what stays.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { limitMalloc, trimMalloc } from './addon/index.ts';

let collect: (() => void) | undefined;

/** For a process that is an agent and nothing else; called before it does anything. */
export function limitMemory(): void {
  // The young generation stays at 1 MiB: it grows to 48 while tables come in, and never shrinks under load.
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as () => void;
  limitMalloc();
}

/** Gives back what is not in use, in some 50 ms; nothing in a process that did not ask for limits. */
export function releaseMemory(): void {
  if (collect === undefined) return;
  collect();
  trimMalloc();
}
