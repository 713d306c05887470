// SPDX-License-Identifier: Apache-2.0
/** What an ADD answers, in the layout of each version. Pure. */
import { GATEWAY_MAC } from '../layout.ts';
import type { Attachment } from './attachment.ts';
import type { Dns } from './configuration.ts';
import { atLeast, type CniVersion } from './versions.ts';

export interface CniInterface {
  readonly name: string;
  readonly mac: string;
  readonly sandbox?: string;
  readonly mtu?: number;
}

export interface CniResult {
  readonly cniVersion: CniVersion;
  /** The node's end, then the pod's. */
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly {
    readonly version?: '4' | '6';
    readonly interface: number;
    readonly address: string;
    readonly gateway?: string;
  }[];
  readonly routes: readonly { readonly dst: string; readonly gw: string; readonly mtu?: number }[];
  readonly dns: Dns;
}

const isIPv6 = (address: string): boolean => address.includes(':');

/** With the length that makes it a host's own. */
export function hostPrefix(address: string): string {
  return `${address}/${isIPv6(address) ? 128 : 32}`;
}

export function defaultRoute(gateway: string): string {
  return isIPv6(gateway) ? '::/0' : '0.0.0.0/0';
}

export function resultOf(attachment: Attachment, cniVersion: CniVersion, dns: Dns = {}): CniResult {
  const { device, ifname, mac, netns, addresses, gateways, mtu } = attachment;
  // 1.0.0 dropped the family of an address; 1.1.0 has MTUs.
  const hasFamily = !atLeast(cniVersion, '1.0.0');
  const hasMtu = atLeast(cniVersion, '1.1.0');
  const deviceMtu = hasMtu ? { mtu: mtu.device } : {};
  return {
    cniVersion,
    interfaces: [
      { name: device, mac: GATEWAY_MAC, ...deviceMtu },
      { name: ifname, mac, sandbox: netns, ...deviceMtu },
    ],
    ips: addresses.map((address) => {
      const gateway = gateways.find((one) => isIPv6(one) === isIPv6(address));
      return {
        ...(hasFamily ? { version: isIPv6(address) ? ('6' as const) : ('4' as const) } : {}),
        interface: 1,
        address: hostPrefix(address),
        ...(gateway === undefined ? {} : { gateway }),
      };
    }),
    routes: gateways.map((gw) => ({ dst: defaultRoute(gw), gw, ...(hasMtu ? { mtu: mtu.route } : {}) })),
    dns,
  };
}
