// SPDX-License-Identifier: Apache-2.0
import { native } from './native.ts';
import type { BpfProgram } from './program.ts';
import { Resource } from './resource.ts';

export interface LinkInfo {
  readonly programId: number;
  /** Whether what it was attached to is gone: such a link does nothing and cannot be revived. */
  readonly defunct: boolean;
}

/** A program attached somewhere. Closing it detaches, unless it is pinned. */
export abstract class Link<Info extends LinkInfo = LinkInfo> extends Resource {
  /** Replaces the program in one step. Throws KernelError ENOLINK once what it is attached to is gone. */
  update(program: BpfProgram): void {
    native.linkUpdate(this.handle, program.handle);
  }

  /** Detaches now, also when it is pinned; the link stays as a defunct one. */
  detach(): void {
    native.linkDetach(this.handle);
  }

  abstract info(): Info;
}
