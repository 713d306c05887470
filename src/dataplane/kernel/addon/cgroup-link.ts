// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync } from 'node:fs';
import { Link } from './link.ts';
import { native } from './native.ts';
import type { BpfProgram } from './program.ts';

/** Kinds of call that a program at a cgroup can see → BPF_CGROUP_* of include/uapi/linux/bpf.h. */
const ATTACH_TYPES = {
  bind4: 8,
  bind6: 9,
  connect4: 10,
  connect6: 11,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
} as const;
export type CgroupCall = keyof typeof ATTACH_TYPES;

export function isCgroupCall(name: string): name is CgroupCall {
  return name in ATTACH_TYPES;
}

export interface CgroupInfo {
  id: number;
  programId: number;
  /** The kernel's number for the cgroup, decimal, which is the inode of its directory; `0` once that is gone. */
  cgroup: string;
  /** Whether the directory is gone: such a link does nothing and cannot be revived. */
  defunct: boolean;
}

/**
 * A program attached to a cgroup by a link: it sees calls of all processes there and below, beside the programs of others
 * (BPF_F_ALLOW_MULTI). Closing it detaches, unless it is pinned.
 */
export class CgroupLink extends Link<CgroupInfo> {
  /**
   * Throws KernelError: EPERM without privileges, or where a program of somebody else allows no other beside it. Throws as
   * fs does when there is no such directory.
   */
  static create(program: BpfProgram, directory: string, call: CgroupCall): CgroupLink {
    const fd = openSync(directory, 'r');
    try {
      const where = `${program.name} at ${call} of cgroup ${directory}`;
      return new CgroupLink(native.linkCreate(program.handle, fd, ATTACH_TYPES[call], 0, where));
    } finally {
      closeSync(fd);
    }
  }

  /** Throws KernelError: ENOENT when nothing is pinned there, EINVAL when it is no link. */
  static openPinned(path: string): CgroupLink {
    return new CgroupLink(native.openPinned(path, 'link'));
  }

  info(): CgroupInfo {
    const { id, programId, wideTarget } = native.linkInfo(this.handle);
    return { id, programId, cgroup: String(wideTarget), defunct: wideTarget === 0n };
  }
}
