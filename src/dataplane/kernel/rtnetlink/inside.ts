// SPDX-License-Identifier: Apache-2.0
/** Messages about addresses, neighbours and routes of one interface (linux/if_addr.h, neighbour.h, rtnetlink.h). Pure. */
import { address, attribute, Flag, isIPv6, mac, message, nested, type Request, u32 } from './encoding.ts';

const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const RTM_NEWNEIGH = 28;
const IFA = { Address: 1, Local: 2, Flags: 8 };
/** No duplicate address detection: it is usable at once. */
const IFA_F_NODAD = 0x02;
const NDA = { Destination: 1, LinkLayer: 2 };
const NUD_PERMANENT = 0x80;
const RTA = { Destination: 1, Interface: 4, Gateway: 5, Metrics: 8 };
const RTAX_MTU = 2;
const TABLE_MAIN = 254;
const PROTOCOL_BOOT = 3;
const TYPE_UNICAST = 1;
const SCOPE = { Global: 0, Link: 253 };

const AF_INET = 2;
const AF_INET6 = 10;
const familyOf = (one: string): number => (isIPv6(one) ? AF_INET6 : AF_INET);
const bitsOf = (one: string): number => (isIPv6(one) ? 128 : 32);

/** Gives an interface an address that is alone on its link. */
export function addAddress(ifindex: number, own: string): Request {
  // ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32.
  const fixed = Buffer.alloc(8);
  fixed.writeUInt8(familyOf(own), 0);
  fixed.writeUInt8(bitsOf(own), 1);
  fixed.writeUInt32LE(ifindex, 4);
  const bytes = message(RTM_NEWADDR, Flag.Create | Flag.Exclusive, fixed, [
    attribute(IFA.Local, address(own)),
    attribute(IFA.Address, address(own)),
    ...(isIPv6(own) ? [attribute(IFA.Flags, u32(IFA_F_NODAD))] : []),
  ]);
  return { what: `address ${own}`, bytes };
}

/** Makes an address a neighbour for good; one that is there gets this MAC. */
export function setNeighbour(ifindex: number, neighbour: string, linkLayer: string): Request {
  // ndmsg: family u8, pad u8, pad u16, index i32, state u16, flags u8, type u8.
  const fixed = Buffer.alloc(12);
  fixed.writeUInt8(familyOf(neighbour), 0);
  fixed.writeInt32LE(ifindex, 4);
  fixed.writeUInt16LE(NUD_PERMANENT, 8);
  const bytes = message(RTM_NEWNEIGH, Flag.Create | Flag.Replace, fixed, [
    attribute(NDA.Destination, address(neighbour)),
    attribute(NDA.LinkLayer, mac(linkLayer)),
  ]);
  return { what: `neighbour ${neighbour}`, bytes };
}

/** A route to one address, right behind the interface. */
export function addHostRoute(ifindex: number, to: string): Request {
  const scope = isIPv6(to) ? SCOPE.Global : SCOPE.Link;
  const bytes = route(to, { length: bitsOf(to), scope }, [
    attribute(RTA.Destination, address(to)),
    attribute(RTA.Interface, u32(ifindex)),
  ]);
  return { what: `route to ${to}`, bytes };
}

/** The default route of the gateway's family. */
export function addDefaultRoute(ifindex: number, gateway: string, mtu: number): Request {
  const bytes = route(gateway, { length: 0, scope: SCOPE.Global }, [
    attribute(RTA.Gateway, address(gateway)),
    attribute(RTA.Interface, u32(ifindex)),
    nested(RTA.Metrics, [attribute(RTAX_MTU, u32(mtu))]),
  ]);
  return { what: `default route via ${gateway}`, bytes };
}

function route(
  ofFamily: string,
  { length, scope }: { readonly length: number; readonly scope: number },
  attributes: readonly Buffer[],
): Buffer {
  // rtmsg: family, destination length, source length, TOS, table, protocol, scope, type: u8 each; flags u32.
  const fixed = Buffer.alloc(12);
  fixed.set([familyOf(ofFamily), length, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, TYPE_UNICAST]);
  return message(RTM_NEWROUTE, Flag.Create | Flag.Exclusive, fixed, attributes);
}
