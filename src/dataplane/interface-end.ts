// SPDX-License-Identifier: Apache-2.0
/** What an Interface endpoint stands for on this node. Pure. */
import type { InterfaceInfo, LinkEnd } from './graph-model.ts';
import type { Endpoint } from './objects.ts';
import { UPLINK } from './uplink.ts';

type InterfaceEnd = Extract<LinkEnd, { type: 'Interface' }>;

export function interfaceEnd(
  { interface: asked, failurePolicy }: Extract<Endpoint, { type: 'Interface' }>,
  uplink: string | undefined,
  interfaces: ReadonlyMap<string, InterfaceInfo>,
): InterfaceEnd {
  const name = asked.name === UPLINK ? (uplink ?? UPLINK) : asked.name;
  // a chain is for many nodes, of which some do not have them
  const others = (asked.others ?? []).flatMap((other) =>
    other === name ? [] : (interfaces.get(other) ?? []),
  );
  return {
    type: 'Interface',
    name,
    info: interfaces.get(name),
    ...(others.length === 0 ? {} : { others }),
    open: failurePolicy !== 'Closed',
  };
}

/** Bytes of IP packet that every interface of the end takes. */
export function mtuOf({ info, others = [] }: InterfaceEnd): number | undefined {
  return info && Math.min(info.mtu, ...others.map(({ mtu }) => mtu));
}
