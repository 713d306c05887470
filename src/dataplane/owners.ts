// SPDX-License-Identifier: Apache-2.0
import type { InterfaceInfo } from './graph-model.ts';
import type { PodRecord } from './pod-record.ts';
import type { KernelState } from './state.ts';

/** What is there, with whose it is: which programs at XDP are not the agent's, and which interfaces lead to pods. */
export function withOwners<Network extends { readonly interfaces: ReadonlyMap<string, InterfaceInfo> }>(
  network: Network,
  observed: Pick<KernelState, 'xdp' | 'older'>,
  plugged: { values(): Iterable<PodRecord> },
): Network {
  const links = [...observed.xdp.links.values()].map(({ ifindex }) => ifindex);
  const own = new Set([...links, ...(observed.older?.xdp.values() ?? [])]);
  const pods = new Set([...plugged.values()].map((pod) => pod.interface));
  const interfaces = new Map(network.interfaces);
  for (const [name, info] of network.interfaces) {
    const isForeign = info.xdp !== undefined && !own.has(info.ifindex);
    if (!isForeign && !pods.has(name)) continue;
    const xdp = info.xdp && { ...info.xdp, isForeign };
    interfaces.set(name, { ...info, ...(xdp === undefined ? {} : { xdp }), isPod: pods.has(name) });
  }
  return { ...network, interfaces };
}
