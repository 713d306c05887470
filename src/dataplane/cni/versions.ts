// SPDX-License-Identifier: Apache-2.0
/** Versions of the CNI specification. The plugin names the same ones (cni/cubeplane-cni.c). Pure. */
import { CniError, CODE } from './cni-error.ts';

export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];
export const NEWEST_VERSION: CniVersion = '1.1.0';

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC'] as const;
export type Command = (typeof COMMANDS)[number];

/** The first version that has a command. */
const SINCE: Readonly<Record<Command, CniVersion>> = {
  ADD: '0.3.0',
  DEL: '0.3.0',
  CHECK: '0.4.0',
  STATUS: '1.1.0',
  GC: '1.1.0',
};

export function isSupported(text: unknown): text is CniVersion {
  return SUPPORTED_VERSIONS.some((version) => version === text);
}

export function atLeast(version: CniVersion, other: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(other);
}

/** Throws CniError for a version that has no such command. */
export function requireCommand(command: Command, version: CniVersion): void {
  const since = SINCE[command];
  if (atLeast(version, since)) return;
  throw new CniError(
    CODE.IncompatibleVersion,
    `cniVersion: ${version} has no ${command}, which came with ${since}`,
    `set cniVersion to ${since} or later in the network configuration`,
  );
}
