// SPDX-License-Identifier: Apache-2.0

/** Receives one line of progress; the default writes it to standard error. */
export type Log = (line: string) => void;

/** Writes a line to standard error, so that a program's own output stays clean. */
export const stderrLog: Log = (line) => {
  process.stderr.write(`${line}\n`);
};

/** Milliseconds as minutes and seconds: `0:07`, `12:40`. */
export function formatElapsed(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
