// SPDX-License-Identifier: Apache-2.0
import { renameSync, unlinkSync } from 'node:fs';
import { fileError } from './kernel-error.ts';
import { type Handle, native } from './native.ts';

/** A kernel object held by a descriptor: `close()` releases it, a second `close()` does nothing, any use after throws. */
export abstract class Resource {
  /** For this folder only: the native handle. */
  readonly handle: Handle;
  /** What never changes, asked once: the addon makes an object of it each time. */
  protected readonly shape: Handle['shape'];

  constructor(handle: Handle) {
    this.handle = handle;
    this.shape = handle.shape;
  }

  /** What errors call it. */
  get name(): string {
    return this.shape.name;
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.handle.fd;
  }

  get closed(): boolean {
    return this.handle.closed;
  }

  close(): void {
    this.handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Pins it at `path` on a BPF file system; the folder must exist. With `replace`, what is pinned there already is
   * replaced in one step (pinned beside it, then renamed over). Throws KernelError (EEXIST, EPERM for a name with a
   * dot, EINVAL outside a BPF file system).
   */
  pin(path: string, { replace = false }: { replace?: boolean } = {}): void {
    if (!replace) {
      native.pin(this.handle, path);
      return;
    }
    const beside = `${path}_new`;
    unpin(beside);
    native.pin(this.handle, beside);
    try {
      renameSync(beside, path);
    } catch (cause) {
      unpin(beside);
      throw fileError('RENAME', path, cause);
    }
  }
}

/** Removes a pin; the object lives on while something else holds it. Returns whether there was one. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw fileError('UNLINK', path, cause);
  }
}
