// SPDX-License-Identifier: Apache-2.0
/**
 * A flood of SYNs at an open port, ten times what the table of unconfirmed sessions holds. The sources are addresses that
 * the flooding pod was given but that nobody there answers for, so that the answers of the backends lead to nothing.
 */
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createPod, type Pod } from '../harness/topology.ts';
import { startServer } from '../harness/traffic.ts';
import { ethernet, ip, tcp } from '../kernel/support/packet.ts';
import { sendFrames } from './support/frames.ts';
import { podNetwork, podPrefixes, vipsOf } from './support/manifests.ts';
import { named, PORT, TARGET } from './support/services.ts';
import { connectTcp, holdConnections } from './support/sockets.ts';
import { difference, FAMILIES, openTwoNodes, SYSTEM, type TwoNodes } from './support/two-nodes.ts';

jest.setTimeout(120_000);

/** Connections, as the spec counts them. */
const TABLE = 1024;
/** `npm run soak` asks for more. */
const FLOWS = Number(process.env.CUBEPLANE_FLOOD_FLOWS ?? 819);
/** Forged sources, by last part of the address. */
const FORGED = { ipv4: 201, ipv6: 202 } as const;

let lab: TwoNodes;
let client: Pod;
let flooder: Pod;

beforeAll(async () => {
  lab = await openTwoNodes('flood test', {
    chain(chain) {
      chain.spec.cubes[0].loadBalancer.sessions = { maxEmbryonic: TABLE };
    },
  });
  client = await lab.addPod(0, 'client', 10);
  const backends = [await lab.addPod(0, 'near', 11), await lab.addPod(1, 'far', 11)];
  for (const pod of backends) await startServer(pod.namespace, pod.name, TARGET);
  const { node, agent } = lab.worker(0);
  flooder = await createPod(node, { name: 'flooder', ...podNetwork(0, 20) });
  const { ipv4, ipv6 } = podPrefixes(0);
  // The agent lets these sources in; the pod itself does not have them.
  await agent.plug({
    ...flooder,
    addresses: { ipv4: `${ipv4}${FORGED.ipv4}`, ipv6: `${ipv6}${FORGED.ipv6.toString(16)}` },
  });
  lab.writeService({ name: 'web', number: 10, ports: named, backends });
  await lab.untilFrontends(0, 4);
});
afterAll(async () => {
  await lab?.close();
});

describe.each(FAMILIES)('%s', (family) => {
  test(`${FLOWS} idle connections survive ${TABLE * 10} forged SYNs, and new ones are served after them`, async () => {
    const vip = vipsOf(10)[family];
    const prefix = podPrefixes(0)[family];
    const source = `${prefix}${family === 'ipv4' ? FORGED.ipv4 : FORGED.ipv6.toString(16)}`;
    const held = await holdConnections(client.namespace, vip, PORT, FLOWS);
    const ilb = `${SYSTEM}/kubernetes.ilb.node-a`;
    const before = await lab.worker(0).counters.events(ilb, 'LoadBalancer');
    const dropsBefore = await lab.drops(0);
    const syns = Array.from({ length: TABLE * 10 }, (_, i) =>
      ethernet(
        { src: flooder.mac },
        ip({ src: source, dst: vip }, tcp({ sport: 10_000 + i, dport: PORT, flags: 'S', seq: i * 7919 })),
      ),
    );
    await sendFrames(flooder.namespace, 'eth0', syns);
    const after = await lab.worker(0).counters.events(ilb, 'LoadBalancer');
    expect((after.newSessions ?? 0) - (before.newSessions ?? 0)).toBe(TABLE * 10);
    expect(await held.check()).toEqual({ alive: FLOWS, errors: {} });
    expect(await connectTcp(client.namespace, vip, PORT)).toMatchObject({ error: null });
    const drops = await lab.drops(0);
    expect(difference(dropsBefore.ilb, drops.ilb)).toEqual({});
    expect(difference(dropsBefore.entry, drops.entry).SpoofedSource).toBeUndefined();
  });
});
