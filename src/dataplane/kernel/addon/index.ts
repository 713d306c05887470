// SPDX-License-Identifier: Apache-2.0

/**
 * The addon: the one way from this project to the bpf() system call, by libbpf, and to rtnetlink. Every failure is a KernelError. Objects
 * hold descriptors: close them. Calls that may take long (loading, dumps, batches, many test runs) have a form that
 * runs off the event loop and returns a promise.
 */
export { type CgroupCall, CgroupLink, isCgroupCall } from './cgroup-link.ts';
export { AttachType, LinkType, MapFlag, MapType, ProgramType, Update } from './constants.ts';
export { KernelError } from './kernel-error.ts';
export type { Link, LinkInfo } from './link.ts';
export { BpfMap, type MapOptions } from './map.ts';
export type { Dump, MapBtf, MapInfo, ProgramInfo, TestRunResult } from './native.ts';
export { BpfObject, type LoadOptions, loadObject } from './object.ts';
export { BpfProgram, type TestRunOptions } from './program.ts';
export { unpin } from './resource.ts';
export { RingBuffer, type RingBufferOptions } from './ring-buffer.ts';
export { type NetlinkCall, rtnetlink } from './rtnetlink.ts';
export { allIds, enableStats, limitMalloc, netnsCookie, possibleCpus, trimMalloc } from './system.ts';
export { type Direction, type TcxAttachment, type TcxInfo, TcxLink, tcxAttachments } from './tcx-link.ts';
export { type XdpInfo, XdpLink, type XdpMode } from './xdp-link.ts';
