// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 50;

/**
 * Waits until a look finds something, which is anything but `undefined` and `false`, and returns it. A look that fails has found
 * nothing: who waits for a program to start meets one that does not answer yet.
 *
 * @param what is to come about, for the message.
 * @param seen what else is said when it did not.
 * @throws Error that says what did not come about, within which time, and why the last look failed, if it did.
 */
export async function until<T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
  timeoutMs = 60_000,
  seen?: () => string | Promise<string>,
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(EVERY_MS)) {
    let why = '';
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (failure) {
      why = `: ${failure instanceof Error ? failure.message : String(failure)}`;
    }
    if (Date.now() < deadline) continue;
    const also = seen === undefined ? '' : `\n${await seen()}`;
    throw new Error(`${what}: not within ${timeoutMs / 1000} s${why}${also}`);
  }
}
