// SPDX-License-Identifier: Apache-2.0

/** What the agent's own failures are called; stable. */
export type AgentErrorCode =
  | 'NotPermitted'
  | 'ProgramRefused'
  | 'MapFull'
  | 'BpffsNotMounted'
  | 'InterfaceGone'
  | 'ForeignXDPProgram'
  | 'KernelError'
  | 'AbiMismatch'
  | 'ObjectMissing'
  | 'InvalidRequest'
  | 'NotFound'
  | 'Conflict'
  | 'AddressNotOfNode'
  | 'AddressInUse'
  | 'InterfaceInUse'
  | 'InterfaceNotFound'
  | 'NamespaceNotFound'
  | 'NotPlugged'
  | 'PodUnreadable'
  | 'HostPortInUse'
  | 'PolicyNotInForce'
  | 'LimitNotInForce'
  | 'AgentNotRunning'
  | 'AlreadyRunning'
  | 'StateUnreadable';

/** A failure that says what it is about and what to do. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  /** What a person can do; empty where nothing is known. */
  readonly remedy: string;

  constructor(code: AgentErrorCode, message: string, remedy = '', cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.remedy = remedy;
  }

  /** Message and remedy in one text, as conditions and the command line show it. */
  get text(): string {
    return this.remedy === '' ? this.message : `${this.message}; ${this.remedy}`;
  }
}

export function textOf(error: unknown): string {
  if (error instanceof AgentError) return error.text;
  return error instanceof Error ? error.message : String(error);
}
