// SPDX-License-Identifier: Apache-2.0
/** Unix sockets that only root can open. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { dirname } from 'node:path';

/** Bytes of a path: sizeof(sun_path) - 1 of unix(7). */
const MOST_BYTES = 107;

export function isTooLong(path: string): boolean {
  return Buffer.byteLength(path) > MOST_BYTES;
}

/** Listens at `path`, in the place of whatever is there. At no moment may anybody else connect. */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
}
