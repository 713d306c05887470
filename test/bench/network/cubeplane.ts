// SPDX-License-Identifier: Apache-2.0

/** Cubeplane's nodes: an agent each, and the chain of config/provider/kubernetes.yaml for those of a site. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { Agent } from '../../harness/cubeplane.ts';
import { agentKubeconfig, SYSTEM_NAMESPACE } from '../../harness/kube/access.ts';
import { Counters } from '../../netns/support/counters.ts';
import { type Bed, SITE_LABEL, type Site } from './site.ts';

const PROVIDER = new URL('../../../config/provider/kubernetes.yaml', import.meta.url).pathname;

interface Chain {
  readonly metadata: { name: string };
  readonly spec: {
    target: { nodes: object };
    readonly links: readonly { readonly name: string; readonly endpoints: readonly { overlay?: object }[] }[];
  };
}

/** The provider's chain, for the nodes of a site alone; with direct routes between nodes of one subnet, or by the tunnel. */
export function chainFor(site: string, isDirect: boolean): object {
  const chain = parse(readFileSync(PROVIDER, 'utf8')) as Chain;
  chain.metadata.name = site;
  chain.spec.target.nodes = { selector: { matchLabels: { [SITE_LABEL]: site } } };
  if (isDirect) {
    const ends = chain.spec.links.find(({ name }) => name === 'overlay')?.endpoints ?? [];
    const end = ends.find(({ overlay }) => overlay !== undefined);
    if (end === undefined) throw new Error(`${PROVIDER} has no endpoint of type Overlay in its link overlay`);
    end.overlay = { ...end.overlay, directRouting: 'SameSubnet' };
  }
  return chain;
}

/** Starts the agents of a site, joins its pods and waits until its chain is in the kernel of both nodes. */
export async function joinCubeplane({ cluster }: Bed, site: Site, isDirect: boolean): Promise<Agent[]> {
  const agents: Agent[] = [];
  for (const { node } of [site.here, site.there]) {
    const agent = new Agent(node, { kubeconfig: await agentKubeconfig(cluster, node.name) });
    await agent.launch();
    agents.push(agent);
  }
  await Promise.all(
    agents.map(async (agent) => {
      await agent.running.waitForOutput(/ready/, 90_000);
      for (const pod of agent.node.pods.values()) await agent.plug(pod);
    }),
  );
  await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(chainFor(site.name, isDirect)) });
  await cluster.kubectl(
    [
      ...['-n', SYSTEM_NAMESPACE, 'wait', '--for=condition=Ready', '--timeout=180s'],
      `servicechain/${site.name}`,
    ],
    { timeoutMs: 190_000 },
  );
  return agents;
}

/** Waits until an agent has so many frontends in the kernel. */
export async function untilServed(agent: Agent, frontends: number, timeoutMs: number): Promise<void> {
  const { bpffs, node } = agent;
  const chain = node.name.replace(/-[ab]$/, '');
  const counters = new Counters(bpffs, node.name);
  let held = 0;
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(250)) {
    held = await counters.rows(`${SYSTEM_NAMESPACE}/${chain}.ilb.${node.name}`, 'frontends');
    if (held >= frontends) return;
  }
  throw new Error(
    `${node.name}: the kernel holds ${held} frontends, not ${frontends}, after ${timeoutMs} ms`,
  );
}
