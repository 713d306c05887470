// SPDX-License-Identifier: Apache-2.0
/** Pinned programs and links, opened for one use. */
import { BpfProgram, type Link, type LinkInfo, unpin } from './addon/index.ts';

/** A kind of link. */
export interface LinkType<Info extends LinkInfo = LinkInfo> {
  openPinned(path: string): Link<Info>;
}

export function withProgram<R>(path: string, use: (program: BpfProgram) => R): R {
  const program = BpfProgram.openPinned(path);
  try {
    return use(program);
  } finally {
    program.close();
  }
}

export function withLink<Info extends LinkInfo, R>(
  type: LinkType<Info>,
  path: string,
  use: (link: Link<Info>) => R,
): R {
  const link = type.openPinned(path);
  try {
    return use(link);
  } finally {
    link.close();
  }
}

/** Gives the attachment another program in one step. */
export function updateLink(type: LinkType, path: string, program: BpfProgram): void {
  withLink(type, path, (link) => link.update(program));
}

/** Pins a new attachment in place of what is pinned there, and lets go of it. */
export function keepLink(link: Link, path: string): void {
  try {
    link.pin(path, { replace: true });
  } finally {
    link.close();
  }
}

/** Detaches and unpins; a link whose device or directory is gone is unpinned only. */
export function detachLink(type: LinkType, path: string): void {
  withLink(type, path, (link) => {
    if (!link.info().defunct) link.detach();
  });
  unpin(path);
}
