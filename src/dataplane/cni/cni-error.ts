// SPDX-License-Identifier: Apache-2.0
import { AgentError, textOf } from '../errors.ts';

/** Error codes: to 99 the specification's, from 100 on ours; docs/cni.md lists them. */
export const CODE = {
  IncompatibleVersion: 1,
  UnsupportedField: 2,
  UnknownContainer: 3,
  InvalidEnvironment: 4,
  IoFailure: 5,
  DecodeFailure: 6,
  InvalidConfig: 7,
  TryAgainLater: 11,
  NotAvailable: 50,
  LimitedConnectivity: 51,
  AlreadyAttached: 100,
  AddressesExhausted: 101,
  CheckFailed: 102,
  NoRange: 103,
  KernelRefused: 104,
} as const;

export type CniCode = (typeof CODE)[keyof typeof CODE];

/** A failure as a runtime gets it: what is wrong, with the name of the field or variable, and what to do. */
export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: CniCode;
  readonly remedy: string;

  constructor(code: CniCode, message: string, remedy: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.remedy = remedy;
  }
}

/** What a failure of the agent means to a runtime. */
export function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (!(error instanceof AgentError))
    return new CniError(CODE.IoFailure, textOf(error), 'look at the log of the agent', error);
  const { code, message, remedy } = error;
  const as = (cni: CniCode) => new CniError(cni, message, remedy || 'look at the log of the agent', error);
  switch (code) {
    case 'NamespaceNotFound':
      return new CniError(CODE.InvalidEnvironment, `CNI_NETNS: ${message}`, remedy, error);
    case 'AddressNotOfNode':
      return new CniError(CODE.InvalidConfig, `ranges: ${message}`, remedy, error);
    case 'AddressInUse':
    case 'InterfaceGone':
    case 'InterfaceNotFound':
    case 'HostPortInUse':
    case 'PodUnreadable':
    case 'PolicyNotInForce':
    case 'LimitNotInForce':
      return as(CODE.TryAgainLater);
    case 'StateUnreadable':
      return as(CODE.IoFailure);
    default:
      return as(CODE.KernelRefused);
  }
}
