// SPDX-License-Identifier: Apache-2.0
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type Agent, startAgent } from '../../test/harness/cubeplane.ts';
import { podNetwork } from '../../test/harness/kube/pods.ts';
import type { Lab } from '../../test/harness/lab.ts';
import { createNodes, createPod, createUnderlay, type Pod } from '../../test/harness/topology.ts';
import { startServer } from '../../test/harness/traffic.ts';
import { until } from '../../test/harness/until.ts';
import { type Backend, PODS, type Stage, TARGET_PORT } from './stage.ts';
import type { Story } from './story.ts';

const SAMPLES = join(import.meta.dirname, '../../samples/demo');

interface Endpoint {
  addresses: string[];
  conditions: { ready: boolean; serving: boolean; terminating: boolean };
}

interface Slice {
  readonly kind: string;
  readonly addressType: string;
  readonly endpoints: Endpoint[];
}

/** Two nodes whose agents read one directory: no cluster anywhere. */
export async function directoryStage(lab: Lab, story: Story): Promise<Stage> {
  const directory = join(lab.directory, 'manifests');
  await mkdir(directory, { recursive: true });
  await cp(SAMPLES, directory, { recursive: true });

  const nodes = await createNodes(await createUnderlay(lab), ['node-a', 'node-b']);
  story.say('two nodes on one underlay: node-a, node-b (network namespaces)');
  const agents: Agent[] = [];
  for (const node of nodes) agents.push(await startAgent(node, { manifests: directory }));
  story.say('an agent on each: cubeplane up --node NAME --manifests DIR');
  const [first] = agents as [Agent];
  const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
  const isReady = async () => (await first.cli(['get', 'chain', 'demo', '-o', path])).stdout === 'True';
  await until('the chain is ready', isReady, 30_000);
  story.say('the chain is ready: its eBPF programs are loaded and joined on both nodes');

  const cidrs = await podCidrs(directory);
  const pods = new Map<string, Pod>();
  const backends: Backend[] = [];
  for (const { name, node: index, number } of PODS) {
    const node = nodes[index];
    const agent = agents[index];
    const ranges = node && cidrs.get(node.name);
    if (node === undefined || agent === undefined || ranges === undefined)
      throw new Error(`no node for ${name}`);
    const pod = await createPod(node, { name, ...podNetwork(ranges, number) });
    await agent.plug(pod);
    pods.set(name, pod);
    if (name === 'client') continue;
    backends.push({ name, pod, node, server: await startServer(pod.namespace, name, TARGET_PORT) });
  }
  story.say('five pods, plugged into the chain: client, web-1 … web-4 (cubeplane plug)');

  const slices = await slicesOf(directory);
  const change = async (
    backend: Backend,
    edit: (endpoint: Endpoint) => Endpoint | undefined,
  ): Promise<void> => {
    const own = Object.values(backend.pod.addresses);
    const objects = slices.map((slice) => ({
      ...slice,
      endpoints: slice.endpoints.flatMap((endpoint) =>
        endpoint.addresses.some((address) => own.includes(address)) ? (edit(endpoint) ?? []) : [endpoint],
      ),
    }));
    await first.cli(['apply', '-f', '-'], {
      input: objects.map((object) => JSON.stringify(object)).join('\n---\n'),
    });
  };
  const conditions = (ready: boolean) => ({ ready, serving: true, terminating: !ready });
  const client = pods.get('client');
  if (client === undefined) throw new Error('no client');
  return {
    nodes,
    client,
    backends,
    service: { ipv4: '10.96.0.10', ipv6: 'fd00:96::10' },
    tool: 'cubeplane',
    run: async (args) => (await first.cli(args)).stdout,
    objects: async <T>(plural: string) =>
      (JSON.parse((await first.cli(['get', plural, '-A', '-o', 'json'])).stdout) as { items: T[] }).items,
    terminate: (backend) => change(backend, (endpoint) => ({ ...endpoint, conditions: conditions(false) })),
    remove: (backend) => change(backend, () => undefined),
    add: (backend) => change(backend, (endpoint) => ({ ...endpoint, conditions: conditions(true) })),
    hints: [
      `export CUBEPLANE_MANIFESTS=${directory} CUBEPLANE_STATE=${first.stateDir}`,
      'npx cubeplane get cubeplane',
      `${process.env.EDITOR ?? 'vi'} ${join(directory, 'web.yaml')}    # the agents follow as soon as it is written`,
      `nsenter --net=${client.namespace.path} ping -c 3 ${backends[2]?.pod.addresses.ipv4}    # from the client to a pod of the other node`,
    ],
  };
}

async function documents(path: string): Promise<unknown[]> {
  return (parseAllDocuments(await readFile(path, 'utf8')) as { toJS(): unknown }[]).map((document) =>
    document.toJS(),
  );
}

async function slicesOf(directory: string): Promise<Slice[]> {
  return ((await documents(join(directory, 'web.yaml'))) as Slice[]).filter(
    (object) => object.kind === 'EndpointSlice',
  );
}

/** Pod prefixes by node, as the Node objects say. */
async function podCidrs(directory: string): Promise<Map<string, { ipv4: string; ipv6: string }>> {
  const nodes = (await documents(join(directory, 'nodes.yaml'))) as {
    metadata: { name: string };
    spec: { podCIDRs: string[] };
  }[];
  return new Map(
    nodes.map(({ metadata, spec }) => {
      const [ipv4 = '', ipv6 = ''] = spec.podCIDRs;
      return [metadata.name, { ipv4, ipv6 }];
    }),
  );
}
