// SPDX-License-Identifier: Apache-2.0
import { AttachType } from './constants.ts';
import { Link } from './link.ts';
import { native } from './native.ts';
import type { BpfProgram } from './program.ts';

export type Direction = 'ingress' | 'egress';

export interface TcxInfo {
  id: number;
  programId: number;
  /** 0 once the device is gone. */
  ifindex: number;
  direction: Direction;
  /** Whether the device is gone: such a link does nothing and cannot be revived. */
  defunct: boolean;
}

export interface TcxAttachment {
  programId: number;
  /** 0 for a program attached without a link. */
  linkId: number;
}

/** A program attached to a network interface by a tcx link (Linux 6.6). Closing it detaches, unless it is pinned. */
export class TcxLink extends Link<TcxInfo> {
  /**
   * Attaches behind the programs that are there already. `ifindex` counts in the caller's network namespace.
   * Throws KernelError: ENODEV when there is no such interface.
   */
  static create(program: BpfProgram, ifindex: number, direction: Direction): TcxLink {
    const where = `${program.name} at ${direction} of interface ${ifindex}`;
    return new TcxLink(native.linkCreate(program.handle, ifindex, attachType(direction), 0, where));
  }

  /** Throws KernelError: ENOENT when nothing is pinned there, EINVAL when it is no link. */
  static openPinned(path: string): TcxLink {
    return new TcxLink(native.openPinned(path, 'link'));
  }

  /** Throws KernelError ENOENT when there is no such link. */
  static openId(id: number): TcxLink {
    return new TcxLink(native.openById('link', id));
  }

  info(): TcxInfo {
    const { id, programId, target, attachType } = native.linkInfo(this.handle);
    return {
      id,
      programId,
      ifindex: target,
      direction: attachType === AttachType.TcxEgress ? 'egress' : 'ingress',
      defunct: target === 0,
    };
  }
}

/** The programs at a tcx hook in the order they run. Throws KernelError ENODEV when there is no such interface. */
export function tcxAttachments(ifindex: number, direction: Direction): TcxAttachment[] {
  const { programIds, linkIds } = native.attachedPrograms(ifindex, attachType(direction));
  return programIds.map((programId, i) => ({ programId, linkId: linkIds[i] ?? 0 }));
}

function attachType(direction: Direction): number {
  return direction === 'ingress' ? AttachType.TcxIngress : AttachType.TcxEgress;
}
