// SPDX-License-Identifier: Apache-2.0

/** Numbers of include/uapi/linux/bpf.h. */
export const MapType = {
  Hash: 1,
  Array: 2,
  ProgArray: 3,
  PerCpuHash: 5,
  PerCpuArray: 6,
  LruHash: 9,
  LruPerCpuHash: 10,
  LpmTrie: 11,
  ArrayOfMaps: 12,
  HashOfMaps: 13,
  DevMap: 14,
  Queue: 22,
  RingBuf: 27,
} as const;

export const ProgramType = { SchedCls: 3, Xdp: 6, CgroupSockAddr: 18, Syscall: 31 } as const;

export const AttachType = { Xdp: 37, TcxIngress: 46, TcxEgress: 47 } as const;

/** XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE. */
export const XdpFlag = { Generic: 2, Native: 4 } as const;

export const LinkType = { Tcx: 11 } as const;

/** BPF_F_NO_PREALLOC and friends, for `BpfMap.create`. */
export const MapFlag = { NoPrealloc: 1, NoCommonLru: 2 } as const;

/** Flags of an update: any, only if absent (else EEXIST), only if present (else ENOENT). */
export const Update = { Any: 0, NoExist: 1, Exist: 2 } as const;
