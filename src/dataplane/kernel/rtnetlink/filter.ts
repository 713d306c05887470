// SPDX-License-Identifier: Apache-2.0
/** Messages about programs that classify at the ingress of an interface (linux/rtnetlink.h, pkt_sched.h, pkt_cls.h). Pure. */
import {
  attribute,
  attributesIn,
  Flag,
  message,
  messagesIn,
  nested,
  type Request,
  text,
  u32,
} from './encoding.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
const TCA = { Kind: 1, Options: 2 };
const TCA_BPF = { Fd: 6, Name: 7, Flags: 8, Id: 11 };
const TCA_BPF_FLAG_ACT_DIRECT = 1;
/** tcmsg: family u8, pad u8, pad u16, index i32, handle u32, parent u32, info u32. */
const FIXED = 20;
const CLSACT = { handle: 0xffff0000, parent: 0xfffffff1 };
/** Where filters hang at a clsact. */
export const HOOKS = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
/** The first of its hook. */
const PRIORITY = 1;
const HANDLE = 1;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;

interface At {
  readonly ifindex: number;
  readonly handle: number;
  readonly parent: number;
  readonly info?: number;
}

function fixed({ ifindex, handle, parent, info = 0 }: At): Buffer {
  const buffer = Buffer.alloc(FIXED);
  buffer.writeInt32LE(ifindex, 4);
  buffer.writeUInt32LE(handle, 8);
  buffer.writeUInt32LE(parent, 12);
  buffer.writeUInt32LE(info, 16);
  return buffer;
}

/** Makes the place for filters, where there is none. */
export function addClsact(ifindex: number): Request {
  const bytes = message(RTM_NEWQDISC, Flag.Create, fixed({ ifindex, ...CLSACT }), [
    attribute(TCA.Kind, text('clsact')),
  ]);
  return { what: `clsact of interface ${ifindex}`, bytes };
}

export function deleteClsact(ifindex: number): Request {
  const bytes = message(RTM_DELQDISC, 0, fixed({ ifindex, ...CLSACT }), []);
  return { what: `end of the clsact of interface ${ifindex}`, bytes };
}

/** All queues of all interfaces. */
export function dumpQdiscs(): Request {
  const bytes = message(RTM_GETQDISC, Flag.Dump, Buffer.alloc(FIXED), []);
  return { what: 'queues of all interfaces', bytes };
}

/** Interfaces that have a clsact, in an answer. */
export function clsactsIn(answer: Buffer): number[] {
  return messagesIn(answer).flatMap(({ type, body }) => {
    const kind = attributesIn(body.subarray(FIXED)).get(TCA.Kind)?.toString();
    return type === RTM_NEWQDISC && kind === 'clsact\0' ? [body.readInt32LE(4)] : [];
  });
}

const ours = (ifindex: number) =>
  fixed({ ifindex, handle: HANDLE, parent: HOOKS.ingress, info: (PRIORITY << 16) | ALL_PROTOCOLS });

/** Lets a program decide of what comes in; in place of the one before, if there is one. */
export function setFilter(ifindex: number, name: string, programFd: number): Request {
  const options = nested(TCA.Options, [
    attribute(TCA_BPF.Fd, u32(programFd)),
    attribute(TCA_BPF.Name, text(name)),
    attribute(TCA_BPF.Flags, u32(TCA_BPF_FLAG_ACT_DIRECT)),
  ]);
  const bytes = message(RTM_NEWTFILTER, Flag.Create, ours(ifindex), [
    attribute(TCA.Kind, text('bpf')),
    options,
  ]);
  return { what: `filter ${name} of interface ${ifindex}`, bytes };
}

export function deleteFilter(ifindex: number): Request {
  const bytes = message(RTM_DELTFILTER, 0, ours(ifindex), [attribute(TCA.Kind, text('bpf'))]);
  return { what: `end of the filter of interface ${ifindex}`, bytes };
}

export function dumpFilters(ifindex: number, hook: keyof typeof HOOKS): Request {
  const where = fixed({ ifindex, handle: 0, parent: HOOKS[hook] });
  return { what: `filters of interface ${ifindex}`, bytes: message(RTM_GETTFILTER, Flag.Dump, where, []) };
}

export interface Filter {
  /** Empty for one that is no program. */
  readonly name: string;
  readonly programId: number;
}

/** Filters in an answer, without the heads of their chains. */
export function filtersIn(answer: Buffer): Filter[] {
  return messagesIn(answer).flatMap(({ type, body }) => {
    if (type !== RTM_NEWTFILTER || body.readUInt32LE(8) === 0) return [];
    const options = attributesIn(attributesIn(body.subarray(FIXED)).get(TCA.Options) ?? Buffer.alloc(0));
    const name = options.get(TCA_BPF.Name)?.toString().replace('\0', '') ?? '';
    return [{ name, programId: options.get(TCA_BPF.Id)?.readUInt32LE() ?? 0 }];
  });
}
