// SPDX-License-Identifier: Apache-2.0
/** The pods and Services that the tests of traffic share. */
import type { Pod } from '../../harness/topology.ts';
import { startServer } from '../../harness/traffic.ts';
import { type ServicePort, vipsOf } from './manifests.ts';
import { startBulkServer } from './sockets.ts';
import { openTwoNodes, type TwoNodes, type TwoNodesOptions } from './two-nodes.ts';

/** Port that servers say their name on, and the port of its Services. */
export const TARGET = 8080;
export const PORT = 80;
/** Port that servers take and give bytes on, the same at its Services. */
export const BULK = 9000;
/** A port on which nobody listens. */
export const CLOSED = 9;
export const SCTP = 7000;

export const named: readonly ServicePort[] = (['TCP', 'UDP'] as const).map((protocol) => ({
  name: protocol.toLowerCase(),
  protocol,
  port: PORT,
  targetPort: TARGET,
}));

const both = (name: string, port: number): ServicePort[] =>
  (['TCP', 'UDP'] as const).map((protocol) => ({
    name: `${name}-${protocol.toLowerCase()}`,
    protocol,
    port,
    targetPort: port,
  }));

export const VIPS = {
  web: vipsOf(10),
  near: vipsOf(11),
  far: vipsOf(12),
  self: vipsOf(13),
  first: vipsOf(14),
  second: vipsOf(15),
  sticky: vipsOf(16),
  none: vipsOf(17),
  sctp: vipsOf(18),
} as const;

/** Ports of all Services below, in both families. */
const FRONTENDS = 2 * (2 + 6 + 6 + 2 + 2 + 2 + 2 + 1 + 2);

export interface TrafficLab {
  readonly lab: TwoNodes;
  /** On node-a. */
  readonly client: Pod;
  /** On node-a, with servers. */
  readonly near: Pod;
  /** On node-b, with servers. */
  readonly far: Pod;
}

/** A client and a backend on node-a, a backend on node-b, Services over them. */
export async function openTrafficLab(purpose: string, options: TwoNodesOptions = {}): Promise<TrafficLab> {
  const lab = await openTwoNodes(purpose, options);
  try {
    const client = await lab.addPod(0, 'client', 10);
    const near = await lab.addPod(0, 'near', 11);
    const far = await lab.addPod(1, 'far', 11);
    for (const pod of [near, far]) {
      await startServer(pod.namespace, pod.name, TARGET);
      await startBulkServer(pod.namespace, BULK);
    }
    lab.writeService({ name: 'web', number: 10, ports: named, backends: [near, far] });
    const all = [...named, ...both('bulk', BULK), ...both('closed', CLOSED)];
    lab.writeService({ name: 'near', number: 11, ports: all, backends: [near] });
    lab.writeService({ name: 'far', number: 12, ports: all, backends: [far] });
    lab.writeService({ name: 'self', number: 13, ports: named, backends: [near] });
    lab.writeService({ name: 'first', number: 14, ports: named, backends: [far] });
    lab.writeService({ name: 'second', number: 15, ports: named, backends: [far] });
    lab.writeService({
      name: 'sticky',
      number: 16,
      ports: named,
      backends: [near, far],
      spec: {
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
      },
    });
    lab.writeService({
      name: 'sctp',
      number: 18,
      ports: [{ name: 'sctp', protocol: 'SCTP', port: SCTP, targetPort: SCTP }],
      backends: [far],
    });
    // Last, so that all others are there when it is.
    lab.writeService({ name: 'none', number: 17, ports: named, backends: [] });
    for (const { index } of lab.workers) await lab.untilFrontends(index, FRONTENDS);
    return { lab, client, near, far };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
