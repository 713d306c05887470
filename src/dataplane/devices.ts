// SPDX-License-Identifier: Apache-2.0
/** The devices that the agent makes itself: what `ip` has to be told so that they are as they should be. Pure. */
import { COPY_DEVICES, OVERLAY_DEVICE, STACK_DEVICES } from './desired.ts';
import type { InterfaceInfo } from './graph-model.ts';
import { GATEWAY_MAC } from './layout.ts';

export interface Device extends InterfaceInfo {
  readonly kind: string;
  readonly vxlanPort?: number;
}

export interface DeviceWish {
  /** A link names Overlay. */
  readonly overlay: { readonly port: number; readonly mtu: number } | undefined;
  /** A link names Stack. */
  readonly stack: boolean;
  /** A cube makes copies of frames for other cubes. */
  readonly copies: boolean;
}

/** Outer Ethernet, IP, UDP and VXLAN headers (RFC 7348), less the outer Ethernet header that no MTU counts: 50 or 70 bytes. */
export function overlayMtu(underlayMtu: number, hasIPv6Remote: boolean): number {
  return underlayMtu - (hasIPv6Remote ? 70 : 50);
}

/** Lines for `ip -batch`: what has to be there before the graph changes, and what goes when nothing leads to it. */
export interface DevicePlan {
  readonly make: readonly string[];
  readonly remove: readonly string[];
}

export function planDevices(devices: ReadonlyMap<string, Device>, wish: DeviceWish): DevicePlan {
  const remove: string[] = [];
  if (wish.overlay === undefined && devices.has(OVERLAY_DEVICE)) remove.push(`link delete ${OVERLAY_DEVICE}`);
  if (!wish.stack && devices.has(STACK_DEVICES[0])) remove.push(`link delete ${STACK_DEVICES[0]}`);
  const [copies, peer] = COPY_DEVICES;
  if (!wish.copies && devices.has(copies)) remove.push(`link delete ${copies}`);
  return {
    make: [
      ...(wish.overlay === undefined ? [] : overlayLines(devices.get(OVERLAY_DEVICE), wish.overlay)),
      ...(wish.stack ? stackLines(devices) : []),
      ...(wish.copies && !devices.has(copies) ? [`link add ${copies} type veth peer name ${peer}`] : []),
    ],
    remove,
  };
}

function overlayLines(device: Device | undefined, wish: { port: number; mtu: number }): string[] {
  const settings = `address ${GATEWAY_MAC} mtu ${wish.mtu}`;
  const make = [
    `link add ${OVERLAY_DEVICE} ${settings} type vxlan external nolearning dstport ${wish.port}`,
    `link set ${OVERLAY_DEVICE} up`,
  ];
  if (device === undefined) return make;
  if (device.kind !== 'vxlan' || device.vxlanPort !== wish.port)
    return [`link delete ${OVERLAY_DEVICE}`, ...make];
  if (device.mtu === wish.mtu && device.mac === GATEWAY_MAC && device.up) return [];
  return [`link set ${OVERLAY_DEVICE} ${settings} up`];
}

function stackLines(devices: ReadonlyMap<string, Device>): string[] {
  const [host, chain] = STACK_DEVICES;
  const device = devices.get(host);
  // Without ARP the kernel sends every packet to the device's own MAC, which is the gateway's: no neighbours to keep.
  const up = [`link set ${host} arp off addrgenmode none up`, `link set ${chain} addrgenmode none up`];
  if (device === undefined)
    return [`link add ${host} address ${GATEWAY_MAC} type veth peer name ${chain}`, ...up];
  if (device.mac === GATEWAY_MAC && device.up && devices.get(chain)?.up === true) return [];
  return [`link set ${host} address ${GATEWAY_MAC}`, ...up];
}
