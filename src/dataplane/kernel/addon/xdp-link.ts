// SPDX-License-Identifier: Apache-2.0
import { AttachType, XdpFlag } from './constants.ts';
import { KernelError } from './kernel-error.ts';
import { Link } from './link.ts';
import { native } from './native.ts';
import type { BpfProgram } from './program.ts';

/** Native: in the driver, before the packet becomes an skb. Generic: in the kernel's common receive path, on any device. */
export type XdpMode = 'Native' | 'Generic';

export interface XdpInfo {
  id: number;
  programId: number;
  /** 0 once the device is gone. */
  ifindex: number;
  defunct: boolean;
}

/** What the other mode does not change: somebody else's program, no such device, no permission. */
const FINAL = new Set(['EBUSY', 'EEXIST', 'ENODEV', 'EPERM', 'EACCES']);

/** A program attached to the XDP hook of an interface by a link. Closing it detaches, unless it is pinned. */
export class XdpLink extends Link<XdpInfo> {
  /**
   * Attaches in native mode, or in generic mode where the driver cannot. `ifindex` counts in the caller's network namespace.
   * Throws KernelError: EBUSY or EEXIST when another program is attached there, ENODEV when there is no such interface.
   */
  static create(program: BpfProgram, ifindex: number): XdpLink {
    const where = `${program.name} at XDP of interface ${ifindex}`;
    const create = (flag: number) =>
      new XdpLink(native.linkCreate(program.handle, ifindex, AttachType.Xdp, flag, where));
    try {
      return create(XdpFlag.Native);
    } catch (error) {
      if (!(error instanceof KernelError) || FINAL.has(error.code)) throw error;
      return create(XdpFlag.Generic);
    }
  }

  /** Throws KernelError: ENOENT when nothing is pinned there, EINVAL when it is no link. */
  static openPinned(path: string): XdpLink {
    return new XdpLink(native.openPinned(path, 'link'));
  }

  info(): XdpInfo {
    const { id, programId, target } = native.linkInfo(this.handle);
    return { id, programId, ifindex: target, defunct: target === 0 };
  }
}
