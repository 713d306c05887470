// SPDX-License-Identifier: Apache-2.0
import { native } from './native.ts';

export interface NetlinkCall {
  /** Path of a network namespace; absent: the process' own. */
  readonly netns?: string;
  /** Written there first, as [path, text]: sysctls. One that does not exist is left out. */
  readonly files?: readonly (readonly [string, string])[];
  /** Sent one after the other; each asks for an acknowledgement. */
  readonly messages: readonly Uint8Array[];
}

/** Resolves to the messages answered. Throws KernelError, whose `object` is the index of the message refused. */
export async function rtnetlink({ netns = '', files = [], messages }: NetlinkCall): Promise<Buffer> {
  return await native.rtnetlink(netns, files, Buffer.concat(messages));
}
