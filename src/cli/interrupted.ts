// SPDX-License-Identifier: Apache-2.0

/** Aborts with the first SIGINT or SIGTERM, which then does not end the process by itself. */
export function interrupted(): AbortSignal {
  const stop = new AbortController();
  const end = () => stop.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  return stop.signal;
}
