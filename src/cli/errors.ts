// SPDX-License-Identifier: Apache-2.0

/** Exit codes of `cubeplane`; part of its contract with scripts. */
export const EXIT = {
  ok: 0,
  /** Something failed that is none of the below: no answer, no permission, a kernel error. */
  failure: 1,
  /** The command line cannot be understood. */
  usage: 2,
  notFound: 3,
  /** An object was refused: it is invalid, or not this command's to change. */
  refused: 4,
  /** Somebody else holds or changed it. */
  conflict: 5,
} as const;

export const EXIT_HELP = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused or invalid, 5 conflict.`;

/** A failure with its exit code and what to do about it. */
export class CliError extends Error {
  readonly status: number;
  readonly remedy: string;

  constructor(status: number, message: string, remedy: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'CliError';
    this.status = status;
    this.remedy = remedy;
  }
}

interface Remedied {
  readonly remedy?: unknown;
  readonly code?: unknown;
}

/** What to print and how to end for any failure. Errors of other parts carry a `code` and often a `remedy`. */
export function failureOf(error: unknown): { status: number; message: string; remedy: string } {
  if (error instanceof CliError)
    return { status: error.status, message: error.message, remedy: error.remedy };
  const { remedy, code } = (typeof error === 'object' && error !== null ? error : {}) as Remedied;
  const message = error instanceof Error ? error.message : String(error);
  const status = STATUS_OF_CODE[String(code)] ?? EXIT.failure;
  const hint =
    typeof remedy === 'string' && !message.includes(remedy) ? remedy : (REMEDY_OF_CODE[String(code)] ?? '');
  return { status, message, remedy: hint };
}

const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  NotFound: EXIT.notFound,
  Invalid: EXIT.refused,
  BadRequest: EXIT.refused,
  Conflict: EXIT.conflict,
  AlreadyExists: EXIT.conflict,
  KubeconfigError: EXIT.failure,
  InvalidRequest: EXIT.refused,
  AddressNotOfNode: EXIT.refused,
  AddressInUse: EXIT.conflict,
  InterfaceInUse: EXIT.conflict,
  AlreadyRunning: EXIT.conflict,
  InterfaceNotFound: EXIT.notFound,
  NamespaceNotFound: EXIT.notFound,
  NotPlugged: EXIT.notFound,
};

const REMEDY_OF_CODE: Readonly<Record<string, string>> = {
  EACCES: 'run it as root (sudo), or choose a place that this user may use',
  EPERM: 'run it as root (sudo)',
  EROFS: 'the file system is read-only: choose another place',
  ENOSPC: 'the disk is full: make room',
};
