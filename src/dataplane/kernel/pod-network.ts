// SPDX-License-Identifier: Apache-2.0
/** What is set inside a pod's network namespace and on the host's end of its veth pair. */
import { existsSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { GATEWAY_MAC } from '../layout.ts';
import type { PodRecord } from '../pod-record.ts';
import { type Link, setUp } from './rtnetlink/link.ts';
import { tell } from './rtnetlink/tell.ts';
import { ipBatch, ipJson } from './run.ts';

/** Throws AgentError NamespaceNotFound or InterfaceNotFound. */
export async function macInside(record: PodRecord): Promise<string> {
  const device = record.podInterface ?? 'eth0';
  const netns = record.netns ?? '';
  if (!existsSync(netns)) {
    throw new AgentError(
      'NamespaceNotFound',
      `pod ${record.namespace}/${record.name}: there is no network namespace at ${netns}`,
      'give the path of a running pod’s namespace, as /proc/PID/ns/net or /run/netns/NAME',
    );
  }
  const links = await ipJson(['link', 'show'], netns);
  const link = links.find(({ ifname }) => ifname === device);
  if (typeof link?.address !== 'string') {
    throw new AgentError(
      'InterfaceNotFound',
      `pod ${record.namespace}/${record.name}: its network namespace ${netns} has no interface ${device}`,
      'name the pod’s end of the pair',
    );
  }
  return link.address;
}

/**
 * The host's end gets the gateway's MAC, so that a frame for the gateway is one for the host where a program lets it
 * pass. Inside the pod the gateways become permanent neighbours: no ARP or ND is needed to reach them.
 */
export async function setUpPod(
  record: PodRecord,
  host: Link,
  options: { routes: boolean; mtu?: number },
): Promise<void> {
  if (!host.isSetUp || host.mac !== GATEWAY_MAC) await tell([setUp(record.interface, GATEWAY_MAC)]);
  if (record.netns === undefined) return;
  const device = record.podInterface ?? 'eth0';
  const lines: string[] = [];
  if (options.mtu !== undefined) lines.push(`link set ${device} mtu ${options.mtu}`);
  for (const gateway of record.gateways ?? []) {
    lines.push(`neighbour replace ${gateway} lladdr ${GATEWAY_MAC} dev ${device} nud permanent`);
    if (options.routes) lines.push(`route replace default via ${gateway} dev ${device} onlink`);
  }
  await ipBatch(lines, record.netns);
}
