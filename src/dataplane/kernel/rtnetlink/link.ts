// SPDX-License-Identifier: Apache-2.0
/** Messages about interfaces (linux/if_link.h). Pure. */
import {
  attribute,
  attributesIn,
  Flag,
  mac,
  message,
  messagesIn,
  nested,
  type Request,
  text,
  u32,
} from './encoding.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFLA = {
  Address: 1,
  Name: 3,
  Mtu: 4,
  Link: 5,
  OperState: 16,
  LinkInfo: 18,
  NetnsFd: 28,
  ExtMask: 29,
  LinkNetnsId: 37,
};
const IFLA_INFO = { Kind: 1, Data: 2 };
const VETH_INFO_PEER = 1;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;
/** IF_OPER_UNKNOWN: of devices that do not tell. */
const OPER_UNKNOWN = 0;
/** RTEXT_FILTER_SKIP_STATS: the counters are most of an answer. */
const SKIP_STATS = 1 << 3;
/** ifinfomsg: family u8, pad u8, type u16, index i32, flags u32, change u32. */
const FIXED = 16;

/** @param isUp undefined: stays as it is. */
function fixed(isUp?: boolean, ifindex = 0): Buffer {
  const buffer = Buffer.alloc(FIXED);
  buffer.writeInt32LE(ifindex, 4);
  if (isUp === true) buffer.writeUInt32LE(IFF_UP, 8);
  if (isUp !== undefined) buffer.writeUInt32LE(IFF_UP, 12);
  return buffer;
}

interface End {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
}

function end(one: End): Buffer[] {
  return [
    attribute(IFLA.Name, text(one.name)),
    attribute(IFLA.Mtu, u32(one.mtu)),
    attribute(IFLA.Address, mac(one.mac)),
  ];
}

/** Makes a pair, both ends down, the second at once in the namespace of an open file. */
export function newVeth(here: End, there: End, netnsFd: number): Request {
  const peer = Buffer.concat([fixed(), ...end(there), attribute(IFLA.NetnsFd, u32(netnsFd))]);
  const info = nested(IFLA.LinkInfo, [
    attribute(IFLA_INFO.Kind, text('veth')),
    nested(IFLA_INFO.Data, [attribute(VETH_INFO_PEER, peer)]),
  ]);
  const bytes = message(RTM_NEWLINK, Flag.Create | Flag.Exclusive, fixed(), [...end(here), info]);
  return { what: `pair of ${here.name} and ${there.name}`, bytes };
}

/** Sets the link up, and its MAC where one is given. */
export function setUp(name: string, address?: string): Request {
  const bytes = message(RTM_NEWLINK, 0, fixed(true), [
    attribute(IFLA.Name, text(name)),
    ...(address === undefined ? [] : [attribute(IFLA.Address, mac(address))]),
  ]);
  return { what: `interface ${name} up`, bytes };
}

export function setDown(name: string): Request {
  const bytes = message(RTM_NEWLINK, 0, fixed(false), [attribute(IFLA.Name, text(name))]);
  return { what: `interface ${name} down`, bytes };
}

/** Takes an interface out of use under another name. */
export function setAside(ifindex: number, name: string): Request {
  const bytes = message(RTM_NEWLINK, 0, fixed(false, ifindex), [attribute(IFLA.Name, text(name))]);
  return { what: `interface ${ifindex} as ${name}`, bytes };
}

export function deleteLink(name: string): Request {
  const bytes = message(RTM_DELLINK, 0, fixed(), [attribute(IFLA.Name, text(name))]);
  return { what: `deletion of ${name}`, bytes };
}

/** The same of an interface that may have another name by now. */
export function deleteLinkAt(ifindex: number): Request {
  return {
    what: `deletion of interface ${ifindex}`,
    bytes: message(RTM_DELLINK, 0, fixed(undefined, ifindex), []),
  };
}

export function getLink(name: string): Request {
  const attributes = [attribute(IFLA.Name, text(name)), attribute(IFLA.ExtMask, u32(SKIP_STATS))];
  return { what: `interface ${name}`, bytes: message(RTM_GETLINK, 0, fixed(), attributes) };
}

export interface Link {
  readonly name: string;
  readonly ifindex: number;
  /** Of the other end of a pair, in that one's namespace. */
  readonly peerIfindex: number | undefined;
  /** The kernel's number here for the namespace of that end; undefined: it is in this one. */
  readonly peerNetnsId: number | undefined;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** Whether it is meant to be up; a pair is not before both ends are. */
  readonly isSetUp: boolean;
  /** As `veth`; empty for hardware. */
  readonly kind: string;
}

/** The interfaces in an answer. */
export function linksIn(answer: Buffer): Link[] {
  return messagesIn(answer).flatMap(({ type, body }) => (type === RTM_NEWLINK ? [linkOf(body)] : []));
}

function linkOf(body: Buffer): Link {
  const flags = body.readUInt32LE(8);
  const found = attributesIn(body.subarray(FIXED));
  const info = attributesIn(found.get(IFLA.LinkInfo) ?? Buffer.alloc(0));
  const isLower = (flags & IFF_LOWER_UP) !== 0 || found.get(IFLA.OperState)?.readUInt8() === OPER_UNKNOWN;
  return {
    name: textOf(found.get(IFLA.Name)),
    ifindex: body.readInt32LE(4),
    peerIfindex: found.get(IFLA.Link)?.readUInt32LE(),
    peerNetnsId: found.get(IFLA.LinkNetnsId)?.readInt32LE(),
    mac: (found.get(IFLA.Address)?.toString('hex').match(/../g) ?? []).join(':'),
    mtu: found.get(IFLA.Mtu)?.readUInt32LE() ?? 0,
    up: (flags & IFF_UP) !== 0 && isLower,
    isSetUp: (flags & IFF_UP) !== 0,
    kind: textOf(info.get(IFLA_INFO.Kind)),
  };
}

function textOf(value: Buffer | undefined): string {
  return value?.toString('utf8').replace(/\0.*$/s, '') ?? '';
}
