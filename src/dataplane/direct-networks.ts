// SPDX-License-Identifier: Apache-2.0
/** Which nodes can be reached without the tunnel: those in the subnets of the node's own addresses. Pure. */
import { contains, formatPrefix, masked, parseAddress, parsePrefix } from '../api/ip.ts';

export interface DirectNetwork {
  /** Canonical, with its length. */
  readonly network: string;
  /** The interface that it is on. */
  readonly device: string;
}

interface Interface {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly networks?: readonly string[];
}

/**
 * The subnets of the interfaces that have an address of the Node object, or, while that is not known, of the uplink.
 * Link-local ones are on every link, and lead nowhere.
 */
export function directNetworks(
  interfaces: Iterable<Interface>,
  nodeAddresses: readonly string[],
  uplink: string | undefined,
): DirectNetwork[] {
  const all = [...interfaces];
  const holding = all.filter(({ addresses }) => addresses.some((address) => nodeAddresses.includes(address)));
  const used = holding.length > 0 ? holding : all.filter(({ name }) => name === uplink);
  return used.flatMap(({ name, networks = [] }) =>
    networks.flatMap((text) => {
      const prefix = parsePrefix(text);
      if (prefix === undefined || /^fe[89ab]/i.test(text)) return [];
      return [{ network: formatPrefix(masked(prefix)), device: name }];
    }),
  );
}

/** Whether an address is in a prefix of its family. */
export function isIn(network: string, address: string): boolean {
  const [prefix, host] = [parsePrefix(network), parseAddress(address)];
  return prefix !== undefined && host !== undefined && contains(prefix, host);
}
