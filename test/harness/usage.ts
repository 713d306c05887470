// SPDX-License-Identifier: Apache-2.0

/** The words of a command line are not what the program takes. */
export class UsageError extends Error {}

/** Whether somebody wrote what the program does not take; `parseArgs` of Node.js says so with codes of its own. */
export function isUsageError(failure: unknown): failure is Error {
  const code = failure instanceof Error && 'code' in failure ? failure.code : undefined;
  return failure instanceof UsageError || (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS'));
}

/**
 * Says what is wrong with a command line, without a trace that tells nothing to who mistyped a word, and returns the exit status
 * of wrong usage. Anything else that failed is thrown again.
 *
 * @param name as it is called, such as `npm run bench`.
 */
export function refused(name: string, failure: unknown): number {
  if (!isUsageError(failure)) throw failure;
  process.stderr.write(`${name}: ${failure.message}\nsee ${name} -- --help\n`);
  return 2;
}
