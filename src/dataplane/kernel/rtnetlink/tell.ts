// SPDX-License-Identifier: Apache-2.0
import { AgentError } from '../../errors.ts';
import { KernelError, type NetlinkCall, rtnetlink } from '../addon/index.ts';
import { CAPABILITIES } from '../capabilities.ts';
import type { Request } from './encoding.ts';

type Where = Pick<NetlinkCall, 'netns' | 'files'>;

/**
 * Sends requests one after the other, up to the first that is refused. Never on Node's thread: the kernel's lock may be held
 * for seconds, as when namespaces go. Throws AgentError.
 */
export async function tell(requests: readonly Request[], where: Where = {}): Promise<Buffer> {
  try {
    return await rtnetlink({ ...where, messages: requests.map(({ bytes }) => bytes) });
  } catch (error) {
    throw explained(error, requests, where);
  }
}

/** Name of the kernel's error number, for example `EEXIST`; undefined for what it did not refuse. */
export function refusalOf(error: unknown): string | undefined {
  return error instanceof AgentError && error.cause instanceof KernelError ? error.cause.code : undefined;
}

function explained(error: unknown, requests: readonly Request[], { netns }: Where): unknown {
  if (!(error instanceof KernelError)) return error;
  const { code, call, object, detail } = error;
  const what = requests[Number(object)]?.what ?? `${call} ${object}`;
  const message = `${what}${netns === undefined ? '' : ` in ${netns}`}: ${code}: ${detail}`;
  return code === 'EPERM'
    ? new AgentError('NotPermitted', message, CAPABILITIES, error)
    : new AgentError('KernelError', message, '', error);
}
